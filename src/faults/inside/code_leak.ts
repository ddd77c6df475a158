/** The driver makes promises that nothing settles, and keeps what awaits them. */
import type { Make } from "./hooks.ts";

export const make: Make<{ each: number }> = ({ each }, { trigger }) => {
  const kept: Promise<void>[] = [];
  const leak = async () => await new Promise<void>(() => {});
  return {
    poll(call) {
      if (trigger.hit(`leaves ${each} promises behind at each poll`)) {
        for (let i = 0; i < each; i++) kept.push(leak());
      }
      return call();
    },
  };
};
