/** Runs a campaign in a lab: fault after fault into a driver under load, and for each a record of what became of it. */
import { dirname } from "node:path";
import { UserError } from "../../error.ts";
import { checkout } from "../../lab/checkout.ts";
import { CHECKOUT } from "../../lab/guest.ts";
import { QemuCrash } from "../../lab/mod.ts";
import { pause } from "../../pause.ts";
import type { LabOptions } from "../../run/lab.ts";
import type { EventOf } from "../../soak/driver_run.ts";
import { type Act, isAct } from "../acts.ts";
import { type Choice, choose } from "../choose.ts";
import { faulty } from "../folder.ts";
import { MODELS } from "../models/mod.ts";
import type { Campaign, DriverFault, Together } from "../schema.ts";
import { begin, endsSupervisor, fits } from "./act.ts";
import { isDiskDriver, Machine } from "./machine.ts";
import {
  HUNG_MS,
  isCommitment,
  isManifested,
  judge,
  type Judgement,
  type Seen,
  type Usual,
} from "./outcome.ts";
import { appendRecord, type FaultRecord, mendRecords, readRecords } from "./record.ts";

/** How long a fault is waited for that tells when it is committed, from when its driver is ready, milliseconds. */
const COMMIT_MS = 4000;

/** How long a fault has to show itself once it is committed, milliseconds: more than a stall takes. */
const SHOW_MS = 2000;

/** Workloads of disks; the others are of cards. */
const WORKLOADS_OF_DISKS: readonly string[] = ["fio", "sqlite"] satisfies Campaign["workload"][];

/** How long an application has done nothing that is taken to wait, milliseconds. */
const WAITING_MS = 500;

/** How long it is let wait, milliseconds: more than makes it hung, as it says what it sees a little later. */
const PATIENCE_MS = HUNG_MS + 1000;

/** Longest time until a fault has ended its process, or has been taken away, milliseconds. */
const END_MS = COMMIT_MS + SHOW_MS + PATIENCE_MS + 5000;

/** Longest time until the driver stands again, milliseconds. */
const STAND_MS = 60_000;

/** Longest time that a black box is waited for, milliseconds: it is written behind the recovery. */
const REPORT_MS = 5000;

/** Labs that may be given up: in hours there may be some. */
const MOST_CRASHES = 20;

/** How to run one. */
export interface CampaignOptions extends LabOptions {
  campaign: Campaign;
  /** Name of its file, without its ending. */
  name: string;
  seed: number;
  /** Numbers of the injections, ascending. */
  numbers: readonly number[];
  /** The file of results, which is appended to; what is in it already is not done again. Black boxes go beside it. */
  results: string;
  /** Called with each. */
  onRecord: (record: FaultRecord) => void;
}

/** What was seen of the machine as a whole. */
export interface CampaignEnd {
  /** Why labs were given up, as when QEMU ends by a fault of its own: the injection under way was done again, once. */
  crashes: string[];
}

/** One injection that has begun, or was refused. */
interface Injection {
  together: Together;
  models: string[];
  /** What was done, as it is done. */
  says: string[];
  seen: Pick<Seen, "from" | "refused" | "takesOver" | "tells">;
  /** The event with which it begins, by id. */
  id: number;
  /** The label that events of its process carry; undefined for an act. */
  label?: string;
  /** Settles when what was done from outside is over. */
  over: Promise<void>;
}

/** The first of its faults. */
type Begun = Pick<Injection, "says" | "seen" | "id" | "label"> & Partial<Pick<Injection, "over">>;

/** Whether a driver with these faults says when they are committed: a change of source does not. */
function tells(faults: readonly DriverFault[]): boolean {
  return faults.every(({ model }) => MODELS.find(({ name }) => name === model)?.kind === "wrapped");
}

/** What is seen of a fault that does not get as far as the device. */
function refused({ message }: UserError): Pick<Injection, "seen"> {
  return { seen: { refused: message, takesOver: true, tells: false } };
}

/** The faults of a choice, apart: those of a driver's folder, and those from outside. */
function apart({ faults }: Pick<Choice, "faults">): { inside: DriverFault[]; outside: Act[] } {
  return { inside: faults.filter((fault) => !isAct(fault)) as DriverFault[], outside: faults.filter(isAct) };
}

/**
 * Runs those injections of a campaign that its results do not hold yet.
 * @throws {UserError} if a lab or a driver does not come up, or a campaign asks for what cannot be done.
 */
