/** A lab in which faults are injected: the driver with its application, and a twin that nothing is done to. */
import { buildFaults } from "../../build.ts";
import type { Action } from "../../client/api_client.ts";
import { UserError } from "../../error.ts";
import { checkout } from "../../lab/checkout.ts";
import { CHECKOUT } from "../../lab/guest.ts";
import { complaintsOf, type Disk, type Hardware, type Lab, nicAddress } from "../../lab/mod.ts";
import { pause } from "../../pause.ts";
import { type LabOptions, startLab } from "../../run/lab.ts";
import { DriverRun } from "../../soak/driver_run.ts";
import { sh } from "../../soak/lab.ts";
import { writeManifest } from "../../soak/manifest.ts";
import { keepQuiet, layFarEnd, OURS, PEER } from "../../soak/wire.ts";
import type { Driver, Event, Report } from "../../supervisor/schema.ts";
import type { Campaign } from "../schema.ts";
import { startUdp, startWorkload } from "../workloads/mod.ts";
import { Application } from "./application.ts";

/** `limits.stall` of the manifest, milliseconds: that of users. */
const STALL_MS = 1000;

/** `limits.start`: far more than a driver without a fault takes on an emulated machine, milliseconds. */
const START_MS = 15_000;

/** `port.request` of a disk's manifest: so that it is seen in seconds, not in half a minute, that a driver keeps one. */
const REQUEST = "2s";

/** Longest time until a driver runs with a spare, and the pause between looks, milliseconds. */
const PREPARED_MS = 120_000;
const PREPARED_LOOK_MS = 200;

/** The twin is a card of its own on the same wire, in another network. */
const TWIN = { ours: "10.9.1.1", peer: "10.9.1.2", rate: 20 };

/** Drivers of disks. */
const DISKS: readonly string[] = ["ide", "nvme"] satisfies Disk[];

/** Whether a driver is of a disk rather than of a card. */
export function isDiskDriver(name: string): boolean {
  return DISKS.includes(name);
}

/** What is booted for a driver, and which cards are whose. */
function hardwareFor(driver: string): { hardware: Partial<Hardware>; device?: string; twin: string } {
  if (isDiskDriver(driver)) {
    return {
      hardware: { nic: ["e1000", "e1000"], oneWire: true, disk: [driver as Disk] },
      twin: nicAddress(0),
    };
  }
  return {
    hardware: { nic: ["e1000", "e1000", "e1000"], oneWire: true },
    device: nicAddress(0),
    twin: nicAddress(2),
  };
}

/** What a machine is made for. */
export interface MachineOptions extends LabOptions {
  campaign: Pick<Campaign, "driver" | "workload">;
  /** The folder of this checkout that faulty versions are written to: the supervisor in the lab may read it. */
  folder: string;
}

/** The driver into which faults are injected, under one supervisor after another. */
class Target implements AsyncDisposable {
  readonly #lab: Lab;
  readonly #start: () => DriverRun;
  readonly #isDisk: boolean;
  #run: DriverRun;
  #past: Event[] = [];
  #name = "";
  #port = "";

  private constructor(lab: Lab, start: () => DriverRun, isDisk: boolean) {
    this.#lab = lab;
    this.#start = start;
    this.#isDisk = isDisk;
    this.#run = start();
  }

  static async start(
    lab: Lab,
    { driver, device, folder }: { driver: string; device?: string; folder: string },
  ): Promise<Target> {
    const manifest = await writeManifest(lab, driver, {
      spare: true,
      stall: STALL_MS,
      start: START_MS,
      ...isDiskDriver(driver) ? { port: { request: REQUEST } } : {},
    });
    // A card that is plugged in again is taken by the kernel's own driver, which the far end's needs.
    const args = [manifest, ...device ? ["--device", device, "--take"] : [], "--no-dhcp", "--allow-faults"];
    const folders = [folder.replace(checkout(), CHECKOUT)];
    const target = new Target(lab, () => DriverRun.start(lab, args, { folders }), isDiskDriver(driver));
    await target.#stands();
    return target;
  }

  get run(): DriverRun {
    return this.#run;
  }

  get events(): readonly Event[] {
    return this.#past.length === 0 ? this.#run.events : [...this.#past, ...this.#run.events];
  }

