/** A driver's whole life on a grant: map, seal, load, run. */
import { LoopClock, useClock } from "../driver/clock.ts";
import { DeviceError } from "../driver/error.ts";
import type { Grant } from "../kernel/mod.ts";
import type { NetDriver } from "../net/contract.ts";
import { GrantedDevice } from "./device.ts";
import { runLoop } from "./loop.ts";
import type { StartMessage } from "./messages.ts";
import { GrantedNetPort } from "./net_port.ts";
import type { Recorder } from "./recorder.ts";

/** What a driver is run with. */
export interface RunOptions {
  start: Pick<StartMessage, "options" | "dma">;
  recorder?: Recorder;
  /** Called when all is mapped: after it, nothing can be. */
  seal: () => void;
  /** Runs the driver's module, which no line of has run before. */
  load: () => Promise<NetDriver<unknown>>;
  log: (message: string) => void;
  /** Called once traffic can flow. */
  onReady: () => void;
  /** Called when the supervisor has sent a message. */
  onSignal: () => void;
}

/** Runs a driver on a grant until it fails, or the kernel takes the grant away. @throws What ended it. */
export async function runDriver(grant: Grant, options: RunOptions): Promise<never> {
  const { start, recorder, seal, load, log, onReady, onSignal } = options;
  const device = new GrantedDevice(grant, start.dma, { options: start.options, log, recorder });
  const port = new GrantedNetPort(grant);
  seal();
  const clock = new LoopClock();
  useClock(clock);
  const driver = await load();
  const vectors = driver.vectors ?? 1;
  if (device.vectors < vectors) {
    throw new DeviceError(
      `Cannot run the driver on ${device.address}: it needs ${vectors} interrupt${vectors > 1 ? "s" : ""}, ` +
        `the manifest grants ${device.vectors || "none"}`,
    );
  }
  let state: unknown;
  return await runLoop({
    async bringUp() {
      state = await driver.bringUp(device, port);
    },
    configure: () => driver.configure(state, port.config()),
    interrupt: (vectors) => driver.interrupt(state, vectors),
    poll: (budget) => driver.poll(state, budget),
  }, { grant, clock, onReady, onSignal });
}
