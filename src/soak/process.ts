/** What Linux tells of a process, as soaks read it: how often its threads went to sleep. */

/** How often each thread gave the processor up by itself: each time it had been woken, or has gone to sleep. */
export type Switches = Record<string, number>;

/**
 * Voluntary context switches by thread, from `/proc/PID/task/TID/status` of all threads, one after the other.
 * @throws {Error} if there is none in the text.
 */
export function parseSwitches(text: string): Switches {
  const switches: Switches = {};
  const thread = /^Pid:\t(\d+)$[^]*?^voluntary_ctxt_switches:\t(\d+)$/gm;
  for (const [, tid, count] of text.matchAll(thread)) switches[tid] = Number(count);
  if (Object.keys(switches).length === 0) throw new Error("The kernel tells of no thread of the process");
  return switches;
}

/** Switches from one look to another, by thread that has any; a thread that came or went counts as well. */
export function switchesBetween(before: Switches, after: Switches): Switches {
  const changed: Switches = {};
  for (const tid of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const count = tid in before && tid in after ? after[tid] - before[tid] : 1;
    if (count !== 0) changed[tid] = count;
  }
  return changed;
}
