import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { LOAD_MAC, putLoad } from "../../bench/load.ts";
import { activityBetween } from "../../bench/sampler.ts";
import { peakOf } from "../../bench/loads.ts";
import { formatUdpBench, plotUdpBench, type UdpBench } from "../../bench/udp.ts";
import { buildBench, buildOutside } from "../../src/build.ts";
import { UserError } from "../../src/error.ts";
import { COMPARISON, one, sideAt } from "./figures.ts";

const MAC = "52:54:00:12:34:57";
const FROM = "10.3.0.2";
const TO = "10.3.0.15";
const HEADERS = 14 + 20 + 8;

/** The Internet checksum of some bytes: 0 of what contains a right one. */
function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += bytes[i] << 8 | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** What a host does that echoes: the frame with its addresses and ports exchanged. */
function answer(frame: Uint8Array): Uint8Array {
  const back = frame.slice();
  const exchange = (a: number, b: number, length: number) => {
    back.set(frame.subarray(a, a + length), b);
    back.set(frame.subarray(b, b + length), a);
  };
  exchange(0, 6, 6);
  exchange(26, 30, 4);
  exchange(34, 36, 2);
  return back;
}

/** What a forwarder does: the very frame, its MAC addresses exchanged. */
function swap(frame: Uint8Array): Uint8Array {
  return new Uint8Array([...frame.subarray(6, 12), ...frame.subarray(0, 6), ...frame.subarray(12)]);
}

/** Has a card at the end of the wire: `each` gives what it sends for the frame of that number. */
async function withCard<T>(
  each: (frame: Uint8Array, index: number) => Uint8Array[] | Promise<Uint8Array[]>,
  use: (load: { program: string; sockets: { card: string; outside: string } }) => Promise<T>,
): Promise<T> {
  const program = `${await buildOutside()}/load`;
  const directory = await Deno.makeTempDir();
  const sockets = { card: `${directory}/card`, outside: `${directory}/outside` };
  const card = Deno.listenDatagram({ transport: "unixpacket", path: sockets.card });
  const serving = (async () => {
    let index = 0;
    for await (const [frame] of card) {
      for (const back of await each(frame, index++)) {
        await card.send(back, { transport: "unixpacket", path: sockets.outside }).catch(() => {});
      }
    }
  })();
  try {
    return await use({ program, sockets });
  } finally {
    card.close();
    await serving;
    await Deno.remove(directory, { recursive: true });
  }
}

const LOAD = { mac: MAC, from: FROM, to: TO, size: 1023, rate: 500, warm: 100, measured: 400 };

Deno.test("the load is UDP as a host would send it, and what comes back is counted", async () => {
  const frames: Uint8Array[] = [];
  const said: string[] = [];
  const result = await withCard((frame) => {
    frames.push(frame);
    return [answer(frame)];
  }, ({ program, sockets }) =>
    putLoad({
      ...LOAD,
      program,
      sockets,
      begin: () => Promise.resolve(void said.push("begin")),
      end: () => Promise.resolve(void said.push("end")),
    }));
  assertEquals(said, ["begin", "end"]);
  const { offered } = result;
  // Fewer than were asked for only if this machine was too busy to let it run for 64 ms.
  assert(offered > 100 && offered <= 200, `${offered} offered`);
  assertEquals([result.echoed, result.missed, result.wrong, result.seconds], [offered, 0, 0, 0.4]);
  assert(frames.length > offered && frames.length <= 250);
  assert(result.returned > offered / 2 && result.returned <= 250, `${result.returned} came back in time`);
  const { p50_us, p99_us, p999_us, max_us } = result;
  assert(p50_us > 0 && p50_us <= p99_us && p99_us <= p999_us && p999_us <= max_us && max_us < 5e5);
  for (const frame of frames) {
    assertEquals(frame.length, HEADERS + LOAD.size);
    const hex = (from: number, to: number) =>
      [...frame.subarray(from, to)].map((b) => b.toString(16).padStart(2, "0"));
    assertEquals([hex(0, 6).join(":"), hex(6, 12).join(":"), hex(12, 14).join("")], [MAC, LOAD_MAC, "0800"]);
    assertEquals(checksum(frame.subarray(14, 34)), 0);
    const pseudo = new Uint8Array([...frame.subarray(26, 34), 0, 17, ...frame.subarray(38, 40)]);
    assertEquals(checksum(new Uint8Array([...pseudo, ...frame.subarray(34)])), 0);
  }
});

