/** Claims a device, makes its port, and keeps a driver running on it. */
import { writtenDuration } from "../duration.ts";
import type { HostMessage, Traffic } from "../host/messages.ts";
import { type Claim, ERRNO, KernelError, type Library, Ring3, uapi } from "../kernel/mod.ts";
import type { Manifest } from "../manifest/mod.ts";
import { FleetError, type KillWay } from "./contract.ts";
import { DriverProcess, type HostProgram, type ProcessEnd } from "./driver_process.ts";
import { RestartBudget } from "./policy.ts";
import { kernelReason, processReason } from "./reason.ts";
import type { ChannelState, EventDetail, Reason, State } from "./schema.ts";
import type { Standings } from "./sandbox.ts";
import type { InjectedFault, Version } from "./versions.ts";

/** How long a process that was asked to leave may take until its grant is revoked, milliseconds. */
const LEAVE = 200;

/** How long a process whose grant has ended by itself may take to end and say why, before it is killed; milliseconds. */
const GRACE = 1000;

/** How often the watch on a claim looks up, to see that it is no longer wanted; milliseconds. */
const WATCH_INTERVAL = 250;

/** How long a new version must stand until the way back is given up, milliseconds. */
const PROBATION = 3000;

/** How long a version with a fault that is ready waits for its turn, milliseconds. */
const TURN = 60_000;

/** Why a process with a fault that was taken away is replaced by one without. */
const WITHDRAWN = "its fault was taken away";

/** Wait before a spare that ended by itself is replaced, milliseconds. */
const SPARE_RETRY = 5000;

/**
 * How often a driver that is ready is looked at for its first frame, and for how long; milliseconds. When it
 * came is the kernel's to say, and each look takes time from it.
 */
const FIRST_FRAME = { every: 25, within: 1000 };

/** What the kernel says of a claim. */
export type ClaimStatus = ReturnType<Claim["status"]>;

/** What is known when a driver has ended; the rest comes when its process has. */
export interface Death {
  process: DriverProcess;
  time: Date;
  reason: Reason;
  /** How long it had been ready, milliseconds. */
  ran: number;
  status: ClaimStatus;
  channels: ChannelState[];
  /** Settles when the recovery is over, or none is to come for now: what is left to do would take time from it. */
  over: Promise<void>;
}

/** What a supervisor needs beside its claim. */
export interface SupervisorOptions {
  manifest: Manifest;
  files: HostProgram;
  /** User that the driver's processes become. */
  uid: number;
  version: Version;
  onEvent: (detail: EventDetail) => void;
  /** Takes down a death; the id of the report that there is to be. Must not wait. */
  onDeath: (death: Death) => string;
}

/** What somebody wants of the process that runs. */
type Intent =
  | { kind: "stop" }
  | { kind: "restart"; text: string }
  | { kind: "upgrade"; to: Version };

/** A version that is to run, and has yet to stand its first seconds; one with a fault, to get the device. */
interface Trial {
  process: DriverProcess;
  from: Version;
  result: PromiseWithResolvers<void>;
  timer?: ReturnType<typeof setTimeout>;
}

/** A process that has been given the device, or was refused it. */
interface Given {
  process: DriverProcess;
  /** When, milliseconds; and by the kernel's clock. */
  at: number;
  kernelAt: number;
  /** It was a spare. */
  wasWaiting: boolean;
  /** What it has said since, until somebody listens. */
  said: HostMessage[];
  refused?: Reason;
}

/** How a process's time on the device went. */
interface Stint {
  /** Exit status, if it ended by itself. */
  status: number | null;
  wasReady: boolean;
  death: Death;
  /** The next process, if it has been given the device before it was known why this one ended. */
  next?: Given;
}

/** Recovery times that are kept. */
const KEPT_RECOVERIES = 100;

