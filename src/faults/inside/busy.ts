/** Keeps the processor busy for some milliseconds. */
export function busy(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}
