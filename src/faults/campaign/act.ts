/** Faults from outside a driver: how each is done to a process, or to the machine around it. */
import { UserError } from "../../error.ts";
import { CHECKOUT } from "../../lab/guest.ts";
import { pause } from "../../pause.ts";
import { sh } from "../../soak/lab.ts";
import type { Act } from "../acts.ts";
import { clock, isDiskDriver, type Machine } from "./machine.ts";

/** What was begun. */
export interface Begun {
  /** When, by the guest's clock, milliseconds since the epoch. */
  at: number;
  /** What was done, for people. */
  says: string;
  /** Settles when it is over: what lasts has been undone. */
  over: Promise<void>;
}

/** What `buildFaults` has built, in the guest. */
const CLOSE = `${CHECKOUT}/build/faults/close`;

/** How long what lasts goes on unless a fault says so, milliseconds. */
const LASTING_MS = 2000;

/** Longest wait for the process that takes over, milliseconds. */
const TAKEOVER_MS = 20_000;

/** Requests that a flood has under way at a time. */
const FLOOD = 8;

/** Does something to the process that runs, in a line of shell. */
async function toProcess(machine: Machine, line: (pid: number) => string, says: string): Promise<Begun> {
  const { pid, name } = await machine.driver();
  if (pid === null) throw new UserError(`Cannot do anything to the process of ${name}: it has none now`);
  return {
    at: Number(await sh(machine.lab, `date +%s%3N; ${line(pid)}`)),
    says,
    over: Promise.resolve(),
  };
}

/** Begins something that is ended after a while. */
async function lasting(
  { lab }: Machine,
  { ms = LASTING_MS, says, begin, end }: {
    ms?: number;
    says: string;
    begin: () => Promise<unknown>;
    end: () => Promise<unknown>;
  },
): Promise<Begun> {
  const at = await clock(lab);
  await begin();
  const over = pause(ms).then(end).then(() => {});
  over.catch(() => {});
  return { at, says: `${says} for ${ms} ms`, over };
}

/** How each is done. */
const DOING: {
  [Name in Act["model"]]: (machine: Machine, act: Extract<Act, { model: Name }>) => Promise<Begun>;
} = {
  "process.kill": (machine) => toProcess(machine, (pid) => `kill -KILL ${pid}`, "SIGKILL to its process"),

  "process.stop": async (machine, { ms }) => {
    if (ms === undefined) return toProcess(machine, (pid) => `kill -STOP ${pid}`, "SIGSTOP to its process");
    const line = (pid: number) => `kill -STOP ${pid}; (sleep ${ms / 1000}; kill -CONT ${pid}) 2> /dev/null &`;
    return await toProcess(machine, line, `its process stopped for ${ms} ms`);
  },

  // The kernel's own choice of whom to end: it takes whoever has the highest score.
  "process.memory": (machine) =>
    toProcess(
      machine,
      (pid) => `echo 1000 > /proc/${pid}/oom_score_adj; echo f > /proc/sysrq-trigger`,
      "the kernel ends its process as if there were no memory left",
    ),

  "process.close": (machine) =>
    toProcess(
      machine,
      (pid) => `${CLOSE} ${pid} 'anon_inode:[ring3-grant]' > /dev/null`,
      "its process closes the descriptor of its grant",
    ),

  "platform.link": (machine, { ms }) => {
    const set = (up: boolean) => machine.lab.qmp("set_link", { name: "net0", up });
    return lasting(machine, { ms, says: "the link is down", begin: () => set(false), end: () => set(true) });
  },

  "platform.spare": async (machine) => {
    const after = machine.run.lastId;
    const begun = await toProcess(
      machine,
      (pid) => `kill -KILL ${pid}`,
      "SIGKILL to its process, and to the next",
    );
    const { pid } = await machine.run.next("starting", { after, ms: TAKEOVER_MS });
    await sh(machine.lab, `kill -KILL ${pid} || true`);
    return begun;
  },

  // A supervisor of one driver ends with its device, and so the interface goes too.
  "platform.unplug": async (machine, { ms = LASTING_MS }) => {
    const { lab } = machine;
    const at = await clock(lab);
    await lab.qmp("device_del", { id: "nic0" });
    const over = pause(ms).then(async () => {
      await lab.qmp("device_add", { driver: "e1000-82545em", netdev: "net0", bus: "nicport0", id: "nic0" });
      await machine.superviseAgain();
    });
    over.catch(() => {});
    return { at, says: `its card unplugged for ${ms} ms, and its supervisor started again`, over };
  },

  // The interface or disk goes with it, so that the next one's has to be taken up again.
  "platform.supervisor": async (machine) => {
    const pid = await machine.run.supervisor();
    const at = Number(await sh(machine.lab, `date +%s%3N; kill -KILL ${pid}`));
    const over = machine.superviseAgain();
    over.catch(() => {});
    return { at, says: "SIGKILL to the supervisor, and another started", over };
  },

  "platform.flood": async (machine, { ms = LASTING_MS }) => {
    const { url } = await machine.run.serving();
    const loop = "while :; do busybox wget -q -O /dev/null $0 || true; done";
    const line = `for i in $(seq ${FLOOD}); do timeout ${
      ms / 1000
    } dash -c '${loop}' ${url}/api/v1/drivers & done; wait`;
    const at = await clock(machine.lab);
    const over = sh(machine.lab, line).then(() => {});
    over.catch(() => {});
    return { at, says: `the API floods with requests for ${ms} ms`, over };
  },
};

/** Acts for cards alone: with a disk goes the application's place, and what it had written. */
const OF_CARDS: readonly string[] = [
  "platform.link",
  "platform.unplug",
  "platform.supervisor",
] satisfies Act["model"][];

/** Acts that end the supervisor as well, and have another started. */
const ENDING_SUPERVISOR: readonly string[] = [
  "platform.unplug",
  "platform.supervisor",
] satisfies Act["model"][];

/** Whether a fault ends the driver's supervisor, and what that holds for later. */
export function endsSupervisor(model: string): boolean {
  return ENDING_SUPERVISOR.includes(model);
}

/** Whether a fault can be one of a driver's. */
export function fits(model: string, driver: string): boolean {
  return !isDiskDriver(driver) || !OF_CARDS.includes(model);
}

/** Begins an act. @throws {UserError} if it cannot be done now, or the lab refuses. */
export async function begin(machine: Machine, act: Act): Promise<Begun> {
  const doing = DOING[act.model] as (machine: Machine, act: Act) => Promise<Begun>;
  return await doing(machine, act);
}
