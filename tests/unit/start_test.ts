import { assert, assertEquals, assertRejects } from "@std/assert";
import { UserError } from "../../src/error.ts";
import { crashOf, QemuCrash, silent, SilentGuest, startAgain } from "../../src/lab/start.ts";

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

Deno.test("a signal that QEMU ends with by itself is told, and another machine is started", async () => {
  const crash = crashOf(128 + 11, "while it ran ls");
  assert(crash instanceof QemuCrash);
  assertEquals(crash?.signal, "SIGSEGV");
  assertEquals(crash?.message, "QEMU ended with SIGSEGV while it ran ls: a fault of its own; try again");
  for (const status of [0, 1, 128 + 9, 128 + 15]) assertEquals(crashOf(status, "while it ran ls"), undefined);
  let starts = 0;
  const start = () => ++starts < 2 ? Promise.reject(crash) : Promise.resolve(starts);
  assertEquals(await startAgain(start, () => {}), 2);
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
