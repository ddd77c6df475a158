/** The host's loop, against a scripted WAIT. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { LoopClock, useClock } from "../../src/driver/clock.ts";
import { every, sleep, until } from "../../src/driver/mod.ts";
import { runLoop, type Runnable, type WaitingGrant } from "../../src/host/loop.ts";
import { uapi, WAIT_WORD } from "../../src/kernel/mod.ts";

const { EVENT, WAIT_FOREVER } = uapi;

/** What one WAIT answers. */
interface Answer {
  /** Default what time alone makes of it. */
  events?: number;
  irqs?: number;
  /** Milliseconds that pass in it. */
  ms?: number;
}

/** Ends a loop. */
class End extends Error {}

/** A grant whose WAIT follows a script and notes what it was asked; after the script it ends the loop. */
class ScriptedGrant implements WaitingGrant {
  readonly waitWords = new Uint32Array(6);
  readonly asked: { kick: number; timeout: number }[] = [];
  now = 0;
  readonly #answers: Answer[];
  #looked = false;

  constructor(answers: Answer[]) {
    this.#answers = answers;
  }

  wait(): void {
    const timeout = this.waitWords[WAIT_WORD.TIMEOUT];
    // The first is only a look: with it the kernel begins to expect the driver.
    if (!this.#looked) {
      this.#looked = true;
      assertEquals(timeout, 0);
      return;
    }
    this.asked.push({ kick: this.waitWords[WAIT_WORD.KICK], timeout });
    const answer = this.#answers.shift();
    if (!answer) throw new End();
    this.now += answer.ms ?? 0;
    const late = answer.ms !== undefined && answer.ms * 1000 >= timeout;
    this.waitWords[WAIT_WORD.EVENTS] = answer.events ?? (late ? EVENT.TIMEOUT : 0);
    this.waitWords[WAIT_WORD.IRQS] = answer.irqs ?? 0;
  }
}

/** Runs a driver over a script; what it and the loop did, in order. */
async function follow(
  answers: Answer[],
  driver: Partial<Runnable> & { log?: string[] } = {},
): Promise<{ log: string[]; grant: ScriptedGrant; error: Error }> {
  const log = driver.log ?? [];
  const grant = new ScriptedGrant(answers);
  const clock = new LoopClock(() => grant.now);
  useClock(clock);
  const error = await assertRejects(() =>
    runLoop({
      bringUp: () => Promise.resolve(void log.push("bringUp")),
      configure: () => void log.push("configure"),
      interrupt: (vectors) => void log.push(`interrupt ${vectors}`),
      poll: () => {
        log.push("poll");
        return false;
      },
      ...driver,
    }, {
      grant,
      clock,
      onReady: () => void log.push("ready"),
      onSignal: () => void log.push("signal"),
      block: (ms) => grant.now += ms,
    })
  ) as Error;
  return { log, grant, error };
}

Deno.test("a driver is brought up, configured, and only then ready; an idle one sleeps without limit", async () => {
  const { log, grant, error } = await follow([]);
  assertEquals(log, ["bringUp", "configure", "poll", "ready", "poll"]);
  assertEquals(grant.asked, [{ kick: 0, timeout: WAIT_FOREVER }]);
  assertEquals(error.constructor, End);
});

Deno.test("events reach the driver before it polls again", async () => {
  const { log } = await follow([
    { events: EVENT.IRQ, irqs: 5 },
    { events: EVENT.PORT },
    { events: EVENT.SIGNAL },
    { events: EVENT.TIMEOUT },
  ]);
  assertEquals(log.slice(4), ["poll", "interrupt 5", "poll", "poll", "signal", "poll", "poll"]);
});

Deno.test("a driver with more to do is not put to sleep", async () => {
  let left = 4;
  const { grant } = await follow([{}, {}, {}], { poll: () => --left > 0 });
  assertEquals(grant.asked.map(({ timeout }) => timeout), [0, 0, WAIT_FOREVER, WAIT_FOREVER]);
});

Deno.test("the kick of one round is not made again in the next", async () => {
  const grant = new ScriptedGrant([{}, {}]);
  let polls = 0;
  await assertRejects(() =>
    runLoop({
      bringUp: () => Promise.resolve(),
      configure: () => {},
      interrupt: () => {},
      poll: () => {
        if (++polls === 3) grant.waitWords[WAIT_WORD.KICK] |= 2;
        return false;
      },
    }, { grant, clock: new LoopClock(() => 0), onReady: () => {}, onSignal: () => {} })
  );
  assertEquals(grant.asked.map(({ kick }) => kick), [0, 2, 0]);
});

