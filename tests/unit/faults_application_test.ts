/** The application of a campaign, as it is waited for. */
import { assertEquals, assertRejects } from "@std/assert";
import { UserError } from "../../src/error.ts";
import { Application } from "../../src/faults/campaign/application.ts";
import type { Word } from "../../src/faults/workloads/mod.ts";
import { pause } from "../../src/pause.ts";

/** A workload that says what it is told to say, until it is stopped. */
function workload() {
  const stopped = new AbortController();
  const said: Word[] = [];
  const words = async function* () {
    while (!stopped.signal.aborted) {
      yield* said.splice(0);
      await pause(1, stopped.signal);
    }
  };
  return {
    say: (at: number, done: number) => said.push({ at, done, failed: 0, wrong: 0, gap: 0 }),
    words: words(),
    stop() {
      stopped.abort();
      return Promise.resolve();
    },
    async [Symbol.asyncDispose]() {
      await this.stop();
    },
  };
}

Deno.test("an application goes on with the first operation after a moment", async () => {
  const work = workload();
  await using application = new Application(work);
  const goesOn = application.goesOn(10, 5000);
  work.say(5, 1);
  work.say(12, 0);
  work.say(15, 2);
  await goesOn;
  assertEquals(application.words.map(({ at }) => at), [5, 12, 15]);
  assertEquals(application.idle, 0);
});

Deno.test("an application that somebody has waited for in vain can end", async () => {
  const work = workload();
  {
    await using application = new Application(work);
    await assertRejects(() => application.goesOn(10, 20), UserError, "did not go on within");
    const later = application.goesOn(10, 5000);
    await work.stop();
    await assertRejects(() => later, UserError, "The application has ended");
  }
  // One that is asked again and again whether it has something to say leaves no time for anybody else.
  await pause(1);
});
