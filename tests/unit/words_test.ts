/** What the dashboard says of a driver, where that depends on what it drives. */
import { assertEquals } from "@std/assert";
import { cardOf, carriedBy, eventOf } from "../../src/api/assets/words.js";
import { fakeDriver } from "../fakes/fleet.ts";

const DISK = {
  name: "r3b0",
  size: 2 ** 30,
  read: { requests: 1500, bytes: 6_144_000 },
  write: { requests: 2.5, bytes: 0 },
  depth: 7.96,
  latency: { mean: 4.2, p50: 3.1, p99: 12.5 },
  requestsPerWakeup: 3.25,
  portCallsPerRequest: 0,
  totals: { reads: 1, readBytes: 512, writes: 0, writtenBytes: 0, discards: 0, flushes: 0 },
};

/** The texts that name or say what a driver carries. */
function port(driver: Parameters<typeof cardOf>[0]) {
  const { text } = cardOf(driver, Date.parse("2026-01-02T03:04:06.000Z"));
  return [
    [text.linkName, text.link],
    [text.interfaceName, text.interface],
    [text.packetsName, text.inName, text.packetsIn, text.outName, text.packetsOut],
    [text.bytesIn, text.bytesOut],
    [text.wakeupsName, text.perWakeup],
  ];
}

Deno.test("a card of a network driver is in its terms", () => {
  assertEquals(port(fakeDriver()), [
    ["Link", "1 Gb/s"],
    ["Interface", "r3n0"],
    ["Packets", "in", "1,204/s", "out", "832/s"],
    ["1.2 MB/s", "834.0 kB/s"],
    ["Packets per wake-up", "3.2"],
  ]);
});

Deno.test("a card says which fault was injected, and an event what came of it", () => {
  const now = Date.parse("2026-01-02T03:04:06.000Z");
  const { text, shown } = cardOf(
    fakeDriver({ fault: { label: "stuck STATUS", version: "b".repeat(12) } }),
    now,
  );
  assertEquals([text.fault, text.version, shown.fault], ["stuck STATUS", "b".repeat(12), true]);
  assertEquals(cardOf(fakeDriver(), now).shown.fault, false);
  const base = { id: 1, time: "2026-01-02T03:04:05.000Z", driver: "e1000", type: "fault" } as const;
  const fault = { ...base, label: "stuck STATUS", version: "b".repeat(12) };
  assertEquals(
    [eventOf({ ...fault, state: "injected", text: "" }), eventOf({ ...fault, state: "refused", text: "no" })]
      .map(({ word, text }) => `${word} ${text}`),
    [
      "fault injected: stuck STATUS, version bbbbbbbbbbbb",
      "fault refused: stuck STATUS, version bbbbbbbbbbbb: no",
    ],
  );
});

Deno.test("a card of a disk's driver is in its terms", () => {
  const driver = fakeDriver({ interface: null, addresses: [], disk: DISK });
  assertEquals(port(driver), [
    ["Load", "8.0 at a time, 4.2 ms each, 99\u00a0% in 13 ms"],
    ["Disk", "r3b0, 1.0 GiB"],
    ["Requests", "read", "1,500/s", "written", "2.5/s"],
    ["6.1 MB/s", "0 B/s"],
    ["Requests per wake-up", "3.3"],
  ]);
  assertEquals(carriedBy(driver).packets, [1500, 2.5]);
  const none = { ...DISK, name: null, size: 0, depth: 0, latency: { mean: 0, p50: 0, p99: 0 } };
  assertEquals(port(fakeDriver({ interface: null, disk: none })).slice(0, 2), [
    ["Load", "0 at a time"],
    ["Disk", "none yet"],
  ]);
  assertEquals(port(fakeDriver({ interface: null, addresses: [], port: "raw" })).slice(0, 2), [
    ["Link", "1 Gb/s"],
    ["Interface", "none: a program has the frames"],
  ]);
  const event = {
    id: 1,
    time: "2026-01-02T03:04:05.000Z",
    driver: "nvme",
    type: "disk",
    disk: "r3b0",
  } as const;
  assertEquals(eventOf(event), { word: "disk", tone: "off", text: "r3b0", report: null });
});