  /** Gives a card its address on the wire. */
  async join(): Promise<void> {
    if (this.#isDisk) return;
    await sh(this.#lab, `ip address add ${OURS}/24 dev ${this.#port}; ping -q -c 1 -w 20 ${PEER}`);
  }

  async driver(): Promise<Driver> {
    return await (await this.#run.client()).get<Driver>(`drivers/${this.#name}`);
  }

  async act(action: Action, body?: { [key: string]: unknown }): Promise<void> {
    await (await this.#run.client()).act(this.#name, action, body);
  }

  async report(id: string): Promise<Report | undefined> {
    try {
      return await (await this.#run.client()).get<Report>(`reports/${id}`);
    } catch (error) {
      if (error instanceof UserError) return undefined;
      throw error;
    }
  }

  async again(): Promise<void> {
    await this.#run.ended();
    this.#past = [...this.events];
    this.#run = this.#start();
    await this.#stands();
    await this.join();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#run[Symbol.asyncDispose]();
  }

  async #stands(): Promise<void> {
    const run = this.#run;
    this.#port = this.#isDisk ? (await run.next("disk")).disk : (await run.next("interface")).interface;
    this.#name = encodeURIComponent(run.events[0].driver);
    await run.next("spare", { where: ({ state }) => state === "ready" });
  }
}

/** The lab, with all that runs in it. */
export class Machine implements AsyncDisposable {
  readonly lab: Lab;
  readonly twin: DriverRun;
  readonly application: Application;
  readonly control: Application;
  readonly #target: Target;
  readonly #undo: AsyncDisposableStack;
  readonly #hasWire: boolean;
  #complaints = 0;

  private constructor(
    parts: Pick<Machine, "lab" | "twin" | "application" | "control">,
    { target, undo, hasWire }: { target: Target; undo: AsyncDisposableStack; hasWire: boolean },
  ) {
    ({
      lab: this.lab,
      twin: this.twin,
      application: this.application,
      control: this.control,
    } = parts);
    this.#target = target;
    this.#undo = undo;
    this.#hasWire = hasWire;
  }

  /** Boots it. @throws {UserError} if something does not come up. */
  static async start(options: MachineOptions): Promise<Machine> {
    const { campaign: { driver, workload }, folder, progress } = options;
    const { hardware, device, twin: twinDevice } = hardwareFor(driver);
    await buildFaults();
    await using undo = new AsyncDisposableStack();
    const lab = undo.use(await startLab({ ...options, hardware: { ...options.hardware, ...hardware } }));
    await keepQuiet(lab);
    // Two cards of one machine on one wire: each answers for its own address only.
    await sh(lab, "for i in all default; do echo 1 > /proc/sys/net/ipv4/conf/$i/arp_ignore; done");
    progress("starting the driver and its twin");
    const twin = undo.use(DriverRun.start(lab, ["e1000", "--device", twinDevice, "--no-dhcp"]));
    const { interface: twinName } = await twin.next("interface");
    const target = undo.use(await Target.start(lab, { driver, device, folder }));
    await layFarEnd(lab);
    await sh(
      lab,
      `ip netns exec peer ip address add ${TWIN.peer}/24 dev eth1
       ip address add ${TWIN.ours}/24 dev ${twinName}; ping -q -c 1 -w 20 ${TWIN.peer}`,
    );
    await target.join();
    const control = undo.use(
      new Application(await startUdp(lab, { from: TWIN.ours, to: TWIN.peer, rate: TWIN.rate })),
    );
    const application = undo.use(new Application(await startWorkload(lab, workload)));
    return new Machine({ lab, twin, application, control }, {
      target,
      undo: undo.move(),
      hasWire: !isDiskDriver(driver),
    });
  }

  /** The supervisor of the driver into which faults are injected. */
  get run(): DriverRun {
    return this.#target.run;
  }

  /** All events of that driver, also those that a supervisor told which has gone. */
  get events(): readonly Event[] {
    return this.#target.events;
  }

  /** The driver as it is now. */
  async driver(): Promise<Driver> {
    return await this.#target.driver();
  }

  /** Waits until the driver runs with a spare. @throws {UserError} if that takes too long. */
  async prepared(): Promise<void> {
    const deadline = performance.now() + PREPARED_MS;
    for (;;) {
      const { state, spare } = await this.driver();
      if (state === "running" && spare.state === "ready") return;
      if (performance.now() > deadline) {
        throw new UserError(
          `The driver is ${state} and its spare ${spare.state} after ${PREPARED_MS / 1000} s`,
        );
      }
      await pause(PREPARED_LOOK_MS);
    }
  }

  /** Frees the driver's wire, if it has one, of what a fault may have left in it that no real wire would keep. */
  async freeWire(): Promise<void> {
    if (this.#hasWire) await this.lab.freeWires();
  }

  /** Asks something of the driver's supervisor. @throws {UserError} with what that says. */
  async act(action: Action, body?: { [key: string]: unknown }): Promise<void> {
    await this.#target.act(action, body);
  }

  /** The black box of a death; undefined if there is none, or not yet. */
  async report(id: string): Promise<Report | undefined> {
    return await this.#target.report(id);
  }

  /** Starts a supervisor where the last one has ended, as whoever keeps services running would. */
  async superviseAgain(): Promise<void> {
    await this.#target.again();
  }

  /** What the kernel has complained of since somebody last asked, but for accesses of devices that the IOMMU has stopped. */
  complaints(): string[] {
    const all = complaintsOf(this.lab.kernelProblems()).complaints;
    const fresh = all.slice(this.#complaints);
    this.#complaints = all.length;
    return fresh;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#undo.disposeAsync();
  }
}

/** The guest's clock, milliseconds since the epoch. */
export async function clock(lab: Lab): Promise<number> {
  return Number(await sh(lab, "date +%s%3N"));
}
