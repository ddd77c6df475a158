/** A network interface from user space: up, an address by DHCP, and what it counts. */
import { fileURLToPath } from "node:url";
import { sendSignal } from "../child.ts";
import { UserError } from "../error.ts";
import { SYS } from "../machine.ts";

const DHCP_SCRIPT = fileURLToPath(new URL("udhcpc.sh", import.meta.url));

/** Name of the interface that a PCI device has, or undefined before it has one. */
export async function interfaceOf(address: string): Promise<string | undefined> {
  try {
    for await (const { name } of Deno.readDir(`${SYS}/bus/pci/devices/${address}/net`)) return name;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return undefined;
}

async function ip(args: string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command("ip", { args }).output();
  if (code !== 0) {
    throw new UserError(`Cannot run ip ${args.join(" ")}: ${new TextDecoder().decode(stderr).trim()}`);
  }
  return new TextDecoder().decode(stdout);
}

/** Brings the interface up. */
export async function bringUp(name: string): Promise<void> {
  await ip(["link", "set", name, "up"]);
}

/** Addresses of the interface with their prefix lengths, without those that only reach the link. */
export async function addresses(name: string): Promise<string[]> {
  const [found] = JSON.parse(await ip(["-j", "address", "show", "dev", name])) as {
    addr_info: { local: string; prefixlen: number; scope: string }[];
  }[];
  return found.addr_info.filter(({ scope }) => scope !== "link").map(({ local, prefixlen }) =>
    `${local}/${prefixlen}`
  );
}

/** Keeps a DHCP lease as long as it is not disposed. */
export class DhcpClient implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;

  /** @throws {UserError} if it cannot be started. */
  constructor(name: string) {
    try {
      this.#child = new Deno.Command("setpriv", {
        // It ends with this process, however that ends.
        // deno-fmt-ignore
        args: ["--pdeathsig", "KILL", "busybox", "udhcpc", "-f", "-i", name, "-s", DHCP_SCRIPT, "-t", "8", "-T", "1", "-A", "5", "-S"],
        stdin: "null",
        stdout: "null",
        stderr: "null",
      }).spawn();
    } catch {
      throw new UserError(
        "Cannot start the DHCP client: install the packages util-linux and busybox, or add --no-dhcp",
      );
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    sendSignal(this.#child, "SIGTERM");
    await this.#child.status;
  }
}

/** What an interface has counted since it was made. */
export interface InterfaceCounters {
  rxPackets: number;
  rxBytes: number;
  rxDropped: number;
  txPackets: number;
  txBytes: number;
  txDropped: number;
}

/** Reads the counters and the carrier; undefined once the interface has gone. */
export async function readCounters(name: string): Promise<InterfaceCounters | undefined> {
  const read = async (file: string) =>
    Number(await Deno.readTextFile(`${SYS}/class/net/${name}/statistics/${file}`));
  try {
    const [rxPackets, rxBytes, rxDropped, txPackets, txBytes, txDropped] = await Promise.all(
      ["rx_packets", "rx_bytes", "rx_dropped", "tx_packets", "tx_bytes", "tx_dropped"].map(read),
    );
    return { rxPackets, rxBytes, rxDropped, txPackets, txBytes, txDropped };
  } catch {
    return undefined;
  }
}

/** The link's state and its speed in Mb/s, 0 if unknown. */
export async function readLink(name: string): Promise<{ up: boolean; speed: number }> {
  const read = (file: string) => Deno.readTextFile(`${SYS}/class/net/${name}/${file}`).catch(() => "");
  // Both fail while the interface is down.
  const [carrier, speed] = [await read("carrier"), await read("speed")];
  return { up: carrier.trim() === "1", speed: Math.max(0, Number(speed) || 0) };
}
