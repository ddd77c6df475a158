import { assert, assertEquals, assertRejects } from "@std/assert";
import { UserError } from "../../src/error.ts";
import { silent, SilentGuest, startAgain } from "../../src/lab/start.ts";

Deno.test("a guest that stops while it boots is started again, at most twice, and that is said", async () => {
  const said: string[] = [];
  let starts = 0;
  const start = () => {
    if (++starts < 3) throw new SilentGuest(`The guest is silent`);
    return Promise.resolve(starts);
  };
  assertEquals(await startAgain(start, (text) => said.push(text)), 3);
  assertEquals(said, Array(2).fill("The guest is silent; starting another machine"));

  starts = -10;
  await assertRejects(() => startAgain(start, () => {}), SilentGuest);
  assertEquals(starts, -7);
});

Deno.test("a machine that fails otherwise is not started again", async () => {
  let starts = 0;
  await assertRejects(
    () =>
      startAgain(() => {
        starts++;
        throw new UserError("no such device");
      }, () => {}),
    UserError,
    "no such device",
  );
  assertEquals(starts, 1);
});

Deno.test("silence begins anew with each word", async () => {
  let words = 0;
  const speaking = setInterval(() => words++, 10);
  const aborted = new AbortController();
  let over = false;
  const silence = silent(() => words, 100, { signal: aborted.signal }).then(() => over = true);
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert(!over, "it speaks");
  clearInterval(speaking);
  await silence;
  assert(over);
});
