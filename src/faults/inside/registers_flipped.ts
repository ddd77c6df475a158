/** A bit of what a register reads as is the other one. */
import { isMeant, type Make } from "./hooks.ts";

export const make: Make<{ register?: string; bit: number }> = ({ register, bit }, { trigger }) => ({
  read(read) {
    if (!isMeant(register, read) || !trigger.hit(`${read} reads with bit ${bit} flipped`)) return undefined;
    return (found, bits) => (found ^ (1 << (bit % bits))) >>> 0;
  },
});
