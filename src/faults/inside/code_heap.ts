/** The driver takes memory until there is none. */
import type { Make } from "./hooks.ts";

export const make: Make<object> = (_, { trigger }) => ({
  event(what) {
    if (!trigger.hit(`takes memory without end, at one of its ${what}`)) return;
    const kept: number[][] = [];
    for (;;) kept.push(new Array(1024).fill(kept.length));
  },
});