export async function runCampaign(options: CampaignOptions): Promise<CampaignEnd> {
  const { results, campaign, name, seed, numbers, progress } = options;
  const unfit = campaign.faults.map(({ fault }) => fault.model).filter((model) =>
    !fits(model, campaign.driver)
  );
  if (unfit.length > 0) {
    throw new UserError(
      `Cannot run the campaign ${name}: ${unfit.join(", ")} is nothing for ${campaign.driver}`,
    );
  }
  if (isDiskDriver(campaign.driver) !== WORKLOADS_OF_DISKS.includes(campaign.workload)) {
    throw new UserError(
      `Cannot run the campaign ${name}: ${campaign.workload} is no workload for ${campaign.driver}`,
    );
  }
  await mendRecords(results);
  const done = new Set(
    (await readRecords(results)).filter((record) =>
      record.campaign === name && record.workload === campaign.workload && record.seed === seed
    ).map(({ number }) => number),
  );
  const end: CampaignEnd = { crashes: [] };
  const left = numbers.filter((number) => !done.has(number));
  let failedAt: number | undefined;
  while (left.length > 0) {
    const folder = `${checkout()}/build/faults/${name}-${seed}`;
    await Deno.mkdir(folder, { recursive: true });
    // What a run has left that was cut off.
    for await (const { name } of Deno.readDir(folder)) {
      await Deno.remove(`${folder}/${name}`, { recursive: true });
    }
    await using machine = await Machine.start({ ...options, folder });
    try {
      await new Work(machine, options, folder).through(left);
    } catch (error) {
      const crash = error instanceof QemuCrash
        ? error
        : await machine.lab.crash(`while faults were injected`);
      const again = crash ?? (error instanceof UserError && failedAt !== left[0] ? error : undefined);
      if (!again || end.crashes.length >= MOST_CRASHES) throw error;
      failedAt = left[0];
      end.crashes.push(again.message);
      progress(again.message);
    }
  }
  return end;
}

/** What is to be injected. */
interface Plan extends Choice {
  /** Null: nothing, to see what is usual. */
  number: number | null;
}

/** Versions without a fault: what they cost is what the injecting costs, and the preparation of the next. */
const CALIBRATION: readonly Plan[] = [0, 1, 2].map((seed) => ({
  number: null,
  seed,
  together: "one",
  faults: [{ model: "code.throw", when: { after: 2 ** 31, of: "polls", since: "ready" } }],
}));

/** What goes on in one lab. */
class Work {
  readonly #machine: Machine;
  readonly #options: CampaignOptions;
  readonly #folder: string;
  #usual: Usual = { gap: 0 };

  constructor(machine: Machine, options: CampaignOptions, folder: string) {
    this.#machine = machine;
    this.#options = options;
    this.#folder = folder;
  }