/** One device and the driver that is kept running on it. Disposing it ends both and gives the claim back. */
export class Supervisor implements AsyncDisposable {
  readonly #library: Library;
  readonly #options: SupervisorOptions;
  readonly #claim: Claim;
  readonly #budget: RestartBudget;
  readonly #recoveries: number[] = [];
  #manifest: Manifest;
  #version: Version;
  #state: State = "stopped";
  #since = new Date();
  #readyAt: number | undefined;
  #reason: Reason | null = null;
  #restarts = 0;
  #nextStart: Date | null = null;
  #process?: DriverProcess;
  #traffic?: Traffic;
  #spare?: DriverProcess;
  #spareRetry?: ReturnType<typeof setTimeout>;
  #intent?: Intent;
  /** What the device of the present process did, if it reached outside its memory. */
  #dmaFault?: Reason;
  /** A process of another version that is made ready, or waits for its turn. */
  #candidate?: DriverProcess;
  /** Has a fault that the next may replace. */
  #withdrawn?: DriverProcess;
  #trial?: Trial;
  #life?: Promise<void>;
  /** Settles with the next process that becomes ready, or the end of all. */
  #ready = Promise.withResolvers<void>();
  /** Ends the wait of a back-off. */
  #wake?: () => void;
  /** Settles when the recovery that is under way is over. */
  #recovery?: PromiseWithResolvers<void>;
  /** Settles with the next change of what a version with a fault waits for. */
  #change = Promise.withResolvers<void>();
  /** Resolves when the kernel has ended the grant of that generation, to what it then says. */
  #grant = { generation: 0, ended: Promise.withResolvers<ClaimStatus>() };
  #watch: Promise<void>;
  #closing = false;

  private constructor(library: Library, claim: Claim, options: SupervisorOptions) {
    this.#library = library;
    this.#options = options;
    this.#claim = claim;
    this.#manifest = options.manifest;
    this.#version = options.version;
    this.#budget = new RestartBudget(options.manifest.restart);
    this.#ready.promise.catch(() => {});
    this.#watch = this.#watchClaim();
  }

  /**
   * Claims a device that is bound to ring3, and makes the port that its manifest names. Starts no driver yet.
   * @throws {KernelError} if the device cannot be claimed, or the port cannot be made.
   */
  static claim(library: Library, address: string, options: SupervisorOptions): Supervisor {
    using ring3 = new Ring3(library);
    const claim = ring3.claim(address);
    try {
      const { port } = options.manifest.grant;
      if (port?.kind === "net") claim.portNet(port);
      if (port?.kind === "block") claim.portBlock(port);
      return new Supervisor(library, claim, options);
    } catch (error) {
      claim[Symbol.dispose]();
      throw error;
    }
  }

