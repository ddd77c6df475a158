/** A completion is of an earlier use of its index: what counts the uses in its token is off. */
import type { Make } from "./hooks.ts";

/** One use, in a token. */
const USE = 0x10000;

export const make: Make<{ channel?: number; by: number }> = ({ channel: chosen, by }, { trigger }) => ({
  complete({ channel, token, lengthFlags }, add) {
    const meant = chosen === undefined || chosen === channel;
    const hit = meant && trigger.hit(`channel ${channel} completes what it did ${by} uses of the index ago`);
    add(hit ? (token - by * USE) >>> 0 : token, lengthFlags);
  },
});
