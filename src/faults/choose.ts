/** Which faults a campaign injects: each follows from the campaign, the seed and its number alone. */
import type { z } from "zod";
import { Words } from "../check/content.ts";
import { isAct } from "./acts.ts";
import { MODELS } from "./models/mod.ts";
import { type Campaign, type faultSchema, IN_ONE_DRIVER, TOGETHER, type Together } from "./schema.ts";
import type { When } from "./when.ts";

type AnyFault = z.output<typeof faultSchema>;

/** What one injection of a campaign is. */
export interface Choice {
  /** The seed of what the faults leave open, for `faulty`. */
  seed: number;
  /** How many faults it has, and whether the second of two comes while the driver recovers from the first. */
  together: Together;
  /** By that. Each is of another model than those before it while there is one. */
  faults: AnyFault[];
}

/** How many faults there are of each kind. */
const COUNTS: { [Name in Together]: number } = { one: 1, two: 2, five: 5, ten: 10, recovery: 2 };

/** Whether a fault can be the one of that index. */
function fits(fault: AnyFault, together: Together, index: number): boolean {
  // What comes during a recovery can only come from outside.
  if (together === "recovery" && index > 0) return isAct(fault);
  return !isAct(fault) || !IN_ONE_DRIVER.some((kind) => kind === together);
}

/** Draws one of a list by its weights. */
function weighted<T extends { weight: number }>(words: Words, list: readonly T[]): T {
  const total = list.reduce((sum, { weight }) => sum + weight, 0);
  let left = words.next() / 2 ** 32 * total;
  return list.find(({ weight }) => (left -= weight) < 0) ?? list[list.length - 1];
}

/** Whether the campaign's time can be a fault's: a change of source has none, and nobody outside counts frames. */
function takes({ model }: AnyFault, of: When["of"]): boolean {
  const found = MODELS.find(({ name }) => name === model);
  return found ? found.kind === "wrapped" : of === "ms";
}

/** A fault with its time drawn, where it says none and the campaign does. */
function timed(fault: AnyFault, { when: range }: Campaign, words: Words): AnyFault {
  if (!range || "when" in fault && fault.when || !takes(fault, range.of)) return fault;
  const [least, most] = range.after;
  const after = least + Math.floor(words.next() / 2 ** 32 * (most - least + 1));
  return { ...fault, when: { ...range, after } } as AnyFault;
}

/**
 * The injection of a number, from 0. It does not depend on those before it, so that a campaign can be taken up
 * where it was left, and any of its injections replayed.
 */
export function choose(campaign: Campaign, { seed, number }: { seed: number; number: number }): Choice {
  const words = new Words(Math.imul(seed, 0x9e3779b1) + number);
  const kinds = TOGETHER.map((name) => ({ name, weight: campaign.together[name] ?? 0 }));
  const { name: together } = weighted(words, kinds);
  const chosen: AnyFault[] = [];
  while (chosen.length < COUNTS[together]) {
    const fitting = campaign.faults.filter(({ fault }) => fits(fault, together, chosen.length));
    const others = fitting.filter(({ fault }) => chosen.every(({ model }) => model !== fault.model));
    chosen.push(weighted(words, others.length > 0 ? others : fitting).fault);
  }
  const faults = chosen.map((fault) => timed(fault, campaign, words));
  return { seed: words.next(), together, faults };
}
