/**
 * The process that `bench/packet.ts` measures: the e1000 driver in the host's own code, over a library whose
 * kernel and card are made up (`bench/reference/null.c`). That library reads orders from standard input, tells
 * the time and prints what the driver took; this adds by how much the heap grew meanwhile.
 *
 * Started as `deno run … bench/packet_driver.ts LIBRARY`.
 */
import e1000 from "../drivers/e1000/driver.ts";
import { LoopClock, useClock } from "../src/driver/clock.ts";
import type { Driver } from "../src/driver/mod.ts";
import { runDriver } from "../src/host/run.ts";
import { ERRNO, Grant, KernelError, openLibrary } from "../src/kernel/mod.ts";

/** Of the library: memory that the card shares, and descriptors of each ring. */
const DMA = 0x20000;
const RING = 512;

const library = openLibrary(Deno.args[0]);
const clock = new LoopClock(() => library.r3_now());
useClock(clock);
let before = 0;
let timed = false;

/** The first signal begins what is timed, the second ends it. */
function onSignal(): void {
  if (timed) console.log(JSON.stringify({ heap: Deno.memoryUsage().heapUsed - before }));
  timed = !timed;
  if (timed) before = Deno.memoryUsage().heapUsed;
}

try {
  await runDriver(new Grant(library, -1), {
    start: { options: { rings: RING }, dma: DMA },
    driver: e1000 as Driver<unknown>,
    clock,
    seal: () => {},
    log: console.error,
    onReady: () => {},
    onSignal,
  });
} catch (error) {
  // There are no more orders.
  if (!(error instanceof KernelError && error.errno === ERRNO.EKEYREVOKED)) throw error;
}
