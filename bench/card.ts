/** Network cards in the lab, in the hands of the kernel's e1000 or of ring3's drivers, pinned alike. */
import { UserError } from "../src/error.ts";
import { CHECKOUT } from "../src/lab/guest.ts";
import type { Lab } from "../src/lab/mod.ts";
import { lines } from "../src/lines.ts";
import { LOAD_MODULE } from "../src/run/lab.ts";
import { DriverRun } from "../src/soak/driver_run.ts";
import { sh } from "../src/soak/lab.ts";
import { type DriverName, endRuns, type Taken } from "./compare.ts";

/** Processor of a device's interrupt, and of the thread that is its driver outside the kernel; of the first of several. */
export const INTERRUPT_CPU = 0;

/** Longest time that the processors take to start one driver of ring3 and its spare, milliseconds. */
const START_MS = 180_000;

/** How long an orderly end may take where several drivers end at once on one emulated processor. */
const END = "60s";

/** Where the program that echoes, `bench/inside/echo.c`, listens: `bench/outside/load.c` expects it there. */
export const ECHO_PORT = 7;

/** A card with a driver. */
export interface DrivenCard {
  /** Its MAC address. */
  mac: string;
  /** Number of its interrupt's line. */
  irq: number;
  /** ring3's driver, if that is it. */
  run?: DriverRun;
}

/** One whose interface has its address, and its link up. */
export interface Card extends DrivenCard {
  interface: string;
}

/** How a card is taken. */
export interface TurnOptions {
  /** Its PCI address. */
  device: string;
  /** Of the interface, in its /24. */
  address: string;
  /** Neighbours that nobody needs to ask for: MAC addresses by IPv4 address. */
  neighbours?: Readonly<Record<string, string>>;
}

/**
 * Has a driver serve a card while `use` runs.
 * @throws {UserError} if it does not come up.
 */
export async function takeCard<T>(
  lab: Lab,
  driver: DriverName,
  { use, ...card }: TurnOptions & { use: (card: Card) => Promise<T> },
): Promise<Taken<T>> {
  return await takeCards(lab, driver, { cards: [card], use: ([card]) => use(card) });
}

/**
 * Has a driver serve each of some cards while `use` runs, which are dealt out to the processors in turn.
 * @param options `manifest`: of ring3's drivers, a name or a file in the guest; `starting`: called right before these
 * are started.
 * @throws {UserError} if one does not come up.
 */
export async function takeCards<T>(
  lab: Lab,
  driver: DriverName,
  { manifest = "e1000", cards, use, starting }: {
    manifest?: string;
    cards: readonly TurnOptions[];
    use: (cards: Card[]) => Promise<T>;
    starting?: () => void;
  },
): Promise<Taken<T>> {
  await sh(lab, "modprobe e1000");
  if (driver === "kernel") {
    const laid = cards.map(async (card, index) =>
      await layOut(lab, await interfaceOf(lab, card.device), { ...card, index })
    );
    return { result: await use(await Promise.all(laid)), problems: [] };
  }
  return await runDrivers(lab, [manifest, "--no-dhcp", "--end", END], {
    devices: cards.map(({ device }) => device),
    starting,
    use: async (runs) => {
      const laid = runs.map(async (run, index) => {
        const { interface: name } = await run.next("interface");
        return { ...await layOut(lab, name, { ...cards[index], index }), run };
      });
      return await use(await Promise.all(laid));
    },
  });
}

/**
 * Has ring3 serve a card while `use` runs.
 * @param args A manifest's name or file in the guest, and options of the supervisor's.
 * @throws {UserError} if its driver does not come up.
 */
export async function runDriver<T>(
  lab: Lab,
  args: readonly string[],
  { device, use }: { device: string; use: (run: DriverRun) => Promise<T> },
): Promise<Taken<T>> {
  return await runDrivers(lab, args, { devices: [device], use: ([run]) => use(run) });
}

