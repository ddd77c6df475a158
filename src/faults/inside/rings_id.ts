/** A completion is of another frame or request than the one that is done: the index in its token is off. */
import type { Make } from "./hooks.ts";

/** The index; the rest counts its uses. */
const INDEX = 0xffff;

export const make: Make<{ channel?: number; by: number }> = ({ channel: chosen, by }, { trigger }) => ({
  complete({ channel, token, lengthFlags }, add) {
    const meant = chosen === undefined || chosen === channel;
    const other = ((token & ~INDEX) | ((token & INDEX) + by & INDEX)) >>> 0;
    const hit = meant &&
      trigger.hit(`channel ${channel} completes index ${other & INDEX}, not ${token & INDEX}`);
    add(hit ? other : token, lengthFlags);
  },
});
