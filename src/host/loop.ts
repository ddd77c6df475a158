/**
 * The loop that runs a driver: one thread, one blocking call. It polls until there is nothing to do, runs
 * what is due, and sleeps in WAIT until an interrupt, a frame to send, a new configuration or a timer.
 */
import type { LoopClock } from "../driver/clock.ts";
import { type Grant, uapi, WAIT_WORD } from "../kernel/mod.ts";

const { EVENT, WAIT_FOREVER } = uapi;

/** Most frames that a driver moves each way between two looks at everything else. */
const BUDGET = 64;

/** Longest finite WAIT, microseconds, so that any timer's time fits the call. */
const LONGEST_WAIT_US = 60_000_000;

/** What the loop needs of a driver, whatever its class. */
export interface Runnable {
  /** Brings the device up and attaches. */
  bringUp(): Promise<void>;
  /** Reads and applies the port's configuration. */
  configure(): void | Promise<void>;
  interrupt(vectors: number): void;
  poll(budget: number): boolean;
}

/** Runs promises of a driver while the event loop is blocked, by running its clock. */
async function settle(promise: Promise<void>, clock: LoopClock): Promise<void> {
  let settled = false;
  const done = promise.finally(() => settled = true);
  const never = new Int32Array(new SharedArrayBuffer(4));
  for (;;) {
    // Several turns: a chain of awaits inside the driver takes one each.
    for (let turn = 0; turn < 16 && !settled; turn++) await null;
    if (settled) return await done;
    const ms = clock.nextDueMs();
    // Nothing is due and nothing has settled: the driver awaits something else, which a full turn serves.
    if (ms === Infinity) await new Promise((resolve) => setTimeout(resolve));
    else if (ms > 0) Atomics.wait(never, 0, 0, ms);
    clock.runDue();
  }
}

/**
 * Brings a driver up and runs it until it fails or the kernel takes the grant away.
 * @param onReady Called once traffic can flow.
 * @param onSignal Called when the supervisor has sent a message.
 * @throws What the driver threw, or the `KernelError` that ended the grant.
 */
export async function runLoop(driver: Runnable, { grant, clock, onReady, onSignal }: {
  grant: Grant;
  clock: LoopClock;
  onReady: () => void;
  onSignal: () => void;
}): Promise<never> {
  await settle(driver.bringUp(), clock);
  await settle(Promise.resolve(driver.configure()), clock);
  onReady();

  const words = grant.waitWords;
  let configuring: Promise<void> | undefined;
  let failure: { error: unknown } | undefined;
  let stale = false;
  const configure = () => {
    stale = false;
    configuring = Promise.resolve(driver.configure()).catch((error) => {
      failure = { error };
    }).finally(() => {
      configuring = undefined;
    });
  };

  for (;;) {
    const more = driver.poll(BUDGET);
    clock.runDue();
    // Lets the driver's promises go on; costs nothing when there are none.
    await null;
    if (failure) throw failure.error;
    if (stale && !configuring) configure();

    words[WAIT_WORD.TIMEOUT] = more ? 0 : timeout(clock.nextDueMs());
    grant.wait();
    words[WAIT_WORD.KICK] = 0;
    const events = words[WAIT_WORD.EVENTS];
    if (events & EVENT.IRQ) driver.interrupt(words[WAIT_WORD.IRQS]);
    if (events & EVENT.CONFIG) stale = true;
    if (events & EVENT.SIGNAL) onSignal();
  }
}

function timeout(ms: number): number {
  return ms === Infinity ? WAIT_FOREVER : Math.min(Math.ceil(ms * 1000), LONGEST_WAIT_US);
}