/** The same of several cards, each with a supervisor of its own; these are started at once, after `starting`. */
async function runDrivers<T>(
  lab: Lab,
  [manifest, ...options]: readonly string[],
  { devices, use, starting = () => {} }: {
    devices: readonly string[];
    use: (runs: DriverRun[]) => Promise<T>;
    starting?: () => void;
  },
): Promise<Taken<T>> {
  // The kernel's driver has them by now, so that it gets them back at the end.
  await Promise.all(devices.map((device) => interfaceOf(lab, device)));
  // Only the first to start after a boot would have to, and starts are timed.
  await sh(lab, LOAD_MODULE);
  await using undo = new AsyncDisposableStack();
  starting();
  const runs = devices.map((device) =>
    undo.use(DriverRun.start(lab, [manifest, "--device", device, "--take", ...options]))
  );
  const ms = START_MS * devices.length;
  await Promise.all(runs.map(async (run, index) => {
    const { pid } = await run.next("starting", { ms });
    await run.next("spare", { ms, where: ({ state }) => state === "ready" });
    // Its other threads compile for it and collect garbage, beside it if they can.
    await sh(lab, `taskset -c -p ${interruptCpu(lab, index)} ${pid}`);
  }));
  const result = await use(runs);
  return { result, problems: await endRuns(lab, runs) };
}

/** Processor of the interrupt of the card of that index, and of the thread that is its driver outside the kernel. */
function interruptCpu({ hardware }: Lab, index: number): number {
  return (INTERRUPT_CPU + index) % hardware.smp;
}

/** Processor for the program in the guest that answers at a card: the one before its interrupt's, in a ring. */
export function answeringCpu({ hardware }: Lab, index = 0): number {
  return (INTERRUPT_CPU + index + hardware.smp - 1) % hardware.smp;
}

/** Starts that program, which ends with the lab. @throws {UserError} if it does not say that it is ready. */
export async function startAnswering(lab: Lab, argv: readonly string[], index = 0): Promise<void> {
  const { stdout } = lab.spawn(["taskset", "-c", `${answeringCpu(lab, index)}`, ...argv], {
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  });
  const { value } = await lines(stdout).next();
  if (value !== "ready") throw new UserError(`${argv[0]} does not start in the lab`);
}

/** Starts the program in the guest that echoes, at an address, or at all. @param options `index`: of the card it is for. */
export async function startEcho(
  lab: Lab,
  { address, index }: { address?: string; index?: number } = {},
): Promise<void> {
  const at = address === undefined ? [] : [address];
  await startAnswering(lab, [`${CHECKOUT}/build/bench/echo`, `${ECHO_PORT}`, ...at], index);
}

/** Name of the interface behind a PCI device, once the kernel's driver has made it. */
export async function interfaceOf(lab: Lab, device: string): Promise<string> {
  const { code, stdout } = await lab.exec([
    "timeout",
    "60",
    "dash",
    "-c",
    `until ls /sys/bus/pci/drivers/e1000/${device}/net 2> /dev/null; do sleep 0.1; done`,
  ]);
  if (code === 0) return stdout.trim();
  throw new UserError(`The kernel's driver has made no interface of ${device} after a minute`);
}

/** Gives an interface its address and has its link up, and its interrupt go to the processor of the card of that index. */
export async function layOut(
  lab: Lab,
  name: string,
  options: TurnOptions & { index: number },
): Promise<Card> {
  const { device, address, neighbours = {}, index } = options;
  const known = Object.entries(neighbours).map(([ip, mac]) =>
    `ip neighbour replace ${ip} lladdr ${mac} nud permanent dev ${name}`
  );
  await sh(
    lab,
    [
      `ip address replace ${address}/24 dev ${name}`,
      `ip link set ${name} up`,
      ...known,
      `timeout 60 dash -c 'until grep -q 1 /sys/class/net/${name}/carrier; do sleep 0.1; done'`,
    ].join("; "),
  );
  return { interface: name, mac: await macOf(lab, name), irq: await pinInterrupt(lab, device, index) };
}

/** MAC address of an interface. */
export async function macOf(lab: Lab, name: string): Promise<string> {
  return (await sh(lab, `cat /sys/class/net/${name}/address`)).trim();
}

/** Has the interrupt of the device of that index go to its processor. The number of its line. */
export async function pinInterrupt(lab: Lab, device: string, index = 0): Promise<number> {
  const irq = await interruptOf(lab, device);
  await sh(lab, `echo ${interruptCpu(lab, index)} > /proc/irq/${irq}/smp_affinity_list`);
  return irq;
}

/** Number of a device's interrupt line. */
export async function interruptOf(lab: Lab, device: string): Promise<number> {
  return Number(await sh(lab, `cat /sys/bus/pci/devices/${device}/irq`));
}
