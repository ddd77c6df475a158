/** A register reads as it did the time before. */
import { isMeant, type Make } from "./hooks.ts";

export const make: Make<{ register?: string }> = ({ register }, { trigger }) => {
  const last = new Map<string, number>();
  return {
    read(read) {
      const stale = isMeant(register, read) && last.has(read) &&
        trigger.hit(`${read} reads as it did before`);
      return (found) => {
        const before = last.get(read) ?? found;
        last.set(read, found);
        return stale ? before : found;
      };
    },
  };
};
