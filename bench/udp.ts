/**
 * UDP echo under load from idle to past saturation, after Leslie et al. 2005, figure 4: the kernel's own driver
 * and ring3's in turn, in one boot, on one card.
 */
import type { LabOptions } from "../src/run/lab.ts";
import { DEVICE } from "../src/soak/wire.ts";
import { type Card, startEcho, takeCard } from "./card.ts";
import {
  compared,
  type Comparison,
  type DriverName,
  machineText,
  OWNERS,
  roundsText,
  takeTurns,
} from "./compare.ts";
import { LOAD_MAC } from "./load.ts";
import {
  bearLoads,
  formatLoads,
  type Loaded,
  loadedOf,
  type LoadsOptions,
  plotLoads,
  startLoadedLab,
  type Wording,
  wrongAnswers,
} from "./loads.ts";

/** How the loads are told of. */
const WORDING: Wording<DriverName> = { owners: OWNERS, unit: "datagram" };

/** Loads, datagrams a second. */
export const LOADS: readonly number[] = [
  1000,
  2000,
  4000,
  6000,
  8000,
  10_000,
  12_000,
  14_000,
  16_000,
  20_000,
  26_000,
  32_000,
];

/** What was measured. */
export interface UdpBench extends Comparison, Loaded<DriverName> {
  bench: "udp";
  /** Bytes of a datagram's payload. */
  size: number;
}

/** How to measure. */
export interface UdpBenchOptions extends LabOptions, LoadsOptions {
  /** Bytes of a datagram's payload. */
  size: number;
  /** Times that both drivers take their turn. */
  rounds: number;
}

/**
 * Boots a lab with one card and has both drivers serve it in turn.
 * @throws {UserError} if the lab or a driver does not come up, or the load does not run.
 */
export async function benchUdp(options: UdpBenchOptions): Promise<UdpBench> {
  const { loads, size } = options;
  await using cleaning = new AsyncDisposableStack();
  const { lab, wire } = await startLoadedLab(options, cleaning);
  await startEcho(lab);
  const { from, to } = wire;
  const use = (card: Card) => bearLoads(lab, card, { ...options, target: { ...wire, size } });
  const taking = { device: DEVICE, address: to, neighbours: { [from]: LOAD_MAC }, use };
  const { result: turns, problems } = await takeTurns(options, (driver) => takeCard(lab, driver, taking));
  return {
    bench: "udp",
    ...compared(lab, { rounds: options.rounds, problems: [...problems, ...wrongAnswers(turns, WORDING)] }),
    size,
    ...loadedOf(turns, loads),
  };
}

/** The figures as tables of Markdown: medians, for the rates with what they lie between. */
export function formatUdpBench(result: UdpBench): string {
  return [
    `UDP echo of ${result.size} bytes on ${machineText(result)}: ${roundsText(result)} in one boot`,
    "",
    ...formatLoads(result, WORDING),
    ...result.problems.map((problem) => `\n${problem}`),
  ].join("\n");
}

/** What came back over what was offered, of both. */
export function plotUdpBench(result: UdpBench): string {
  return plotLoads(result, {
    ...WORDING,
    title: `UDP echo, ${result.size} bytes`,
    subtitle: `${machineText(result)}; ${roundsText(result)}`,
  });
}
