/** A write does not arrive. */
import { isMeant, type Make } from "./hooks.ts";

export const make: Make<{ register?: string }> = ({ register }, { trigger }) => ({
  write(written, value, store) {
    if (isMeant(register, written) && trigger.hit(`${written} is not written`)) return;
    store(value);
  },
});
