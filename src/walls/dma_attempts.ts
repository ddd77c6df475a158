/**
 * Attempts to reach memory through a device: a hostile driver has its card read or write a page of another
 * process, and both ends of the wire and the page itself tell whether it did.
 */
import { checkout } from "../lab/checkout.ts";
import { run } from "../lab/command.ts";
import type { Hardware, Lab } from "../lab/mod.ts";
import { lines } from "../lines.ts";
import { DriverRun } from "../soak/driver_run.ts";
import { sh } from "../soak/lab.ts";
import { DEVICE, keepQuiet, OURS, PEER } from "../soak/wire.ts";
import type { Reason } from "../supervisor/schema.ts";
import { udpHeaders } from "../udp_frame.ts";
import { START, START_MS } from "./attempt.ts";

/**
 * What a lab of these attempts is booted with, all on one wire: the card of the hostile driver, one for somebody
 * who is not to be disturbed, and the far end, which the kernel's own driver serves.
 */
export const DMA_MACHINE = {
  nic: ["e1000", "82540em", "e1000e"],
  oneWire: true,
} as const satisfies Partial<Hardware>;

/** The far end's network namespace. */
const FAR = "ip netns exec far";

/** Port of the datagrams of both directions. */
const PORT = 4434;

/** Bytes of a page. */
const PAGE = 4096;

/** What the far end sends, bytes: it fits into one frame. */
const STAMP = 1024;

/** The shortest run of bytes that is no accident. */
const RUN = 16;

/** How long an attempt may take until something comes of it, and how long what comes after is waited for; ms. */
const DEADLINE = 60_000;
const SETTLE = 1500;

/** What became of an attempt. */
export interface DmaAttempt {
  /** What the card was told to do. */
  access: "read" | "write";
  /** The address that it was told. */
  address: string;
  /** The secret, or a part of it, came out on the wire. */
  leaked: boolean;
  /** The secret is not what it was. */
  changed: boolean;
  /** What the far end had sent is where the secret was. */
  overwritten: boolean;
  /** Why the driver ended; null if it did not. */
  reason: Reason | null;
  /** What the supervisor's user was warned of. */
  warnings: string[];
}

/** Lays the wire's far end, and puts programs and the driver's files where the attempts find them. Once per lab. */
export async function prepareDma(lab: Lab): Promise<void> {
  const built = `${checkout()}/build/walls`;
  await Deno.mkdir(built, { recursive: true });
  // deno-fmt-ignore
  const compiler = ["gcc", "-O2", "-std=c11", "-Wall", "-Wextra", "-Werror", "-Wshadow", "-D_GNU_SOURCE", "-static"];
  await run([...compiler, "-o", `${built}/secret`, `${checkout()}/src/walls/secret.c`], {
    what: "build the keeper of a secret",
  });
  await keepQuiet(lab);
  await sh(lab, "ip netns add far; modprobe e1000e; udevadm settle 2> /dev/null || true");
  await sh(
    lab,
    `ip link set $(ls /sys/bus/pci/devices/0000:03:00.0/net) netns far name far0
     ${FAR} ip link set far0 up; ${FAR} ip address add ${PEER}/24 dev far0
     for i in $(seq 100); do test $(${FAR} cat /sys/class/net/far0/carrier) = 1 && exit; sleep 0.1; done; false`,
  );
  // A driver has its own folder and the API, and nothing else: the honest driver comes along in it.
  const folder = "/tmp/walls/drivers/dma";
  await sh(
    lab,
    `mkdir -p ${folder}; cp src/walls/drivers/dma/driver.ts ${folder}; cp -r drivers/e1000 ${folder}
     sed -i 's|../../../driver/mod.ts|../../../../ring3/src/driver/mod.ts|; s|../../../../drivers/e1000/|./e1000/|' \
       ${folder}/driver.ts
     sed -i 's|../../src/driver/|../../../../../ring3/src/driver/|' ${folder}/e1000/*.ts`,
  );
}

/** The card sends what the secret page holds. */
export async function readSecret(
  lab: Lab,
  options: { iommu: "required" | "preferred" },
): Promise<DmaAttempt> {
  return await attempt(lab, "read", options);
}

/** The card writes what it receives to where the secret is. */
export async function overwriteSecret(
  lab: Lab,
  options: { iommu: "required" | "preferred" },
): Promise<DmaAttempt> {
  return await attempt(lab, "write", options);
}

