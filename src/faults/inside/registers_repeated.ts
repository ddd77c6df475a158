/** A write arrives more than once. */
import { isMeant, type Make } from "./hooks.ts";

export const make: Make<{ register?: string; writes: number }> = ({ register, writes }, { trigger }) => ({
  write(written, value, store) {
    store(value);
    if (!isMeant(register, written) || !trigger.hit(`${written} is written ${writes} times`)) return;
    for (let i = 1; i < writes; i++) store(value);
  },
});
