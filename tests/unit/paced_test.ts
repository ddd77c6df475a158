import { assertEquals } from "@std/assert";
import { paced } from "../../src/supervisor/paced.ts";

/** When each of some items is passed on, if they come at these times. */
async function times(come: number[], perSecond: number): Promise<number[]> {
  let now = 0;
  const pace = {
    now: () => now,
    sleep: (ms: number) => {
      now += ms;
      return Promise.resolve();
    },
  };
  async function* source() {
    for (const at of come) {
      now = Math.max(now, at);
      yield at;
    }
  }
  const passed: number[] = [];
  for await (const _ of paced(source(), { perSecond, pace })) passed.push(now);
  return passed;
}

Deno.test("what comes slowly passes at once", async () => {
  assertEquals(await times([0, 10, 500, 999, 1000, 1001, 5000], 4), [0, 10, 500, 999, 1000, 1001, 5000]);
});

Deno.test("a flood is passed on in portions, a second apart", async () => {
  assertEquals(await times(Array(7).fill(0), 3), [0, 0, 0, 1000, 1000, 1000, 2000]);
});

Deno.test("a quiet second gives a full portion again", async () => {
  assertEquals(await times([0, 0, 0, 3000, 3000, 3000], 2), [0, 0, 1000, 3000, 3000, 4000]);
});
