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

/** Brings the interface up. */
export async function bringUp(name: string): Promise<void> {
  const args = ["link", "set", name, "up"];
  const { code, stderr } = await new Deno.Command("ip", { args }).output();
  if (code === 0) return;
  throw new UserError(`Cannot run ip ${args.join(" ")}: ${new TextDecoder().decode(stderr).trim()}`);
}

/** Addresses that only reach the link: RFC 3927, RFC 4291, section 2.5.6. */
const LINK_LOCAL = /^(169\.254\.|fe[89ab])/i;

/** Addresses of the interface with their prefix lengths, without those that only reach the link. */
export function addresses(name: string): string[] {
  // A second address may have a label of its own, as in r3n0:1.
  const own = Deno.networkInterfaces().filter((one) => one.name.split(":")[0] === name);
  return own.filter(({ address }) => !LINK_LOCAL.test(address)).map(({ cidr }) => cidr);
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

/** Reads the counters; undefined once the interface has gone. */
export function readCounters(name: string): InterfaceCounters | undefined {
  const read = (file: string) => Number(Deno.readTextFileSync(`${SYS}/class/net/${name}/statistics/${file}`));
  try {
    return {
      rxPackets: read("rx_packets"),
      rxBytes: read("rx_bytes"),
      rxDropped: read("rx_dropped"),
      txPackets: read("tx_packets"),
      txBytes: read("tx_bytes"),
      txDropped: read("tx_dropped"),
    };
  } catch {
    return undefined;
  }
}

/** The link's state and its speed in Mb/s, 0 if unknown. */
export function readLink(name: string): { up: boolean; speed: number } {
  const read = (file: string) => {
    try {
      return Deno.readTextFileSync(`${SYS}/class/net/${name}/${file}`).trim();
    } catch {
      // Both fail while the interface is down.
      return "";
    }
  };
  return { up: read("carrier") === "1", speed: Math.max(0, Number(read("speed")) || 0) };
}