  /** What is true now, for whoever shows it. */
  get view(): {
    state: State;
    since: Date;
    uptime: number;
    reason: Reason | null;
    pid: number | null;
    version: Version;
    fault: { label: string; version: string } | null;
    restarts: { total: number; used: number; next: Date | null };
    recoveries: number[];
    spare: { state: "none" | "starting" | "ready"; pid: number | null };
    walls: Standings | null;
  } {
    const spare = this.#spare;
    const running = this.#process?.version;
    return {
      state: this.#state,
      since: this.#since,
      uptime: this.#readyAt === undefined ? 0 : (performance.now() - this.#readyAt) / 1000,
      reason: this.#reason,
      pid: this.#process?.pid ?? null,
      version: this.#version,
      fault: running?.fault ? { label: running.fault.label, version: running.id } : null,
      restarts: { total: this.#restarts, used: this.#budget.used(performance.now()), next: this.#nextStart },
      recoveries: [...this.#recoveries],
      spare: { state: !spare ? "none" : spare.isWaiting ? "ready" : "starting", pid: spare?.pid ?? null },
      walls: this.#process?.walls ?? null,
    };
  }

  /** What the present process has last said of its raw port. */
  get traffic(): Traffic | undefined {
    return this.#traffic;
  }

  /** What the kernel knows of the claim. */
  kernelStatus(): ClaimStatus {
    const status = this.#claim.status();
    // Reading it takes the news away from the watch.
    if (!status.live && status.generation === this.#grant.generation) this.#grant.ended.resolve(status);
    return status;
  }

  /** Starts the driver. Resolves when it is ready. @throws {FleetError} if it runs, or is given up first. */
  start(): Promise<void> {
    if (this.#life) throw new FleetError("conflict", `${this.#manifest.name} is not stopped`);
    this.#budget.reset();
    // Left where the last life could not go on to its end.
    this.#intent = undefined;
    this.#life = this.#live().catch((error) => this.#giveUp(error)).finally(() => this.#life = undefined);
    return this.#ready.promise;
  }

  /** Ends the driver, and the port's link with it. Resolves when it has ended. */
  async stop(): Promise<void> {
    this.#ask({ kind: "stop" });
    await this.#life;
  }

  /** Replaces the process by another. Resolves when that is ready. */
  restart(text = "restarted on request"): Promise<void> {
    if (!this.#life) throw new FleetError("conflict", `${this.#manifest.name} does not run: start it`);
    this.#ask({ kind: "restart", text });
    return this.#ready.promise;
  }

  /**
   * Takes away the fault that runs. One that waits for its turn has it at once, or else the version before takes
   * over, as after a restart; so it is too if that which waits comes to nothing.
   * @throws {FleetError} `conflict` if none runs.
   */
  withdraw(): void {
    const { name } = this.#manifest;
    if (!this.#process?.version.fault) {
      throw new FleetError("conflict", `${name} runs without an injected fault`);
    }
    if (this.#candidate?.version.fault) {
      this.#withdrawn = this.#process;
      this.#noteChange();
    } else this.#ask({ kind: "restart", text: WITHDRAWN });
  }

  /**
   * @param version What is to replace it: one with a fault does so in its turn.
   * @throws {FleetError} `conflict` unless the running process may be replaced by that version.
   */
  needReplaceable({ fault }: Pick<Version, "fault">): void {
    const why = fault && !this.#isOver ? undefined : this.#occupied;
    if (why) throw new FleetError("conflict", why);
  }

  /**
   * Replaces the running version by another. Resolves when that has stood its first seconds. One at a time.
   *
   * A version with a fault replaces it for the life of one process: however that ends, it counts as any end
   * does, and the next process is of the version before. It is made ready at once, and has its turn when no other
   * fault runs, and the driver has recovered and has the spare that its manifest wants. Resolves when it has the
   * device.
   * @param options `turn`: how long one with a fault waits for its turn, milliseconds.
   * @throws {FleetError} `failed` if it was refused, or did not stand: the old version then runs; `conflict` if
   * its turn did not come.
   */
  async upgrade(version: Version, { turn = TURN }: { turn?: number } = {}): Promise<void> {
    const { name, limits } = this.#manifest;
    const { fault } = version;
    const from = this.#version;
    this.needReplaceable(version);
    if (version.id === from.id) {
      throw new FleetError("conflict", `${name} runs version ${from.id} already: its files have not changed`);
    }
    if (!fault) this.#tell({ type: "upgrade", state: "started", from: from.id, to: version.id, text: "" });
    const process = this.#candidate = this.#spawn(version);
    const late = setTimeout(() => process.kill(), limits.start);
    const waits = await process.waiting;
    clearTimeout(late);
    const early = waits && fault ? await this.#turnOf(process, turn) : undefined;
    this.#candidate = undefined;
    const isGone = fault ? this.#isOver : this.#state !== "running";
    if (isGone || early || !process.isWaiting) {
      const gone = isGone ? `${name} is ${this.#state} by now` : undefined;
      process.kill();
      const { text } = processReason(await process.ended, version);
      const why = gone ?? early ?? `the new version does not start: ${text}`;
      this.#tellRefused(version, { from, state: "refused", text: why });
      if (this.#withdrawn && this.#withdrawn === this.#process) {
        this.#ask({ kind: "restart", text: WITHDRAWN });
      }
      if (!gone && early) throw new FleetError("conflict", early);
      const what = fault ? `inject a fault into ${name}` : `upgrade ${name}`;
      throw new FleetError("failed", `Cannot ${what}: ${why}`);
    }
    const trial: Trial = { process, from, result: Promise.withResolvers() };
    trial.result.promise.catch(() => {});
    this.#trial = trial;
    if (!fault) this.#version = version;
    this.#ask({ kind: "upgrade", to: version });
    await trial.result.promise;
  }

  /** Has the process end in that way. */
  kill(how: KillWay): void {
    const process = this.#process;
    if (!process) throw new FleetError("conflict", `${this.#manifest.name} has no process now`);
    if (how === "kill") process.kill();
    else if (process.say({ type: "fault", how })) this.#signal();
  }

  /**
   * The IOMMU has stopped the device: ends the process that programmed it. The log is read some milliseconds late,
   * so it may be the successor's, which is of the same driver. False if there is no process.
   */
  dmaFault(text: string): boolean {
    if (!this.#process) return false;
    this.#dmaFault ??= { kind: "dma-fault", text };
    this.#claim.revoke();
    return true;
  }

  /**
   * Goes on with another manifest, which differs neither in name nor in port. What concerns the process takes
   * effect with the next one: true if there is such a thing.
   */
  adopt(manifest: Manifest): boolean {
    const ofProcess = ({ grant, options, limits, walls, jit, recordRegisters }: Manifest) =>
      JSON.stringify([grant, options, limits, walls, jit, recordRegisters]);
    const changed = ofProcess(manifest) !== ofProcess(this.#manifest);
    this.#manifest = manifest;
    this.#budget.policy = manifest.restart;
    if (!manifest.spare) this.#dropSpare();
    else if (this.#state === "running") this.#refill();
    this.#noteChange();
    return changed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true;
    await this.stop();
    await this.#watch;
    this.#claim[Symbol.dispose]();
  }

  // ---- its life ----

  async #live(): Promise<void> {
    let since = performance.now();
    let lastDeath: bigint | undefined;
    let given: Given | undefined;
    this.#enter("starting");
    for (let first = true;; first = false) {
      given ??= this.#give(this.#take());
      const { process } = given;
      const { status, wasReady, death, next: ahead }: Stint = await this.#serve(given, { lastDeath, since });
      const { reason } = death;
      given = ahead;
      lastDeath = death.status.ended_ns;
      this.#readyAt = undefined;
      this.#process = ahead?.process;
      this.#reason = reason;

      // What has been asked for since the next process has the device is for that one to hear.
      const intent = ahead ? undefined : this.#intent;
      if (!ahead) this.#intent = undefined;
      const now = performance.now();
      let next: ReturnType<RestartBudget["decide"]> = { next: "restart", delay: 0 };
      const trial = this.#trial?.process === process ? this.#trial : undefined;
      if (intent?.kind === "stop") next = { next: "stop" };
      else if (!intent && !trial) {
        next = this.#budget.decide({ reason, status, wasReady, first, now, since });
        if (next.next === "restart") this.#restarts++;
      }
      if (next.next === "give-up" && next.why !== "") {
        this.#reason = { ...reason, text: `${reason.text}; given up: ${next.why}` };
      }
      // Being replaced by a fault is no end that the account of restarts begins anew with.
      if (intent?.kind !== "upgrade" || !intent.to.fault) since = now;
      this.#tell({
        type: "ended",
        pid: process.pid,
        reason: this.#reason,
        next: next.next,
        delay: next.next === "restart" ? next.delay : 0,
        ...(reason.kind === "stall" && death.status.stalled_ms > 0
          ? { waited: death.status.stalled_ms }
          : {}),
        report: this.#options.onDeath({ ...death, reason: this.#reason }),
      });
      if (trial) this.#revert(trial, reason);
      if (given && (next.next !== "restart" || next.delay > 0)) {
        this.#takeBack(given);
        given = undefined;
      }
      if (next.next !== "restart") {
        this.#end(next.next === "stop" ? "stopped" : "failed", this.#reason);
        return;
      }
      if (next.delay > 0 && !await this.#backOff(next.delay)) {
        this.#end("stopped", this.#reason);
        return;
      }
      this.#enter("restarting");
    }
  }

  /** Without a process there is no death, but an end: the machine has no room for another, say. */
  #giveUp(error: unknown): void {
    const reason: Reason = { kind: "refused", text: error instanceof Error ? error.message : String(error) };
    this.#process?.kill();
    this.#process = undefined;
    this.#readyAt = undefined;
    this.#claim.revoke();
    this.#reason = reason;
    this.#tell({ type: "ended", pid: 0, reason, next: "give-up", delay: 0, report: null });
    this.#end("failed", reason);
  }

  /** Waits before the next process; false if it is not wanted any more. */
  async #backOff(delay: number): Promise<boolean> {
    this.#nextStart = new Date(Date.now() + delay);
    this.#enter("waiting");
    this.#endRecovery();
    if (this.#manifest.spare) this.#refill();
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, delay);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = undefined;
    this.#nextStart = null;
    const intent = this.#intent;
    this.#intent = undefined;
    return intent?.kind !== "stop";
  }

  #end(state: "stopped" | "failed", reason: Reason): void {
    this.#endRecovery();
    this.#dropSpare();
    this.#candidate?.kill();
    // It was to be the next, and there is none.
    if (this.#trial) this.#revert(this.#trial, reason);
    // Nobody serves it any more: who uses it is to know.
    this.#claim.portDown();
    this.#enter(state);
    this.#ready.reject(new FleetError("failed", `${this.#manifest.name} has ended: ${reason.text}`));
    this.#renewReady();
  }

  /** Makes a grant and gives it to a process. */
  #give(process: DriverProcess): Given {
    const { grant: { addressBits, bars, interrupts, dma, port }, limits, options } = this.#manifest;
    const rawRing = port?.kind === "raw" ? port.ring : undefined;
    const given: Given = {
      process,
      at: performance.now(),
      kernelAt: this.#library.r3_now(),
      wasWaiting: process.isWaiting,
      said: [],
    };
    this.#process = process;
    this.#traffic = undefined;
    this.#dmaFault = undefined;
    process.onMessage = (message) => given.said.push(message);
    try {
      const grant = this.#claim.grant({
        windows: bars,
        irqs: interrupts.count,
        irqType: uapi.IRQ_TYPE[interrupts.type ?? "none"],
        dmaBits: addressBits,
        dmaLimit: dma,
        stallMs: limits.stall,
      });
      try {
        process.give(grant, { type: "start", options, dma, rawRing });
      } catch (error) {
        if (!hasClosed(error)) throw error;
        // It has ended before it was given anything, and why is for its end to say.
      } finally {
        this.#library.r3_close(grant);
      }
      this.#grant = { generation: this.#claim.status().generation, ended: Promise.withResolvers() };
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      given.refused = error.errno === ERRNO.ENODEV
        ? { kind: "device-lost", text: "the device was removed" }
        : { kind: "refused", text: error.message };
      process.kill();
    }
    return given;
  }

