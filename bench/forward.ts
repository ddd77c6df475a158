/**
 * Frames sent back as they come, MAC addresses exchanged, under loads from idle to past saturation: DPDK's testpmd,
 * which polls, beside the kernel's own driver and ring3's, in turn, in one boot, on one card.
 */
import { CHECKOUT } from "../src/lab/guest.ts";
import type { Lab } from "../src/lab/mod.ts";
import type { LabOptions } from "../src/run/lab.ts";
import { sh } from "../src/soak/lab.ts";
import { DEVICE } from "../src/soak/wire.ts";
import { type Card, type DrivenCard, interfaceOf, macOf, pinInterrupt, runDriver, takeCard } from "./card.ts";
import { compared, type Comparison, machineText, roundsText, type Taken, takeTurnsOf } from "./compare.ts";
import {
  bearLoads,
  formatLoads,
  type Loaded,
  loadedOf,
  type LoadsOptions,
  peakRatio,
  plotLoads,
  startLoadedLab,
  type Turn,
  type Wording,
  wrongAnswers,
} from "./loads.ts";
import { takeWithTestpmd, TESTPMD_PACKAGES, testpmdVersion } from "./testpmd.ts";

/** Who sends frames back: the kernel's driver with a filter of tc, DPDK, and ring3's driver with a program. */
export const FORWARDERS = {
  kernel: "the kernel's driver with tc",
  testpmd: "DPDK's testpmd",
  ring3: "ring3's driver with a raw port",
} as const;

/** One of them. */
export type Forwarder = keyof typeof FORWARDERS;

/** The manifest of ring3's, in the guest. */
const MANIFEST = `${CHECKOUT}/bench/forward/e1000-macswap.json`;

/** Of a frame with its checksum (FCS), as sizes of frames are told: all but the payload of its UDP datagram. */
const OVERHEAD = 14 + 20 + 8 + 4;

/** How the loads are told of. */
const WORDING: Wording<Forwarder> = { owners: FORWARDERS, unit: "frame" };

/** How much of testpmd's peak ring3's is to be. */
const GOAL = 0.8;

/** Loads, frames a second. */
export const LOADS: readonly number[] = [1000, 4000, 8000, 16_000, 24_000, 32_000, 40_000, 60_000];

/** What was measured. */
export interface ForwardBench extends Comparison, Loaded<Forwarder> {
  bench: "forward";
  /** Bytes of a frame with its FCS. */
  size: number;
  /** Version of the package that testpmd is of. */
  dpdk: string;
}

/** How to measure. */
export interface ForwardBenchOptions extends LabOptions, LoadsOptions {
  /** Bytes of a frame with its FCS, 64 to 1,518. */
  size: number;
  /** Times that all take their turn. */
  rounds: number;
}

/**
 * Boots a lab with one card and has them serve it in turn.
 * @throws {UserError} if the lab or one of them does not come up, or the load does not run.
 */
export async function benchForward(
  options: ForwardBenchOptions,
): Promise<ForwardBench> {
  const { loads, size } = options;
  await using cleaning = new AsyncDisposableStack();
  const { lab, wire } = await startLoadedLab({ ...options, packages: TESTPMD_PACKAGES }, cleaning);
  const target = { ...wire, size: size - OVERHEAD, answer: "macswap" as const };
  const use = (card: DrivenCard) => bearLoads(lab, card, { ...options, target });
  const { result: turns, problems } = await takeTurnsOf(
    FORWARDERS,
    (name) => TAKE[name](lab, { address: wire.to, use }),
    options,
  );
  return {
    bench: "forward",
    ...compared(lab, {
      rounds: options.rounds,
      problems: [...problems, ...wrongAnswers(turns, WORDING)],
    }),
    size,
    dpdk: await testpmdVersion(lab),
    ...loadedOf(turns, loads),
  };
}

interface Taking {
  /** Of the kernel's interface. */
  address: string;
  use: (card: DrivenCard) => Promise<Turn>;
}

/** How each gets the card. */
const TAKE: Readonly<Record<Forwarder, (lab: Lab, taking: Taking) => Promise<Taken<Turn>>>> = {
  kernel: (lab, { address, use }) =>
    takeCard(lab, "kernel", { device: DEVICE, address, use: (card) => withFilter(lab, card, use) }),
  testpmd: (lab, { use }) => takeWithTestpmd(lab, { device: DEVICE, use }),
  ring3: async (lab, { use }) => {
    await sh(lab, "modprobe e1000");
    const mac = await macOf(lab, await interfaceOf(lab, DEVICE));
    return await runDriver(lab, [MANIFEST], {
      device: DEVICE,
      use: async (run) => {
        await run.next("ready");
        return await use({ mac, irq: await pinInterrupt(lab, DEVICE), run });
      },
    });
  },
};

/** Has the kernel send back what an interface receives, before any protocol sees it. */
async function withFilter<T>(lab: Lab, card: Card, use: (card: Card) => Promise<T>): Promise<T> {
  const { interface: name } = card;
  await sh(
    lab,
    `tc qdisc add dev ${name} clsact; ` +
      `tc filter add dev ${name} ingress matchall ` +
      `action skbmod swap mac pipe action mirred egress redirect dev ${name}`,
  );
  try {
    return await use(card);
  } finally {
    await sh(lab, `tc qdisc del dev ${name} clsact`);
  }
}

/** The figures as tables of Markdown: medians, for the rates with what they lie between. */
export function formatForwardBench(result: ForwardBench): string {
  const { size, dpdk, problems } = result;
  return [
    `Frames of ${size} bytes sent back on ${machineText(result)}: ${
      roundsText(result)
    } in one boot; DPDK ${dpdk}`,
    "",
    goalOf(result),
    ...formatLoads(result, WORDING),
    ...problems.map((problem) => `\n${problem}`),
  ].join("\n");
}

/** Whether ring3 comes near enough to testpmd. */
function goalOf({ points }: Loaded<Forwarder>): string {
  const share = peakRatio(points, ["ring3", "testpmd"]);
  const percent = (value: number) => `${(100 * value).toFixed(0)} %`;
  return `ring3's peak is ${percent(share)} of testpmd's; at least ${
    percent(GOAL)
  } is the goal, at 64 bytes: ${share >= GOAL ? "met" : "not met"}.`;
}

/** What came back over what was offered, of all. */
export function plotForwardBench(result: ForwardBench): string {
  return plotLoads(result, {
    ...WORDING,
    title: `Frames of ${result.size} bytes sent back`,
    subtitle: `${machineText(result)}; ${roundsText(result)}`,
  });
}
