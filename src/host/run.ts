/** A driver's life on a grant: map, seal that, bring up, run. */
import type { LoopClock } from "../driver/clock.ts";
import type { Device } from "../driver/device.ts";
import { DeviceError } from "../driver/error.ts";
import type { Driver } from "../driver/mod.ts";
import { type Grant, uapi } from "../kernel/mod.ts";
import { GrantedBlockPort } from "./block_port.ts";
import { GrantedDevice } from "./device.ts";
import { runLoop, type Runnable } from "./loop.ts";
import type { StartMessage, TrafficMessage } from "./messages.ts";
import type { Program } from "../net/raw.ts";
import { GrantedNetPort } from "./net_port.ts";
import { RawPort, type RawPortOptions } from "./raw_port.ts";
import type { Recorder } from "./recorder.ts";

/** What a driver is run with. */
export interface RunOptions {
  start: Pick<StartMessage, "options" | "dma" | "rawRing">;
  recorder?: Recorder;
  /** What its module has as default export. */
  driver: Driver<unknown>;
  /** The one that `useClock` has been told of. */
  clock: LoopClock;
  /** Called when all is mapped: after it, nothing can be. */
  seal: () => void;
  log: (message: string) => void;
  /** Called once traffic can flow. */
  onReady: () => void;
  /** Called when the supervisor has sent a message. */
  onSignal: () => void;
  /** What a raw port takes besides, if that is what the manifest has. */
  raw?: {
    program: Program | undefined;
    /** Called with what the port has carried. */
    onTraffic: (traffic: TrafficMessage) => void;
  };
}

type Port = GrantedBlockPort | GrantedNetPort | RawPort;

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
  if (driver.class === "net" && (port?.kind === "net" || port?.kind === "raw")) {
    return {
      ...verbs,
      ...(port.kind === "raw" ? { poll: (budget: number) => port.poll(verbs.poll, budget) } : {}),
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

/** The port that a program is run on. @throws {DeviceError} if its module has none, or there is no memory for it. */
function rawPort(
  device: Device,
  program: Program | undefined,
  options: Omit<RawPortOptions, "program">,
): RawPort {
  if (typeof program?.frame === "function") return new RawPort(device, { ...options, program });
  throw new DeviceError(
    `Cannot run the program on ${device.address}: its file has no defineProgram(…) as its default export`,
  );
}

/** Runs a driver on a grant until it fails, or the kernel takes the grant away. @throws What ended it. */
export async function runDriver(grant: Grant, options: RunOptions): Promise<never> {
  const { start, recorder, driver, clock, seal, log, onReady, onSignal, raw } = options;
  const device = new GrantedDevice(grant, start.dma, { options: start.options, log, recorder });
  const granted = mapPort(grant);
  seal();
  const vectors = driver.vectors ?? 1;
  if (device.vectors < vectors) {
    throw new DeviceError(
      `Cannot run the driver on ${device.address}: it needs ${vectors} interrupt${vectors > 1 ? "s" : ""}, ` +
        `the manifest grants ${device.vectors || "none"}`,
    );
  }
  const port = raw && start.rawRing !== undefined
    ? rawPort(device, raw.program, { ring: start.rawRing, onTraffic: raw.onTraffic })
    : granted;
  return await runLoop(runnable(driver, { device, port }), { grant, clock, onReady, onSignal });
}