  /** Takes the device away from a process that was to be the next and is not. */
  #takeBack({ process }: Given): void {
    this.#claim.revoke();
    process.kill();
    this.#process = undefined;
  }

  /** Watches over a process that has been given the device, until it ends or loses it. */
  async #serve(
    given: Given,
    { lastDeath, since }: { lastDeath: bigint | undefined; since: number },
  ): Promise<Stint> {
    const { process, refused } = given;
    const { limits } = this.#manifest;
    let readyAt: number | undefined;
    let isLate = false;
    // What happens to it is told of by its number.
    await process.launched;
    this.#tell({
      type: "starting",
      pid: process.pid,
      spare: given.wasWaiting,
      version: process.version.id,
    });
    if (process.version.fault && this.#trial?.process === process) {
      this.#hasBegun(this.#trial, process.version.fault);
    }
    const late = setTimeout(() => {
      isLate = true;
      this.#claim.revoke();
    }, limits.start);
    const listen = (message: HostMessage) => {
      if (message.type === "log") this.#tell({ type: "log", text: message.text });
      if (message.type === "traffic") this.#traffic = message;
      if (message.type !== "ready" || readyAt !== undefined) return;
      readyAt = performance.now();
      clearTimeout(late);
      this.#becomeReady(given, { ms: readyAt - given.at, lastDeath });
    };
    given.said.forEach(listen);
    process.onMessage = listen;
    const last = refused
      ? undefined
      : await Promise.race([process.ended.then(() => undefined), this.#grant.ended.promise]);
    clearTimeout(late);
    // Without the kernel's word its descriptors may be open yet, where it has passed them to somebody.
    if (!last) this.#claim.revoke();
    const status = last ?? this.kernelStatus();
    const channels = this.#channels();
    let reason: Reason | undefined = refused ?? this.#dmaFault ??
      (isLate ? this.#lateReason() : kernelReason(status)) ??
      this.#intentReason(this.#intent);
    if (reason) process.kill();
    const wasReady = readyAt !== undefined;
    const next = reason || !wasReady ? undefined : this.#giveAhead(process, since);
    const end = reason ? undefined : await this.#endOf(process);
    // A device that was stopped may make its driver throw before the log has told of it.
    reason ??= (next ? undefined : this.#dmaFault) ?? processReason(end!, process.version);
    const ran = readyAt === undefined ? 0 : performance.now() - readyAt;
    const { promise: over } = this.#recovery ??= Promise.withResolvers();
    const { fault } = process.version;
    if (fault) {
      reason = { ...reason, fault: fault.label, text: `injected fault (${fault.label}): ${reason.text}` };
    }
    return {
      status: end && !end.signal ? end.code : null,
      wasReady,
      death: { process, time: new Date(), reason, ran, status, channels, over },
      next,
    };
  }

  /**
   * Gives the device to the spare while a process that has lost it is still about to end, as one that was killed
   * takes longer for that than all else here. Only where its end, whatever it is, is answered by a restart at
   * once; one that has said why it ends waits for what the log may tell of its device.
   */
  #giveAhead(process: DriverProcess, since: number): Given | undefined {
    const spare = this.#spare;
    if (!spare?.isWaiting || spare.version.id !== this.#version.id) return undefined;
    if (process.hasFailed || this.#trial || this.#closing) return undefined;
    if (!this.#budget.allowsAtOnce({ now: performance.now(), since })) return undefined;
    this.#spare = undefined;
    return this.#give(spare);
  }

  /** The end of a process that has closed its grant: it comes by itself, or is brought about. */
  async #endOf(process: DriverProcess): Promise<ProcessEnd> {
    const timer = setTimeout(() => process.kill(), GRACE);
    const end = await process.ended;
    clearTimeout(timer);
    return end;
  }

  #channels(): ChannelState[] {
    try {
      return this.#claim.channels();
    } catch (error) {
      // There were none.
      if (!(error instanceof KernelError)) throw error;
      return [];
    }
  }

  #lateReason(): Reason {
    return {
      kind: "stall",
      text: `not ready ${writtenDuration(this.#manifest.limits.start)} after it got its device`,
    };
  }

  /** The reason of an end that somebody asked for. */
  #intentReason(intent: Intent | undefined): Reason | undefined {
    switch (intent?.kind) {
      case "stop":
        return { kind: "operator", text: "stopped on request" };
      case "restart":
        return { kind: "operator", text: intent.text };
      case "upgrade":
        return {
          kind: "upgrade",
          text: `version ${intent.to.id} takes over${
            intent.to.fault ? `, with an injected fault (${intent.to.fault.label})` : ""
          }`,
        };
    }
  }

  #becomeReady(given: Given, { ms, lastDeath }: { ms: number; lastDeath: bigint | undefined }): void {
    const { process } = given;
    this.#readyAt = performance.now();
    this.#enter("running");
    this.#tell({ type: "ready", ms });
    const trial = this.#trial;
    if (trial?.process === process) trial.timer = setTimeout(() => this.#pass(trial), PROBATION);
    this.#limitFault(process);
    void this.#carry(given, lastDeath);
    this.#ready.resolve();
    this.#renewReady();
  }

  /** Sees a process that is ready to its first frame, and then does what has been left for after it. */
  async #carry(given: Given, lastDeath: bigint | undefined): Promise<void> {
    const { process } = given;
    if (lastDeath !== undefined) await this.#measure(given, Number(lastDeath) / 1e6);
    // It has ended meanwhile: the recovery goes on with the next one.
    if (this.#process !== process) return;
    this.#endRecovery();
    if (this.#manifest.spare && this.#trial?.process !== process) this.#refill();
  }

  #endRecovery(): void {
    this.#recovery?.resolve();
    this.#recovery = undefined;
    this.#noteChange();
  }

  #renewReady(): void {
    this.#ready = Promise.withResolvers();
    this.#ready.promise.catch(() => {});
  }

  /** Tells how long nobody served the port, by the kernel's clock. */
  async #measure({ process, kernelAt }: Given, death: number): Promise<void> {
    const now = this.#library.r3_now();
    const until = performance.now() + FIRST_FRAME.within;
    let status = this.kernelStatus();
    // Without a port of the kernel's nothing attaches, and the kernel sees no frame.
    const attached = status.attached_ns === 0n ? now : Number(status.attached_ns) / 1e6;
    while (
      status.attached_ns !== 0n && status.carried_ns === 0n && performance.now() < until &&
      this.#process === process
    ) {
      await new Promise((resolve) => setTimeout(resolve, FIRST_FRAME.every));
      if (this.#process !== process) return;
      status = this.kernelStatus();
    }
    const frame = status.carried_ns !== 0n;
    const ms = (frame ? Number(status.carried_ns) / 1e6 : attached) - death;
    this.#recoveries.push(ms);
    if (this.#recoveries.length > KEPT_RECOVERIES) this.#recoveries.shift();
    this.#tell({ type: "recovered", ms, handed: kernelAt - death, frame });
  }

  // ---- upgrades ----

  /** A new version has stood its first seconds. */
  #pass(trial: Trial): void {
    this.#trial = undefined;
    this.#tell({
      type: "upgrade",
      state: "done",
      from: trial.from.id,
      to: trial.process.version.id,
      text: "",
    });
    this.#dropSpare();
    if (this.#manifest.spare) this.#refill();
    trial.result.resolve();
  }

  /** It has not: the next process is of the version before it. */
  #revert(trial: Trial, { text }: Reason): void {
    clearTimeout(trial.timer);
    trial.process.kill();
    this.#trial = undefined;
    this.#version = trial.from;
    this.#tellRefused(trial.process.version, { from: trial.from, state: "reverted", text });
    trial.result.reject(
      new FleetError("failed", `${this.#manifest.name} is back at version ${trial.from.id}: ${text}`),
    );
  }

  /** Tells that a version does not run, or no more. */
  #tellRefused(
    { id, fault }: Version,
    { from, state, text }: { from: Version; state: "refused" | "reverted"; text: string },
  ): void {
    if (fault) this.#tell({ type: "fault", state: "refused", label: fault.label, version: id, text });
    else this.#tell({ type: "upgrade", state, from: from.id, to: id, text });
  }

  // ---- faults ----

  /** A version with a fault has the device. That is no trial any more: nothing that it does makes it stay. */
  #hasBegun({ process, result }: Trial, { label }: InjectedFault): void {
    this.#trial = undefined;
    this.#tell({ type: "fault", state: "injected", label, version: process.version.id, text: "" });
    result.resolve();
  }

  /** True if no process runs, or is to run, until somebody starts the driver. */
  get #isOver(): boolean {
    return this.#state === "stopped" || this.#state === "failed";
  }

  /** Why the running process may not be replaced by another version now. */
  get #occupied(): string | undefined {
    const { name } = this.#manifest;
    const fault = this.#process?.version.fault;
    if (fault && this.#process !== this.#withdrawn) {
      return `${name} runs with an injected fault (${fault.label}): wait for its end, or restart ${name}`;
    }
    return this.#state === "running" ? undefined : `${name} is ${this.#state}, not running`;
  }

  /** Why it is no version's turn that has a fault: its end is to find the driver as that of any other would. */
  get #unready(): string | undefined {
    const { name, spare } = this.#manifest;
    if (this.#occupied) return this.#occupied;
    if (this.#recovery) return `${name} has not recovered yet`;
    return !spare || this.#spare?.isWaiting ? undefined : `${name} has no spare that is ready`;
  }

  /**
   * Waits for the turn of a process, unless it ends, or the driver does. Why it did not come within `ms`
   * milliseconds, if it did not.
   */
  async #turnOf(process: DriverProcess, ms: number): Promise<string | undefined> {
    const { promise: late, resolve } = Promise.withResolvers<void>();
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      resolve();
    }, ms);
    while (!isLate && process.isWaiting && !this.#isOver && this.#unready) {
      await Promise.race([late, process.ended, this.#change.promise]);
    }
    clearTimeout(timer);
    return isLate ? this.#unready : undefined;
  }

  #noteChange(): void {
    this.#change.resolve();
    this.#change = Promise.withResolvers();
  }

  /** Has the version before take over from one with a fault that is ready, when its time has passed. */
  #limitFault(process: DriverProcess): void {
    const ms = process.version.fault?.ms;
    if (ms === undefined) return;
    const timer = setTimeout(() => {
      if (this.#process !== process) return;
      this.#ask({ kind: "restart", text: `its time of ${writtenDuration(ms)} has passed` });
    }, ms);
    process.ended.then(() => clearTimeout(timer));
  }

  // ---- processes ----

  #spawn(version: Version): DriverProcess {
    const { files, uid } = this.#options;
    const process = DriverProcess.spawn(this.#library, { files, version, uid, manifest: this.#manifest });
    // Its modules run, and may speak, before it has the device.
    process.onMessage = (message) => {
      if (message.type === "log") this.#tell({ type: "log", text: message.text });
    };
    return process;
  }

  /**
   * The process that a new version waits in; or the spare, if it is of the right version: even one that is not
   * ready is ahead of a new process.
   */
  #take(): DriverProcess {
    if (this.#trial) return this.#trial.process;
    const spare = this.#spare;
    if (spare?.version.id !== this.#version.id) return this.#spawn(this.#version);
    this.#spare = undefined;
    return spare;
  }

  #refill(): void {
    if (this.#spare || this.#closing) return;
    clearTimeout(this.#spareRetry);
    let spare: DriverProcess;
    try {
      spare = this.#spawn(this.#version);
    } catch (error) {
      // The machine has no room for another now, say, which is no reason to end the one that runs.
      this.#tell({ type: "log", text: `no spare: ${error instanceof Error ? error.message : error}` });
      this.#refillLater();
      return;
    }
    this.#spare = spare;
    const tell = (state: "starting" | "ready" | "lost") =>
      this.#tell({ type: "spare", state, pid: spare.pid });
    spare.launched.then(() => tell("starting"));
    // What its modules do has an end.
    const late = setTimeout(() => {
      if (this.#spare === spare) spare.kill();
    }, this.#manifest.limits.start);
    spare.waiting.then((waits) => {
      clearTimeout(late);
      if (!waits || this.#spare !== spare) return;
      tell("ready");
      this.#noteChange();
    });
    spare.ended.then((end) => {
      if (this.#spare !== spare) return;
      this.#spare = undefined;
      if (end.failed) {
        this.#tell({ type: "log", text: `no spare: ${processReason(end, spare.version).text}` });
      }
      tell("lost");
      this.#refillLater();
    });
  }

  #refillLater(): void {
    this.#spareRetry = setTimeout(() => {
      if (this.#state === "running" && this.#manifest.spare) this.#refill();
    }, SPARE_RETRY);
  }

  #dropSpare(): void {
    clearTimeout(this.#spareRetry);
    const spare = this.#spare;
    this.#spare = undefined;
    spare?.kill();
  }

  // ---- what is wanted ----

  /** Has the running process leave, or ends the wait for the next one. */
  #ask(intent: Intent): void {
    // What comes after a stop does not undo it: somebody waits for that end.
    if (!this.#life || this.#intent?.kind === "stop") return;
    this.#intent = intent;
    this.#wake?.();
    const process = this.#process;
    if (!process) return;
    if (process.say({ type: "leave" })) this.#signal();
    setTimeout(() => {
      if (this.#process === process) this.#claim.revoke();
    }, LEAVE);
  }

  /** Ends the WAIT of the driver, so that it reads what it was told. */
  #signal(): void {
    try {
      this.#claim.signal();
    } catch (error) {
      // Without a grant there is no WAIT either.
      if (!(error instanceof KernelError)) throw error;
    }
  }

  #enter(state: State): void {
    this.#state = state;
    this.#since = new Date();
    this.#noteChange();
  }

  #tell(detail: EventDetail): void {
    this.#options.onEvent(detail);
  }

  /** Notices the kernel's word of a grant's end, however it came about. */
  async #watchClaim(): Promise<void> {
    while (!this.#closing || this.#life) {
      if (!await this.#claim.changed({ ms: WATCH_INTERVAL })) continue;
      const { live, end } = this.kernelStatus();
      // A lost device goes on reporting itself.
      if (!live && end === uapi.END.deviceLost) {
        await new Promise((resolve) => setTimeout(resolve, WATCH_INTERVAL));
      }
    }
  }
}

/** Whether a process could not be told something because it has ended. */
function hasClosed(error: unknown): boolean {
  return error instanceof KernelError && (error.errno === ERRNO.EPIPE || error.errno === ERRNO.EBADF);
}
