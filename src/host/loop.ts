/**
 * The loop that runs a driver: one thread, one blocking call. It polls until there is nothing to do, runs
 * what is due, and sleeps in WAIT until an interrupt, a frame to send, a new configuration or a timer.
 */
import { type LoopClock, takeStirred } from "../driver/clock.ts";
import { DeviceError } from "../driver/error.ts";
import { type Grant, uapi, WAIT_WORD } from "../kernel/mod.ts";

// Constants of this module's own are compiled in.
const { WAIT_FOREVER } = uapi;
const { IRQ, CONFIG, SIGNAL, TIMEOUT } = uapi.EVENT;
const WORD = { ...WAIT_WORD };

/** Most frames that a driver moves each way, or requests that it takes, between two looks at everything else. */
const BUDGET = 64;

/** Longest finite WAIT, microseconds, so that any timer's time fits the call. */
const LONGEST_WAIT_US = 60_000_000;

/** What the loop needs of a driver, whatever its class. */
export interface Runnable {
  /** Brings the device up and attaches. */
  bringUp(): Promise<void>;
  /** Reads and applies the port's configuration, if ports of the class have one. */
  configure?(): void | Promise<void>;
  interrupt(vectors: number): void;
  poll(budget: number): boolean;
}

/**
 * Microtask turns in which promises that have just been resolved are let go on. One turn moves a chain of
 * awaits by one link, so this is the depth of await in a driver's control path that costs no further round.
 */
const TURNS = 32;

/** Longest WAIT while a chain of awaits may still be on its way, microseconds. */
const SETTLING_US = 1000;

async function settleTurns(): Promise<void> {
  for (let turn = 0; turn < TURNS; turn++) await null;
}

/** Most turns to be taken before a driver that has no timer set is thought to wait for ever. */
const PATIENT_TURNS = 65_536;

/** Taken before it is taken away from drivers. */
const { wait } = Atomics;

/** Blocks this thread for some milliseconds. */
function blockFor(ms: number): void {
  wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/**
 * Waits for a promise of a driver that does not run yet, with its clock. The event loop makes no turn
 * meanwhile: with it Deno would go on with what a driver has asked of it, as to load one more module.
 * @param options `what` the driver does, for the error.
 * @throws {DeviceError} if nothing is left that could settle it.
 */
async function settle(
  promise: Promise<void>,
  { clock, what, block = blockFor }: { clock: LoopClock; what: string; block?: (ms: number) => void },
): Promise<void> {
  let settled = false;
  const done = promise.finally(() => settled = true);
  for (;;) {
    for (let turn = 0; turn < TURNS && !settled; turn++) await null;
    const patience = clock.nextDueMs() === Infinity ? PATIENT_TURNS : 0;
    for (let turn = 0; turn < patience && !settled; turn++) await null;
    if (settled) return await done;
    const ms = clock.nextDueMs();
    if (ms === Infinity) {
      throw new DeviceError(
        `Cannot ${what}: the driver awaits what never comes; there are until(), sleep() and timers, ` +
          "and no import()",
      );
    }
    if (ms > 0) block(ms);
    clock.runDue();
  }
}

/** What the loop needs of a grant. */
export type WaitingGrant = Pick<Grant, "waitWords" | "wait">;

/**
 * Brings a driver up and runs it until it fails or the kernel takes the grant away.
 * @param onReady Called once traffic can flow.
 * @param onSignal Called when the supervisor has sent a message.
 * @param block Blocks the thread, with the driver not yet running.
 * @throws What the driver threw, or the `KernelError` that ended the grant.
 */
export async function runLoop(driver: Runnable, { grant, clock, onReady, onSignal, block }: {
  grant: WaitingGrant;
  clock: LoopClock;
  onReady: () => void;
  onSignal: () => void;
  block?: (ms: number) => void;
}): Promise<never> {
  await settle(driver.bringUp(), { clock, block, what: "bring the device up" });
  await settle(Promise.resolve(driver.configure?.()), { clock, block, what: "configure the device" });

  const words = grant.waitWords;
  let failure: { error: unknown } | undefined;
  let stale = false;
  let configuring = false;
  const configure = async () => {
    stale = false;
    configuring = true;
    try {
      await driver.configure?.();
    } catch (error) {
      failure = { error };
    }
    configuring = false;
  };

  const wait = (us: number): number => {
    words[WORD.TIMEOUT] = us;
    grant.wait();
    words[WORD.KICK] = 0;
    const events = words[WORD.EVENTS];
    if (events & IRQ) driver.interrupt(words[WORD.IRQS]);
    if (events & CONFIG) stale = true;
    if (events & SIGNAL) onSignal();
    return events;
  };

  let settling = false;
  /** Polls, waits, and does what is due after it; true if somebody may have to go on before the next round. */
  const round = (): boolean => {
    const more = driver.poll(BUDGET);
    const going = takeStirred();
    const us = timeout(clock.nextDueUs());
    const events = wait(more || going ? 0 : settling || configuring ? Math.min(us, SETTLING_US) : us);
    // A WAIT that ends before its time makes nothing due: so the clock is read but once a round.
    const ran = (us === 0 || (events & TIMEOUT) !== 0) && clock.runDue();
    settling = takeStirred() || going || ran || configuring;
    return settling || stale;
  };

  // Frames come in before the word that they can: it takes longer to say. The first WAIT only looks: from then on
  // the kernel sees to it that the driver comes back.
  driver.poll(BUDGET);
  wait(0);
  onReady();
  settling = takeStirred();
  for (;;) {
    // Turns make objects: with none to take, rounds follow each other and nothing is ever collected.
    if (settling) await settleTurns();
    if (stale && !configuring && !failure) {
      void configure();
      await settleTurns();
    }
    // Rounds do not look at this, and the first of them may sleep.
    if (failure) throw failure.error;
    while (!round());
  }
}

function timeout(us: number): number {
  return us === Infinity ? WAIT_FOREVER : Math.min(us, LONGEST_WAIT_US);
}