async function attempt(
  lab: Lab,
  access: DmaAttempt["access"],
  { iommu }: { iommu: "required" | "preferred" },
): Promise<DmaAttempt> {
  const content = crypto.getRandomValues(new Uint8Array(PAGE));
  const stamp = crypto.getRandomValues(new Uint8Array(STAMP));
  await using secret = await Secret.keep(lab, content);
  await using far = await FarEnd.start(lab, stamp);
  const manifest = JSON.stringify({
    name: `dma-${access}`,
    description: "A hostile driver",
    driver: "drivers/dma/driver.ts",
    match: [{ vendor: "0x8086", device: "0x100f" }],
    grant: { bars: [{ bar: 0, length: "128KiB" }], interrupts: 1, dma: "128KiB", port: { kind: "net" } },
    iommu,
    // Nothing but what its device does is to end it, and that once.
    limits: { stall: "0s", start: START },
    restart: { on: "never" },
    options: { access, address: secret.address, header: datagramHeader(STAMP).toHex() },
  });
  const file = `/tmp/walls/dma-${access}.json`;
  await lab.exec(["tee", file], { stdin: manifest });
  await using driver = DriverRun.start(lab, [file, "--device", DEVICE, "--no-dhcp"]);
  const { interface: name } = await driver.next("interface", { ms: START_MS });
  const mac = (await sh(lab, `cat /sys/class/net/${name}/address`)).trim();
  await sh(lab, `${FAR} ip neighbour replace ${OURS} lladdr ${mac} dev far0`);
  const ended = driver.next("ended", { ms: DEADLINE }).then(({ reason }) => reason, () => null);
  const leaked = () => far.received.some((datagram) => holdsPartOf(datagram, content.toHex()));
  if (access === "read") await far.until(leaked, ended);
  else await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 10 * SETTLE))]);
  await new Promise((resolve) => setTimeout(resolve, SETTLE));
  const reason = driver.last("ended")?.reason ?? null;
  const warnings = driver.driver?.warnings ?? [];
  if (reason === null) await driver.stop();
  const page = await secret.look();
  return {
    access,
    address: secret.address,
    leaked: leaked(),
    changed: page !== content.toHex(),
    overwritten: holdsPartOf(page, stamp.toHex()),
    reason,
    warnings,
  };
}

/** Whether one of the runs that `secret` consists of, all in hexadecimal, is in `text`. */
function holdsPartOf(text: string, secret: string): boolean {
  for (let at = 0; at < secret.length; at += 2 * RUN) {
    if (text.includes(secret.slice(at, at + 2 * RUN))) return true;
  }
  return false;
}

/** Headers for so many bytes of payload to the far end, so that what is there comes out at a socket. */
function datagramHeader(payload: number): Uint8Array<ArrayBuffer> {
  const from = { mac: "02:00:00:00:00:66", address: OURS, port: PORT };
  return udpHeaders(from, { mac: "ff:ff:ff:ff:ff:ff", address: PEER, port: PORT }, payload);
}

/** A process in the lab that keeps a page. */
class Secret implements AsyncDisposable {
  /** Physical address of the page, hexadecimal. */
  readonly address: string;
  readonly #child: Deno.ChildProcess;
  readonly #said: AsyncGenerator<string>;
  readonly #input: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  #open = true;

  private constructor(address: string, parts: {
    child: Deno.ChildProcess;
    said: AsyncGenerator<string>;
    input: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  }) {
    this.address = address;
    this.#child = parts.child;
    this.#said = parts.said;
    this.#input = parts.input;
  }

  static async keep(lab: Lab, content: Uint8Array<ArrayBuffer>): Promise<Secret> {
    const child = lab.spawn(["build/walls/secret"], { stdin: "piped", stdout: "piped", stderr: "inherit" });
    const said = lines(child.stdout);
    const input = child.stdin.getWriter();
    await input.write(content);
    const { value, done } = await said.next();
    if (done) throw new Error(`The secret's keeper ended with status ${(await child.status).code}`);
    return new Secret(value, { child, said, input });
  }

  /** Ends it: what the page holds by now, hexadecimal. @throws {Error} if the kernel has moved it meanwhile. */
  async look(): Promise<string> {
    await this[Symbol.asyncDispose]();
    const { value: address } = await this.#said.next();
    if (address !== this.address) throw new Error(`The secret has moved from ${this.address} to ${address}`);
    const { value: page } = await this.#said.next();
    return page ?? "";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await this.#input.close().catch(() => {});
    await this.#child.status;
  }
}

/** `far_end.ts` in the lab. */
class FarEnd implements AsyncDisposable {
  /** Datagrams that came, hexadecimal. */
  readonly received: string[] = [];
  readonly #child: Deno.ChildProcess;
  readonly #reading: Promise<void>;
  #came: PromiseWithResolvers<void> = Promise.withResolvers();

  private constructor(child: Deno.ChildProcess, said: AsyncGenerator<string>) {
    this.#child = child;
    this.#reading = (async () => {
      for await (const line of said) {
        this.received.push(line);
        this.#came.resolve();
        this.#came = Promise.withResolvers();
      }
    })();
  }

  static async start(lab: Lab, stamp: Uint8Array<ArrayBuffer>): Promise<FarEnd> {
    const program = ["deno", "run", "-A", "--quiet", "--cached-only", "src/walls/far_end.ts"];
    const args = [PEER, `${PORT}`, OURS, stamp.toHex()];
    const child = lab.spawn([...FAR.split(" "), ...program, ...args], {
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    });
    const said = lines(child.stdout);
    if ((await said.next()).done) throw new Error("The far end of the wire did not start");
    return new FarEnd(child, said);
  }

  /** Resolves when that is so, looked at whenever a datagram has come, or when `over` does. */
  async until(fits: () => boolean, over: Promise<unknown>): Promise<void> {
    let isOver = false;
    const ends = over.then(() => {
      isOver = true;
    });
    while (!isOver && !fits()) await Promise.race([this.#came.promise, ends]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.stdin.close().catch(() => {});
    await this.#child.status;
    await this.#reading;
  }
}
