/** A driver's whole life on a grant: map, seal, load, run. */
import { LoopClock, useClock } from "../driver/clock.ts";
import type { Device } from "../driver/device.ts";
import { DeviceError } from "../driver/error.ts";
import type { Driver } from "../driver/mod.ts";
import { type Grant, uapi } from "../kernel/mod.ts";
import { GrantedBlockPort } from "./block_port.ts";
import { GrantedDevice } from "./device.ts";
import { runLoop, type Runnable } from "./loop.ts";
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
  load: () => Promise<Driver<unknown>>;
  log: (message: string) => void;
  /** Called once traffic can flow. */
  onReady: () => void;
  /** Called when the supervisor has sent a message. */
  onSignal: () => void;
}

type Port = GrantedBlockPort | GrantedNetPort;

/** Maps the port that the grant holds; undefined if it holds none. */
function mapPort(grant: Grant): Port | undefined {
  switch (grant.info().port_kind) {
    case uapi.PORT_KIND.net:
      return new GrantedNetPort(grant);
    case uapi.PORT_KIND.block:
      return new GrantedBlockPort(grant);
  }
  return undefined;
}

/** The driver's verbs on its device and port. @throws {DeviceError} if the port is of another class. */
function runnable(driver: Driver<unknown>, { device, port }: { device: Device; port?: Port }): Runnable {
  let state: unknown;
  const verbs = {
    interrupt: (vectors: number) => driver.interrupt(state, vectors),
    poll: (budget: number) => driver.poll(state, budget),
  };
  if (driver.class === "net" && port?.kind === "net") {
    return {
      ...verbs,
      async bringUp() {
        state = await driver.bringUp(device, port);
      },
      configure: () => driver.configure(state, port.config()),
    };
  }
  if (driver.class === "block" && port?.kind === "block") {
    return {
      ...verbs,
      async bringUp() {
        state = await driver.bringUp(device, port);
      },
    };
  }
  throw new DeviceError(
    `Cannot run a ${driver.class} driver on ${device.address}: ` +
      `the manifest grants ${port ? `a ${port.kind} port` : "no port"}`,
  );
}

/** Runs a driver on a grant until it fails, or the kernel takes the grant away. @throws What ended it. */
export async function runDriver(grant: Grant, options: RunOptions): Promise<never> {
  const { start, recorder, seal, load, log, onReady, onSignal } = options;
  const device = new GrantedDevice(grant, start.dma, { options: start.options, log, recorder });
  const port = mapPort(grant);
  seal();
  const clock = new LoopClock(() => grant.now());
  useClock(clock);
  const driver = await load();
  const vectors = driver.vectors ?? 1;
  if (device.vectors < vectors) {
    throw new DeviceError(
      `Cannot run the driver on ${device.address}: it needs ${vectors} interrupt${vectors > 1 ? "s" : ""}, ` +
        `the manifest grants ${device.vectors || "none"}`,
    );
  }
  return await runLoop(runnable(driver, { device, port }), { grant, clock, onReady, onSignal });
}