Deno.test("what is lost, changed, or sent twice is told apart", async () => {
  const result = await withCard((frame, index) => {
    const back = answer(frame);
    if (index % 10 === 3) return [];
    if (index % 10 === 5) back[HEADERS + 500] ^= 1;
    return index % 10 === 7 ? [back, back] : [back];
  }, ({ program, sockets }) => putLoad({ ...LOAD, program, sockets, warm: 0 }));
  const among = (digit: number) => Math.floor((result.offered - 1 - digit) / 10) + 1;
  assertEquals(result.echoed, result.offered - among(3) - among(5));
  assertEquals(result.wrong, among(5) + among(7));
});

Deno.test("what is forwarded counts with its addresses exchanged, and otherwise as it was sent", async () => {
  const SHORTEST = 60;
  const result = await withCard(
    (frame, index) => {
      assertEquals(frame.length, SHORTEST);
      const back = swap(frame);
      // In turn: not exchanged, another address, another checksum of IP's, a byte of the end, an answer of a host.
      if (index % 10 === 1) return [frame];
      if (index % 10 === 2) back[11] ^= 1;
      if (index % 10 === 3) back[24] ^= 1;
      if (index % 10 === 4) back[SHORTEST - 1] ^= 1;
      return [index % 10 === 5 ? answer(frame) : back];
    },
    ({ program, sockets }) =>
      putLoad({ ...LOAD, program, sockets, warm: 0, size: SHORTEST - HEADERS, answer: "macswap" }),
  );
  const among = (digit: number) => Math.floor((result.offered - 1 - digit) / 10) + 1;
  assertEquals(result.wrong, among(1) + among(2) + among(3) + among(4));
  assertEquals(result.echoed, result.offered - result.wrong - among(5));
});

Deno.test("what a card takes too late is missed, as on a wire", async () => {
  let waited = false;
  const result = await withCard(async (frame) => {
    if (!waited) await new Promise((resolve) => setTimeout(resolve, 300));
    waited = true;
    return [answer(frame)];
  }, ({ program, sockets }) => putLoad({ ...LOAD, program, sockets, warm: 0 }));
  // The socket holds ten or more, the card's FIFO 46; 150 fell due meanwhile.
  assert(result.missed > 0 && result.missed < 150 - 46, `${result.missed} missed`);
  assertEquals(result.echoed, result.offered - result.missed);
  assert(result.max_us > 200_000);
  // From begin on, of which the first frame came right after.
  assert(result.gap_us > 290_000 && result.gap_us < 400_000, `${result.gap_us} us without any`);
});

Deno.test("a gap that nothing ends lasts until the load does", async () => {
  const { gap_us, seconds } = await withCard(
    (frame, index) => index < 100 ? [answer(frame)] : [],
    ({ program, sockets }) => putLoad({ ...LOAD, program, sockets, warm: 0 }),
  );
  assertEquals(seconds, 0.4);
  // A hundred were due in the first 200 ms; this machine may not have let them go before later.
  assert(gap_us > 50_000 && gap_us < 210_000, `${gap_us} us without any`);
});

Deno.test("a load ends early when it is told to, with what there was until then", async () => {
  const over = new AbortController();
  const result = await withCard((frame) => [answer(frame)], ({ program, sockets }) =>
    putLoad({
      ...LOAD,
      program,
      sockets,
      warm: 0,
      measured: 60_000,
      over: over.signal,
      begin: () => {
        setTimeout(() => over.abort(), 200);
        return Promise.resolve();
      },
    }));
  assert(result.seconds >= 0.2 && result.seconds < 5, `${result.seconds} s`);
  assertEquals([result.echoed, result.missed], [result.offered, 0]);
  assert(result.offered > 50 && result.offered <= result.seconds * 500 + 1, `${result.offered} offered`);
});

