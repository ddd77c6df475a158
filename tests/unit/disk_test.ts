/** What is read of a disk, and what it comes to between two readings. */
import { assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { MACHINE_VARIABLE } from "../../src/machine.ts";
import { latencyBetween, parseDiskStat, parseLatencies } from "../../src/run/disk.ts";

const STAT = "     100        7     2048      300       50        3      800      150        2      400" +
  "      450        5        1       64       25        4       30\n";

Deno.test("the kernel's counters of a disk are read by their place", () => {
  assertEquals(parseDiskStat(STAT), {
    reads: 100,
    readBytes: 2048 * 512,
    writes: 50,
    writtenBytes: 800 * 512,
    discards: 5,
    flushes: 4,
    requestMs: 300 + 150 + 25 + 30,
  });
  assertThrows(() => parseDiskStat("1 2 3"), Error, '"1 2 3" is not what a disk counts');
  assertThrows(() => parseDiskStat(STAT.replace("2048", "x")), Error, "is not what a disk counts");
});

Deno.test("of latencies between two readings, the quantile is the step that it lies in", () => {
  const before = parseLatencies("1024 10\n8192 5\n");
  const after = parseLatencies("1024 10\n2048 90\n8192 14\n131072 1\n");
  assertEquals(before, [[1024, 10], [8192, 5]]);
  const at = (q: number) => latencyBetween(before, after, q);
  assertEquals([at(0), at(0.5), at(0.9), at(0.99), at(1)], [
    0.002048,
    0.002048,
    0.002048,
    0.008192,
    0.131072,
  ]);
  assertEquals([latencyBetween(after, after, 0.5), latencyBetween([], [], 0.5)], [0, 0]);
  assertEquals(parseLatencies(""), []);
});

/** Runs a module text with a machine of its own, and gives what it prints. */
async function on(machine: string, text: string): Promise<string> {
  const { stdout, code } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-check", text],
    env: { [MACHINE_VARIABLE]: machine, NO_COLOR: "1" },
    stderr: "inherit",
  }).output();
  assertEquals(code, 0);
  return new TextDecoder().decode(stdout).trim();
}

Deno.test("a meter tells of the disk that a device has, and of its rates", async () => {
  const machine = await Deno.makeTempDir({ prefix: "ring3-disk-" });
  try {
    await Deno.mkdir(`${machine}/sys/bus/pci/devices/0000:00:10.0/block/r3b0`, { recursive: true });
    await Deno.mkdir(`${machine}/sys/bus/pci/devices/0000:00:11.0`, { recursive: true });
    await Deno.mkdir(`${machine}/sys/block/r3b0`, { recursive: true });
    await Deno.writeTextFile(`${machine}/sys/block/r3b0/size`, "131072\n");
    await Deno.writeTextFile(`${machine}/sys/block/r3b0/stat`, STAT);
    await Deno.writeTextFile(`${machine}/sys/block/r3b0/latency`, "4096 7\n");
    const src = new URL("../../src/", import.meta.url).href;
    const result = JSON.parse(
      await on(
        machine,
        `
        import { diskOf } from "${src}run/disk.ts";
        import { Meter } from "${src}supervisor/meter.ts";
        const status = (wakeups) => ({ irqs_total: 9n, waits_total: 9n, wakeups_total: BigInt(wakeups),
          pio_total: BigInt(10 * wakeups) });
        const names = [await diskOf("0000:00:10.0"), await diskOf("0000:00:11.0") ?? null];
        const meter = new Meter("block");
        const first = meter.measured.disk.name;
        await meter.read(status(10), { name: undefined });
        await meter.read(status(10), { name: "r3b0" });
        const began = performance.now();
        await meter.read(status(10), { name: "r3b0" });
        const now = "200 7 4096 300 150 3 1600 250 2 400 450 5 1 64 25 14 30";
        await Deno.writeTextFile("${machine}/sys/block/r3b0/stat", now);
        await Deno.writeTextFile("${machine}/sys/block/r3b0/latency", "4096 106\\n1000000 107\\n8000000 4\\n");
        await new Promise((resolve) => setTimeout(resolve, 200));
        const at = performance.now();
        await meter.read(status(52), { name: "r3b0" });
        console.log(JSON.stringify({ names, first, seconds: (at - began) / 1000, ...meter.measured.disk }));
      `,
      ),
    );
    assertEquals(result.names, ["r3b0", null]);
    assertEquals([result.first, result.name, result.size], [null, "r3b0", 64 * 2 ** 20]);
    const { seconds, read, write, depth, latency, requestsPerWakeup, totals } = result;
    const about = (value: number, perReading: number) =>
      assertAlmostEquals(value * seconds / perReading, 1, 0.2);
    about(read.requests, 100);
    about(read.bytes, 2048 * 512);
    about(write.requests, 100);
    about(write.bytes, 800 * 512);
    // A hundred milliseconds of requests: of 210, in 42 wake-ups.
    about(depth, 0.1);
    assertAlmostEquals(latency.mean, 100 / 210, 0.001);
    assertEquals([latency.p50, latency.p99], [1, 8]);
    assertAlmostEquals(requestsPerWakeup, 5, 0.001);
    assertAlmostEquals(result.portCallsPerRequest, 2, 0.001);
    assertEquals(totals, {
      reads: 200,
      readBytes: 4096 * 512,
      writes: 150,
      writtenBytes: 1600 * 512,
      discards: 5,
      flushes: 14,
    });
  } finally {
    await Deno.remove(machine, { recursive: true });
  }
});
