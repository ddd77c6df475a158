/** A stream at no more than a certain pace: what comes faster waits where it comes from. */

/** Time, replaced in tests. */
export interface Pace {
  /** Milliseconds. */
  now(): number;
  sleep(ms: number): Promise<void>;
}

const REAL: Pace = {
  now: () => performance.now(),
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
};

/** Passes on at most `perSecond` items in each second that begins with one. */
export async function* paced<T>(
  source: AsyncIterable<T>,
  { perSecond, pace = REAL }: { perSecond: number; pace?: Pace },
): AsyncGenerator<T> {
  let begun = -Infinity;
  let passed = 0;
  for await (const item of source) {
    if (pace.now() - begun >= 1000) {
      begun = pace.now();
      passed = 0;
    }
    if (passed === perSecond) {
      await pace.sleep(begun + 1000 - pace.now());
      begun = pace.now();
      passed = 0;
    }
    passed++;
    yield item;
  }
}