  /**
   * Looks at what is usual, goes through numbers, and takes from the list what has been judged. Returns early if the
   * machine is of no more use.
   */
  async through(left: number[]): Promise<void> {
    const { campaign, seed, onRecord } = this.#options;
    const plans: Plan[] = [
      ...CALIBRATION,
      ...left.map((number) => ({ number, ...choose(campaign, { seed, number }) })),
    ];
    let current = await this.#begin(plans[0]);
    for (const [index, { number }] of plans.entries()) {
      const following = plans.at(index + 1);
      const chained = following !== undefined && apart(following).inside.length > 0;
      const watched = this.#watch(current, { chained });
      const next = following && this.#begin(following, { current, over: watched.then(() => {}) });
      next?.catch(() => {});
      const stands = await watched;
      const after = stands ? await next : undefined;
      const judgement = await this.#look(current, { until: after?.seen.from, stands });
      if (number === null) {
        if (!stands) throw new UserError("The driver does not stand without a fault");
        this.#usual = { gap: Math.max(this.#usual.gap, judgement.gap) };
      } else {
        onRecord(await this.#keep(number, current, judgement));
        left.shift();
      }
      if (!after) return;
      current = after;
    }
  }

  /** Injects what is planned. @param before The injection before it, and what settles when that is over. */
  async #begin(plan: Plan, before?: { current: Injection; over: Promise<void> }): Promise<Injection> {
    const { number, together, seed } = plan;
    const { inside, outside } = apart(plan);
    const models = plan.faults.map(({ model }) => model);
    const { name, seed: of } = this.#options;
    const label = `${name} ${number === null ? `without a fault, ${seed}` : `${of}/${number}`}: ${
      models.join(" and ")
    }`;
    // The supervisor holds a version until its turn: meanwhile it is compiled and started. One that ends cannot.
    if (inside.length === 0 || before?.current.models.some(endsSupervisor)) await before?.over;
    const begun = inside.length > 0
      ? await this.#inject({ inside, label, seed })
      : await this.#commit(outside.shift()!);
    const injection: Injection = { together, models, over: Promise.resolve(), ...begun };
    // One that was refused has no time in which another could come.
    const acts = begun.seen.from === undefined ? [] : outside.map((act) => this.#later(act, injection));
    const { over: own } = injection;
    injection.over = Promise.all([own, ...acts]).then(() => {});
    // Nobody waits for it if the driver does not stand any more.
    injection.over.catch(() => {});
    return injection;
  }

  /** Begins an act, once the driver stands. */
  async #commit(act: Act): Promise<Begun> {
    await this.#machine.prepared();
    await pause(act.when?.after ?? 0);
    const id = this.#machine.run.lastId;
    const { at, says, over: ended } = await begin(this.#machine, act);
    return { id, says: [says], seen: { from: at, takesOver: false, tells: false }, over: ended };
  }

  /** Has a version with faults take over for the life of one process. */
  async #inject(
    { inside, label, seed }: { inside: DriverFault[]; label: string; seed: number },
  ): Promise<Begun> {
    const { campaign: { driver } } = this.#options;
    const { run } = this.#machine;
    const folder = `${this.#folder}/${seed}`;
    const to = `${folder}/drivers/${driver}`;
    let says: string;
    try {
      ({ says } = await faulty(`${checkout()}/drivers/${driver}`, inside, { seed, to }));
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      return { ...refused(error), id: run.lastId, label, says: [error.message] };
    }
    const path = `${to}/driver.ts`.replace(checkout(), CHECKOUT);
    try {
      await this.#machine.act("faults", { path, label });
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      return { ...refused(error), id: run.lastId, label, says: [says] };
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
    const { id, time } = await run.next("fault", { where: (event) => event.label === label });
    const seen = { from: Date.parse(time), takesOver: true, tells: tells(inside) };
    return { id, label, says: [says], seen };
  }

  /** Does what comes beside another fault: when it has ended the driver, or at its own time. */
  async #later(
    act: Act,
    { id, together, models, says }: Pick<Injection, "id" | "together" | "models" | "says">,
  ): Promise<void> {
    const { run } = this.#machine;
    const tooLate = (why: string) => {
      models.splice(models.indexOf(act.model), 1);
      says.push(`${act.model} came too late: ${why}`);
    };
    if (together === "recovery") {
      // What ends nobody leaves nothing to recover from, and what ends the supervisor nobody who would.
      const next = await run.next("ended", { after: id, ms: END_MS })
        .then((ended) => run.next("starting", { after: ended.id, ms: STAND_MS }))
        .catch(() => undefined);
      if (!next) return tooLate("there was no recovery");
    } else await pause(act.when?.after ?? 0);
    const begun = await begin(this.#machine, act).catch((error) => {
      if (!(error instanceof UserError)) throw error;
      // The other fault has ended the process that it was for.
      tooLate(error.message.split("\n")[0]);
    });
    if (!begun) return;
    says.push(begun.says);
    await begun.over;
  }

  /**
   * Waits for the end of an injection, or ends it. Whether the driver stands again, or might with the next spare.
   * @param options `chained`: what comes next is a version with a fault too.
   */
  async #watch(injection: Injection, { chained }: { chained: boolean }): Promise<boolean> {
    const { id, label, together, seen } = injection;
    if (seen.from === undefined) return true;
    const end = await this.#ended(injection);
    try {
      const { run, application } = this.#machine;
      if (!end && label !== undefined) {
        // Who has noticed nothing goes on with the next fault, and needs no driver without one in between. What is to
        // come during a recovery needs one.
        if (chained && together !== "recovery" && application.idle < WAITING_MS) {
          await injection.over;
          // One that has ended by itself just then is refused, and its end found below.
          await this.#machine.act("withdraw").catch((error) => {
            if (!(error instanceof UserError)) throw error;
          });
          const { reason } = await run.next("ended", { after: id, ms: STAND_MS });
          if (reason.kind === "upgrade") return true;
        } else await this.#machine.act("restart");
      }
      await injection.over;
      const last = end ?? run.events.findLast((event) => event.id > id && event.type === "ended");
      // Another supervisor begins to count anew.
      await this.#carries(this.#machine.run === run ? last?.id : 0);
      return true;
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      return false;
    }
  }

  /** The end of the process with the fault; undefined if it is still there when its time has passed. */
  async #ended({ id, label, seen: { tells } }: Injection): Promise<EventOf<"ended"> | undefined> {
    const { run, application } = this.#machine;
    const where = ({ reason }: EventOf<"ended">) => label === undefined || reason.fault === label;
    // An end that does not come is told by the other of two promises.
    const ended = run.next("ended", { after: id, where, ms: STAND_MS })
      .catch(() => new Promise<never>(() => {}));
    const first = async <T>(work: Promise<T>): Promise<T | EventOf<"ended">> =>
      await Promise.race([work, ended]);
    const isEnd = (event: unknown): event is EventOf<"ended"> =>
      (event as { type?: string } | undefined)?.type === "ended";
    if (label !== undefined) {
      const ready = await first(run.next("ready", { after: id, ms: STAND_MS }));
      if (isEnd(ready)) return ready;
      if (tells) {
        const told = run.next("log", {
          after: id,
          ms: COMMIT_MS,
          where: isCommitment,
        });
        const committed = await first(told.then(() => true, () => false));
        if (isEnd(committed)) return committed;
        if (!committed) return undefined;
      }
    }
    const shown = await first(pause(SHOW_MS));
    if (isEnd(shown)) return shown;
    // An application that waits is given the time to be called hung, and whoever watches drivers to see why.
    while (application.idle >= WAITING_MS && application.idle < PATIENCE_MS) {
      await this.#machine.freeWire();
      const late = await first(pause(WAITING_MS));
      if (isEnd(late)) return late;
    }
    return undefined;
  }

  /**
   * Waits until the application goes on: with a driver that was ready after an event, if one is given.
   * @throws {UserError} if it does not.
   */
  async #carries(after?: number): Promise<void> {
    const { run, application } = this.#machine;
    const ready = after === undefined ? undefined : await run.next("ready", { after, ms: STAND_MS });
    await this.#machine.freeWire();
    const from = ready ? Date.parse(ready.time) : application.words.at(-1)?.at ?? 0;
    await application.goesOn(from, STAND_MS);
  }

  /** Tells what became of an injection, by all that was seen until the next. */
  async #look(
    { seen, label }: Injection,
    { until, stands }: { until?: number; stands: boolean },
  ): Promise<Judgement> {
    const { events, run, twin, application, control } = this.#machine;
    const from = seen.from ?? 0;
    const to = until ?? Infinity;
    if (until !== undefined) await Promise.all([application, control].map((one) => one.until(until)));
    const within = ({ time }: { time: string }) => Date.parse(time) >= from && Date.parse(time) < to;
    const judgement = judge({
      ...seen,
      label,
      events: events.filter(within),
      words: application.words,
      twin: {
        events: twin.events.filter(within),
        words: control.words.filter(({ at }) => at > from && at < to),
        idle: control.idleHere,
      },
      kernel: this.#machine.complaints(),
      stands,
      givenUp: run.driver?.state === "failed",
    }, this.#usual);
    for (const one of [application, control]) one.forget(until ?? from);
    return judgement;
  }

  /** Keeps what became of an injection, with its black box if it showed itself. */
  async #keep(
    number: number,
    { together, models, says, seen }: Injection,
    judgement: Judgement,
  ): Promise<FaultRecord> {
    const { campaign, name, seed, results } = this.#options;
    const { outcome, report } = judgement;
    const keep = isManifested(outcome) && report !== null;
    if (keep) await keepReport(this.#machine, report, `${reportFolder(results)}/${number}.json`);
    const record: FaultRecord = {
      campaign: name,
      seed,
      number,
      driver: campaign.driver,
      workload: campaign.workload,
      kernel: this.#machine.lab.kernel.release,
      at: seen.from === undefined ? null : new Date(seen.from).toISOString(),
      together,
      models,
      says: says.join("; "),
      ...judgement,
      report: keep ? `${number}.json` : null,
      usual: this.#usual.gap,
    };
    await appendRecord(results, record);
    return record;
  }
}

/** The folder of the black boxes that belong to a file of results. */
export function reportFolder(results: string): string {
  return results.replace(/\.jsonl$/, "");
}

/** Keeps a black box. One that does not come is left out: it is not worth ending a campaign for. */
async function keepReport(machine: Machine, id: string, path: string): Promise<void> {
  const deadline = performance.now() + REPORT_MS;
  for (;;) {
    const report = await machine.report(id);
    if (report) {
      await Deno.mkdir(dirname(path), { recursive: true });
      await Deno.writeTextFile(path, `${JSON.stringify(report, null, 2)}\n`);
      return;
    }
    if (performance.now() > deadline) return;
    await pause(REPORT_MS / 20);
  }
}
