/** Claims a device, makes its port, and keeps a driver running on it. */
import type { HostMessage } from "../host/messages.ts";
import { type Claim, type Library, Ring3, uapi } from "../kernel/mod.ts";
import type { Manifest } from "../manifest/mod.ts";
import { DriverProcess, type HostFiles } from "./driver_process.ts";
import { type EndReason, endReason } from "./reason.ts";

/** Where a supervised driver is in its life. */
export type State = "starting" | "running" | "restarting" | "stopped" | "failed";

/** What happens to a driver, as it happens. */
export type SupervisorEvent =
  | { type: "starting"; pid: number }
  | { type: "ready"; ms: number }
  | { type: "log"; text: string }
  | { type: "ended"; reason: EndReason; restarting: boolean };

/** Starts in a row that may fail before the driver was ready; then it is given up. */
const FAILED_STARTS = 5;

/** Signals that somebody sends: no fault of the driver's, so a start that they end has not failed. */
const SENT: readonly (string | null)[] = ["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP"];

/** How long a process may take to notice that its grant has ended, before it is killed; milliseconds. */
const GRACE = 500;

/** How often the watch on a claim looks up, to see that it is no longer wanted; milliseconds. */
const WATCH_INTERVAL = 250;

/** Kinds of interrupt as the kernel numbers them; a manifest without one leaves the choice to the kernel. */
const IRQ_TYPES = { intx: uapi.IRQ_TYPE.intx, msi: uapi.IRQ_TYPE.msi, msix: uapi.IRQ_TYPE.msix };

/** Address bits of a device whose manifest does not say. */
const DMA_BITS = 64;

/** One device and the driver that is kept running on it. Disposing it ends both and gives the claim back. */
export class Supervisor implements AsyncDisposable {
  readonly #library: Library;
  readonly #manifest: Manifest;
  readonly #files: HostFiles;
  readonly #uid: number;
  readonly #onEvent: (event: SupervisorEvent) => void;
  readonly #claim: Claim;
  #state: State = "starting";
  #process?: DriverProcess;
  #restarts = 0;
  #stopping = false;
  #watch: Promise<void>;
  #watching = true;

  private constructor(library: Library, claim: Claim, { manifest, files, uid, onEvent }: {
    manifest: Manifest;
    files: HostFiles;
    uid: number;
    onEvent: (event: SupervisorEvent) => void;
  }) {
    this.#library = library;
    this.#manifest = manifest;
    this.#files = files;
    this.#uid = uid;
    this.#onEvent = onEvent;
    this.#claim = claim;
    this.#watch = this.#watchClaim();
  }

  /**
   * Claims a device that is bound to ring3, and makes the port that its manifest names. Starts no driver yet.
   * @throws {KernelError} if the device cannot be claimed, or the port cannot be made.
   */
  static claim(library: Library, address: string, options: {
    manifest: Manifest;
    files: HostFiles;
    uid: number;
    onEvent: (event: SupervisorEvent) => void;
  }): Supervisor {
    using ring3 = new Ring3(library);
    const claim = ring3.claim(address);
    try {
      const { port } = options.manifest.grant;
      if (port) claim.portNet(port);
      return new Supervisor(library, claim, options);
    } catch (error) {
      claim[Symbol.dispose]();
      throw error;
    }
  }

  get state(): State {
    return this.#state;
  }

  /** Drivers started after the first. */
  get restarts(): number {
    return this.#restarts;
  }

  /** Process that runs the driver, if one does. */
  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** What the kernel knows of the claim. */
  kernelStatus(): ReturnType<Claim["status"]> {
    return this.#claim.status();
  }

  /**
   * Runs drivers until `stop`, or until there is no use in another. Resolves with the reason of the last end,
   * or undefined if it was stopped.
   */
  async run(): Promise<EndReason | undefined> {
    let failedStarts = 0;
    for (;;) {
      const { reason, wasReady, killed } = await this.#runOnce();
      if (this.#stopping) {
        this.#state = "stopped";
        return undefined;
      }
      if (wasReady) failedStarts = 0;
      else if (!killed) failedStarts++;
      // What a driver says against its first start is for its author to mend, not for a restart.
      const hopeless = reason.kind === "device-lost" || failedStarts === FAILED_STARTS ||
        (this.#restarts === 0 && !wasReady && reason.kind === "exception");
      this.#state = hopeless ? "failed" : "restarting";
      this.#onEvent({ type: "ended", reason, restarting: !hopeless });
      if (hopeless) return reason;
      this.#restarts++;
    }
  }

  /** Ends the driver; `run` then resolves. */
  stop(): void {
    this.#stopping = true;
    this.#claim.revoke();
    this.#process?.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop();
    await this.#process?.ended;
    this.#watching = false;
    await this.#watch;
    this.#claim[Symbol.dispose]();
  }

  async #runOnce(): Promise<{ reason: EndReason; wasReady: boolean; killed: boolean }> {
    const { bars, interrupts, dma } = this.#manifest.grant;
    const started = performance.now();
    let wasReady = false;
    const process = DriverProcess.spawn(this.#library, {
      files: this.#files,
      driver: this.#manifest.driver,
      uid: this.#uid,
      onMessage: (message) => {
        if (message.type === "ready") {
          wasReady = true;
          this.#state = "running";
        }
        this.#report(message, performance.now() - started);
      },
    });
    this.#process = process;
    this.#onEvent({ type: "starting", pid: process.pid });
    try {
      const grant = this.#claim.grant({
        windows: bars,
        irqs: interrupts.count,
        irqType: interrupts.type ? IRQ_TYPES[interrupts.type] : uapi.IRQ_TYPE.none,
        dmaBits: DMA_BITS,
        dmaLimit: dma,
        stallMs: 0,
      });
      try {
        process.give(grant, { type: "start", options: this.#manifest.options, dma });
      } finally {
        this.#library.r3_close(grant);
      }
    } catch (error) {
      process.kill();
      await process.ended;
      throw error;
    }
    const end = await process.ended;
    this.#process = undefined;
    // Its descriptors are closed by now, but whoever it passed them to may not have closed theirs.
    this.#claim.revoke();
    const reason = endReason(end, this.#claim.status());
    return { reason, wasReady, killed: reason.kind === "signal" && SENT.includes(end.signal) };
  }

  #report(message: HostMessage, ms: number): void {
    if (message.type === "ready") this.#onEvent({ type: "ready", ms });
    if (message.type === "log") this.#onEvent({ type: "log", text: message.text });
  }

  /** Ends a process that lives on without its grant. */
  async #watchClaim(): Promise<void> {
    let generation = 0;
    while (this.#watching) {
      if (!await this.#claim.changed({ ms: WATCH_INTERVAL })) continue;
      const status = this.#claim.status();
      if (status.live || status.generation === generation) {
        // A lost device goes on reporting itself.
        await new Promise((resolve) => setTimeout(resolve, WATCH_INTERVAL));
        continue;
      }
      generation = status.generation;
      const process = this.#process;
      if (process) setTimeout(() => process.kill(), GRACE);
    }
  }
}
