/** A network card in the lab, in the hands of the kernel's e1000 or of ring3's driver, pinned alike. */
import { UserError } from "../src/error.ts";
import type { Lab } from "../src/lab/mod.ts";
import { lines } from "../src/lines.ts";
import { DriverRun } from "../src/soak/driver_run.ts";
import { sh } from "../src/soak/lab.ts";
import { type DriverName, endRun, type Taken } from "./compare.ts";

/** Processor of a device's interrupt, and of the thread that is its driver outside the kernel. */
export const INTERRUPT_CPU = 0;

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
  { use, ...options }: TurnOptions & { use: (card: Card) => Promise<T> },
): Promise<Taken<T>> {
  const { device } = options;
  await sh(lab, "modprobe e1000");
  if (driver === "kernel") {
    const result = await use(await layOut(lab, await interfaceOf(lab, device), options));
    return { result, problems: [] };
  }
  return await runDriver(lab, ["e1000", "--no-dhcp"], {
    device,
    use: async (run) => {
      const { interface: name } = await run.next("interface");
      return await use({ ...await layOut(lab, name, options), run });
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
  [manifest, ...options]: readonly string[],
  { device, use }: { device: string; use: (run: DriverRun) => Promise<T> },
): Promise<Taken<T>> {
  // The kernel's driver has it by now, so that it gets it back at the end.
  await interfaceOf(lab, device);
  const run = DriverRun.start(lab, [manifest, "--device", device, "--take", ...options]);
  await using _ = run;
  const { pid } = await run.next("starting");
  await run.next("spare", { where: ({ state }) => state === "ready" });
  // Its other threads compile for it and collect garbage, beside it if they can.
  await sh(lab, `taskset -c -p ${INTERRUPT_CPU} ${pid}`);
  const result = await use(run);
  return { result, problems: await endRun(lab, run) };
}

/** Processor for the program in the guest that answers: the last, which is the only one where there is one. */
export function answeringCpu({ hardware }: Lab): number {
  return hardware.smp - 1;
}

/** Starts that program, which ends with the lab. @throws {UserError} if it does not say that it is ready. */
export async function startAnswering(lab: Lab, argv: readonly string[]): Promise<void> {
  const { stdout } = lab.spawn(["taskset", "-c", `${answeringCpu(lab)}`, ...argv], {
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  });
  const { value } = await lines(stdout).next();
  if (value !== "ready") throw new UserError(`${argv[0]} does not start in the lab`);
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

async function layOut(lab: Lab, name: string, options: TurnOptions): Promise<Card> {
  const { device, address, neighbours = {} } = options;
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
  return { interface: name, mac: await macOf(lab, name), irq: await pinInterrupt(lab, device) };
}

/** MAC address of an interface. */
export async function macOf(lab: Lab, name: string): Promise<string> {
  return (await sh(lab, `cat /sys/class/net/${name}/address`)).trim();
}

/** Has a device's interrupt go to its processor. The number of its line. */
export async function pinInterrupt(lab: Lab, device: string): Promise<number> {
  const irq = Number(await sh(lab, `cat /sys/bus/pci/devices/${device}/irq`));
  await sh(lab, `echo ${INTERRUPT_CPU} > /proc/irq/${irq}/smp_affinity_list`);
  return irq;
}
