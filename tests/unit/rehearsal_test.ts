/** What a host does while it waits for its grant. */
import { rehearse } from "../../src/host/rehearsal.ts";

Deno.test("a rehearsal goes through all that a run does, and throws nothing but its end", async () => {
  await rehearse();
});