Deno.test("a load that cannot be is refused with the reason", async () => {
  await withCard(() => [], async ({ program, sockets }) => {
    const refused = async (change: Partial<typeof LOAD>) =>
      (await assertRejects(() => putLoad({ ...LOAD, program, sockets, ...change }), UserError)).message;
    assertEquals(
      await refused({ mac: "nonsense" }),
      "Cannot load the card: load: nonsense: not a MAC address",
    );
    assertEquals(await refused({ to: "10.3" }), "Cannot load the card: load: 10.3: not an IPv4 address");
    assertEquals(await refused({ size: 15 }), "Cannot load the card: load: 15: not from 16 to 1472");
  });
});

Deno.test("the program that reads the kernel's counters tells of now", async () => {
  const program = `${await buildBench()}/sample`;
  const child = new Deno.Command(program, { args: ["0"], stdin: "piped", stdout: "piped" }).spawn();
  const ask = child.stdin.getWriter();
  await ask.write(new TextEncoder().encode("\n"));
  await new Promise((resolve) => setTimeout(resolve, 100));
  await ask.write(new TextEncoder().encode("\n"));
  await ask.close();
  const { code, stdout } = await child.output();
  assertEquals(code, 0);
  const [before, after] = new TextDecoder().decode(stdout).trim().split("\n").map((line) => JSON.parse(line));
  assertEquals(before.idle.length, navigator.hardwareConcurrency);
  assert(after.seconds - before.seconds >= 0.09);
  assert(after.switches > before.switches);
  const softirqs = (await Deno.readTextFile("/proc/stat")).match(/^softirq (.*)/m)![1].split(" ").map(Number);
  assert(after.receives >= before.receives && after.receives <= softirqs[4]);
  assert(after.receives > softirqs[4] - 100_000);
});

Deno.test("activity is what lies between two samples", () => {
  const before = { seconds: 10, idle: [5, 6], interrupts: 1, receives: 2, switches: 3 };
  const after = { seconds: 12, idle: [5.5, 8], interrupts: 11, receives: 22, switches: 33 };
  assertEquals(activityBetween(before, after), { busy: 0.75, interrupts: 10, receives: 20, switches: 30 });
});

const point = (offered: number, kernel: number, ring3: number) => ({
  offered,
  sides: { kernel: sideAt(kernel), ring3: sideAt(ring3, { waits: one(1.25), wakeups: one(0.25) }) },
});
const RESULT: UdpBench = {
  bench: "udp",
  ...COMPARISON,
  size: 1024,
  idle: { kernel: one(0.01), ring3: one(0.02) },
  points: [point(1000, 1000, 999), point(8000, 7000, 7700), point(32_000, 3500, 7315)],
};

Deno.test("the figures are tables of both drivers, with their peaks and what went wrong", () => {
  assertEquals([peakOf(RESULT.points, "kernel").offered, peakOf(RESULT.points, "ring3").offered], [
    8000,
    8000,
  ]);
  const text = formatUdpBench(RESULT);
  assertStringIncludes(
    text,
    "Peak: kernel 7000/s at 8000/s offered, ring3 7700/s at 8000/s offered (110 % of kernel). " +
      "At 32000/s: kernel 50 % of its peak, ring3 95 % of its peak.",
  );
  assertStringIncludes(text, "| 7000 (6999–7001) | 7700 (7699–7701) |         1.10 |");
  assertStringIncludes(text, "IOMMU on): medians of 5 rounds");
  assertStringIncludes(text, "12.35");
  assertStringIncludes(text, "| kernel switches | ring3 switches | WAITs | slept |");
  assertStringIncludes(text, "|            2.00 |           2.00 |  1.25 |  0.25 |");
  assert(text.endsWith("\nring3's driver ended"));
  assertStringIncludes(plotUdpBench(RESULT), "thousand datagrams/s");
});
