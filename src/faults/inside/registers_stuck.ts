/** A register reads the same from then on. */
import { isMeant, type Make } from "./hooks.ts";

export const make: Make<{ register?: string; value?: number }> = ({ register, value }, { trigger }) => {
  let name = register;
  const held = new Map<string, number>();
  return {
    read(read) {
      if (!isMeant(name, read) || !trigger.hit(`${read} is stuck`)) return undefined;
      name ??= read;
      return (found) => {
        if (!held.has(read)) held.set(read, value ?? found);
        return held.get(read)!;
      };
    },
  };
};
