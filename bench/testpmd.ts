/** DPDK's testpmd as a card's driver: it polls, so that a processor of the lab's is its own, and sends frames back. */
import { UserError } from "../src/error.ts";
import type { Lab } from "../src/lab/mod.ts";
import { lines } from "../src/lines.ts";
import { giveDevice, sh } from "../src/soak/lab.ts";
import { answeringCpu, type DrivenCard, interfaceOf, INTERRUPT_CPU, interruptOf, macOf } from "./card.ts";
import type { Taken } from "./compare.ts";

/** Debian packages that it takes in the lab. */
export const TESTPMD_PACKAGES: readonly string[] = ["dpdk-dev"];

/** Huge pages of 2 MiB that it is given, and buffers for frames in them. */
const PAGES = 48;
const BUFFERS = 4096;

/** The line after which it forwards. It ends with its input. */
const FORWARDING = "Press enter to exit";

/** Version of what is installed. */
export async function testpmdVersion(lab: Lab): Promise<string> {
  return await sh(lab, "dpkg-query --show --showformat '${Version}' dpdk-dev");
}

/**
 * Has testpmd forward what a card receives, MAC addresses exchanged, while `use` runs. With an IOMMU it reaches the
 * card through VFIO; without one, which VFIO does not do here, through uio_pci_generic.
 * @throws {UserError} if it does not come up.
 */
export async function takeWithTestpmd<T>(
  lab: Lab,
  { device, use }: { device: string; use: (card: DrivenCard) => Promise<T> },
): Promise<Taken<T>> {
  const through = lab.hardware.iommu ? "vfio-pci" : "uio_pci_generic";
  await sh(lab, `modprobe e1000; modprobe ${through}`);
  const mac = await macOf(lab, await interfaceOf(lab, device));
  await using undo = new AsyncDisposableStack();
  undo.defer(() => giveDevice(lab, device));
  await giveDevice(lab, device, through);
  undo.defer(async () => void await sh(lab, "echo 0 > /proc/sys/vm/nr_hugepages"));
  await sh(lab, `echo ${PAGES} > /proc/sys/vm/nr_hugepages`);
  const testpmd = undo.use(await Testpmd.start(lab, device));
  const result = await use({ mac, irq: await interruptOf(lab, device) });
  return { result, problems: await testpmd.end() };
}

/** It, running. */
class Testpmd implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #said: string[] = [];
  readonly #complained: Promise<string>;
  readonly #reading: Promise<void>;
  readonly #ready = Promise.withResolvers<void>();
  #ended = false;

  private constructor(lab: Lab, device: string) {
    // Of two threads one forwards, the other waits for the end.
    const places = `0@${answeringCpu(lab)},1@${INTERRUPT_CPU}`;
    this.#child = lab.spawn(
      // deno-fmt-ignore
      ["stdbuf", "--output=L", "dpdk-testpmd",
       "--lcores", places, "--in-memory", "--no-telemetry", "--allow", device,
       "--", "--forward-mode=macswap", `--total-num-mbufs=${BUFFERS}`],
      { stdin: "piped", stdout: "piped", stderr: "piped" },
    );
    this.#complained = new Response(this.#child.stderr).text();
    this.#reading = this.#read();
  }

  static async start(lab: Lab, device: string): Promise<Testpmd> {
    const testpmd = new Testpmd(lab, device);
    await Promise.race([testpmd.#ready.promise, testpmd.#reading]);
    if (!testpmd.#ended) return testpmd;
    throw new UserError(`testpmd does not start in the lab: ${await testpmd.#lastWords()}`);
  }

  /** Ends it. What went wrong until then, a line each. */
  async end(): Promise<string[]> {
    if (this.#ended) return [`testpmd has ended: ${await this.#lastWords()}`];
    await this.#child.stdin.close();
    await this.#reading;
    const { code } = await this.#child.status;
    return code === 0 ? [] : [`testpmd ended with status ${code}: ${await this.#lastWords()}`];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#ended) await this.end();
  }

  async #read(): Promise<void> {
    for await (const line of lines(this.#child.stdout)) {
      this.#said.push(line);
      if (line === FORWARDING) this.#ready.resolve();
    }
    this.#ended = true;
  }

  async #lastWords(): Promise<string> {
    const said = (await this.#complained).trim() || this.#said.join("\n").trim();
    return said.split("\n").slice(-3).join(" | ");
  }
}