Deno.test("a changed configuration is applied, and polled after, before the next sleep", async () => {
  const { log } = await follow([{ events: EVENT.CONFIG }]);
  assertEquals(log.slice(4), ["poll", "configure", "poll"]);
});

Deno.test("a configuration that fails ends the driver before the next sleep", async () => {
  let times = 0;
  const { grant, error } = await follow([{ events: EVENT.CONFIG }, {}, {}], {
    configure() {
      if (++times > 1) throw new Error("no such speed");
    },
  });
  assertEquals([error.message, grant.asked.length], ["no such speed", 1]);
});

Deno.test("configurations do not overlap, and the last one is not missed", async () => {
  const log: string[] = [];
  let running = 0;
  await follow(
    [
      { events: EVENT.CONFIG },
      { events: EVENT.CONFIG, ms: 1 },
      { events: EVENT.CONFIG, ms: 1 },
      { ms: 20 },
      { ms: 20 },
      { ms: 20 },
    ],
    {
      log,
      async configure() {
        assertEquals(++running, 1);
        await sleep(10);
        log.push("configured");
        running--;
      },
    },
  );
  // Once at the start, once for the first event, once for the two that came meanwhile.
  assertEquals(log.filter((entry) => entry === "configured").length, 3);
});

Deno.test("a chain of awaits goes on although nothing wakes the loop", async () => {
  const log: string[] = [];
  let first = true;
  await follow([{ events: EVENT.CONFIG }, ...Array.from({ length: 40 }, () => ({ ms: 1 }))], {
    log,
    async configure() {
      if (first) {
        first = false;
        return;
      }
      const deep = async (depth: number): Promise<void> => {
        if (depth > 0) await deep(depth - 1);
        else await sleep(5);
      };
      await deep(100);
      log.push("done");
    },
  });
  assertEquals(log.at(-1) === "poll" && log.includes("done"), true);
});

Deno.test("what poll sets going goes on, though nothing that it awaits takes time", async () => {
  const log: string[] = [];
  let polls = 0;
  const look = async (times: number) => {
    for (let i = 0; i < times; i++) await until(() => true, { ms: 1, what: "nothing" });
    log.push("looked");
  };
  const { grant } = await follow([{}, {}, { ms: 1 }], {
    log,
    poll() {
      if (++polls === 2) void look(10);
      return false;
    },
  });
  assertEquals(log.includes("looked"), true);
  // As long as it may be under way, the loop does not sleep, or not for long.
  assertEquals(grant.asked.map(({ timeout }) => timeout), [0, 0, 1000, WAIT_FOREVER]);
});

Deno.test("waits of a driver that is brought up are kept, without an event loop turn", async () => {
  let looks = 0;
  const { error } = await follow([], {
    async bringUp() {
      await until(() => ++looks === 3, { ms: 1000, what: "the third look" });
    },
  });
  assertEquals(looks, 3);
  assertEquals(error.constructor, End);
});

Deno.test("a driver that is up is not waited for any longer, however many awaits it took", async () => {
  let [turns, up, ready] = [0, 0, 0];
  const counting = (async () => {
    for (; ready === 0 && turns < 100_000; turns++) await null;
  })();
  await follow([], {
    bringUp: async () => {
      for (let i = 0; i < 200; i++) await null;
      up = turns;
    },
    configure: () => {},
    poll: () => {
      ready ||= turns;
      return false;
    },
  });
  await counting;
  assert(ready - up < 200, `${ready - up} turns after ${up}`);
});

Deno.test("timers bound the sleep", async () => {
  const log: string[] = [];
  const { grant } = await follow([{ ms: 2.5 }, { ms: 7.5 }], {
    log,
    bringUp() {
      every(10, () => log.push("tick"));
      return Promise.resolve();
    },
  });
  assertEquals(grant.asked.map(({ timeout }) => timeout).slice(0, 2), [10_000, 7_500]);
  assertEquals(log.filter((entry) => entry === "tick"), ["tick"]);
});

for (const verb of ["bringUp", "configure", "poll", "interrupt"] as const) {
  Deno.test(`what ${verb} throws ends the loop`, async () => {
    const thrown = new Error(verb);
    const { error } = await follow([{ events: EVENT.IRQ | EVENT.CONFIG }, {}], {
      [verb]: () => {
        throw thrown;
      },
    });
    assertEquals(error, thrown);
  });
}

Deno.test("what configure rejects with later ends the loop", async () => {
  const thrown = new Error("late");
  let first = true;
  const { error } = await follow([{ events: EVENT.CONFIG }, { ms: 10 }, {}, {}], {
    async configure() {
      if (first) {
        first = false;
        return;
      }
      await sleep(5);
      throw thrown;
    },
  });
  assertEquals(error, thrown);
});
