/** A wire in the lab: the card under test at one end, at the other a card of the kernel's own driver. */
import { checkAgainst, type CheckOptions, type CheckResult } from "../check/mod.ts";
import type { OutsideLine } from "../check/outside.ts";
import { UserError } from "../error.ts";
import { type Hardware, type Lab, nicAddress } from "../lab/mod.ts";
import { lines } from "../lines.ts";
import { sh } from "./lab.ts";

/** Address of the card under test in the lab of a wire. */
export const DEVICE = nicAddress(0);
/** Addresses of both ends. */
export const OURS = "10.9.0.1";
export const PEER = "10.9.0.2";

/** What a lab of a wire is booted with: nobody else hears or speaks. */
export const WIRE = { nic: ["e1000", "e1000"], oneWire: true } as const satisfies Partial<Hardware>;

/** Has the guest send nothing by itself: no router is asked for, and no address is made up. */
export async function keepQuiet(lab: Lab): Promise<void> {
  await sh(lab, "for i in all default; do echo 1 > /proc/sys/net/ipv6/conf/$i/disable_ipv6; done");
}

/** Puts the other end into a network namespace, `peer`, with its address; the card under test is taken by then. */
export async function layFarEnd(lab: Lab): Promise<void> {
  await sh(lab, "ip netns add peer; modprobe e1000; ip link set eth1 netns peer");
  await sh(lab, `ip netns exec peer dash -ec 'ip link set eth1 up; ip address add ${PEER}/24 dev eth1'`);
}

/** Gives both ends their addresses, once `r3n0` is there. */
export async function layWire(lab: Lab): Promise<void> {
  await layFarEnd(lab);
  await joinWire(lab);
}

/** Gives the card under test its address, once `r3n0` is there again on a wire that is laid. */
export async function joinWire(lab: Lab): Promise<void> {
  await sh(lab, `ip address add ${OURS}/24 dev r3n0; ping -q -c 1 -w 20 ${PEER}`);
}

/**
 * The outside of checks, at the other end of the wire. Linux is at both ends: QEMU's own network does not
 * send a lost segment again for half a minute.
 */
export class FarEnd implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #reading: Promise<void>;
  readonly #ports = Promise.withResolvers<{ udp: number; tcp: number }>();
  readonly #errors: string[] = [];
  #moved: (bytes: number) => void = () => {};

  private constructor(lab: Lab) {
    const program = [
      "deno",
      "run",
      "-A",
      "--quiet",
      "--cached-only",
      "src/check/outside.ts",
      "--hostname",
      PEER,
    ];
    this.#child = lab.spawn(["ip", "netns", "exec", "peer", ...program], {
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    });
    this.#reading = this.#read();
  }

  /** Starts it. @throws {UserError} if it ends at once. */
  static async start(lab: Lab): Promise<FarEnd> {
    const far = new FarEnd(lab);
    await Promise.race([
      far.#ports.promise,
      far.#reading.then(() => {
        throw new UserError("The other end of the wire did not start");
      }),
    ]);
    return far;
  }

  /** A check against it, from the card under test; `moved` is told of its streams, at most five times a second. */
  async check(
    lab: Lab,
    options: Omit<CheckOptions, "interface" | "host"> & { moved?: (bytes: number) => void },
  ): Promise<CheckResult> {
    const ports = await this.#ports.promise;
    this.#moved = options.moved ?? (() => {});
    const outside = { ...ports, errors: this.#errors };
    return await checkAgainst(outside, async (args) => {
      const program = ["deno", "run", "-A", "--quiet", "--cached-only", "src/check/inside.ts", ...args];
      const { code, stdout, stderr } = await lab.exec(program);
      // Its lines of progress are left out: the outside tells the same.
      if (stdout === "") throw new UserError(`The check broke off: ${stderr.trim().split("\n").at(-1)}`);
      return { code, stdout };
    }, { ...options, interface: "r3n0", host: PEER });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // It ends with its input; where it has ended already, there is nothing to close.
    await this.#child.stdin.close().catch(() => {});
    await this.#child.status;
    await this.#reading;
  }

  async #read(): Promise<void> {
    for await (const text of lines(this.#child.stdout)) {
      const line = JSON.parse(text) as OutsideLine;
      if ("udp" in line) this.#ports.resolve(line);
      else if ("moved" in line) this.#moved(line.moved);
      else this.#errors.push(line.error);
    }
  }
}
