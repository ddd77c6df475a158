/** Metrics: a strict reader of the exposition format, the names, and the recovery histogram. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { STATES } from "../../src/supervisor/schema.ts";
import { fakeDriver, FakeFleet } from "../fakes/fleet.ts";
import { type Harness, harness } from "./api_harness.ts";

/** Reads labels as the format defines them: no escapes but three. */
function labelsOf(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  let rest = text;
  while (rest !== "") {
    const found = /^([a-zA-Z_]\w*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)/.exec(rest);
    if (!found) throw new Error(`No labels: ${rest}`);
    labels[found[1]] = found[2].replace(/\\(.)/g, (_, escape) => escape === "n" ? "\n" : escape);
    rest = rest.slice(found[0].length);
  }
  return labels;
}

/** All samples by the metric's name; the format is checked on the way. */
async function scrape(api: Harness) {
  const response = await api.ask("/metrics", { as: "nobody" });
  assertEquals(response.headers.get("Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
  const text = await response.text();
  assert(text.endsWith("\n"));
  const types = new Map<string, string>();
  const samples: { name: string; labels: Record<string, string>; value: number }[] = [];
  let current = "";
  for (const line of text.slice(0, -1).split("\n")) {
    const comment = /^# (HELP|TYPE) (\w+) (.+)$/.exec(line);
    if (comment) {
      if (comment[1] === "HELP") {
        current = comment[2];
        assert(!types.has(current), `${current} is one group`);
      } else {
        assertEquals(comment[2], current);
        types.set(current, comment[3]);
      }
      continue;
    }
    const sample = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (-?[\d.e+-]+|NaN|[+-]Inf)$/s.exec(line);
    if (!sample) throw new Error(`No sample: ${line}`);
    const suffix = sample[1].slice(current.length);
    assert(sample[1].startsWith(current), `${sample[1]} stands under ${current}`);
    assert(types.get(current) === "histogram" ? /^_(bucket|sum|count)$/.test(suffix) : suffix === "", line);
    if (types.get(current) === "counter") assertMatch(sample[1], /_total$/);
    samples.push({ name: sample[1], labels: labelsOf(sample[2] ?? ""), value: Number(sample[3]) });
  }
  return {
    types,
    samples,
    of: (name: string, labels: Record<string, string> = { driver: "e1000" }) =>
      samples.find((each) =>
        each.name === name && Object.entries(labels).every(([key, value]) => each.labels[key] === value)
      )?.value,
  };
}

Deno.test("metrics: every value of a driver", async () => {
  const fleet = new FakeFleet(
    fakeDriver({ restarts: { total: 9, used: 2, budget: 5, window: 1, next: null } }),
  );
  await using api = await harness(fleet);
  const { of, samples } = await scrape(api);
  const { totals, memory, spare } = fleet.driver("e1000");
  for (
    const [name, value] of Object.entries({
      ring3_driver_uptime_seconds: 11_530,
      ring3_driver_restarts_total: 9,
      ring3_driver_restart_budget_left: 3,
      ring3_driver_received_packets_total: totals.rxPackets,
      ring3_driver_received_bytes_total: totals.rxBytes,
      ring3_driver_received_dropped_total: totals.rxDropped,
      ring3_driver_transmitted_packets_total: totals.txPackets,
      ring3_driver_transmitted_bytes_total: totals.txBytes,
      ring3_driver_transmitted_dropped_total: totals.txDropped,
      ring3_driver_interrupts_total: totals.interrupts,
      ring3_driver_waits_total: totals.waits,
      ring3_driver_wakeups_total: totals.wakeups,
      ring3_driver_memory_bytes: memory,
      ring3_driver_spare_memory_bytes: spare.memory,
      ring3_driver_spare_ready: 1,
      ring3_driver_link_up: 1,
      ring3_driver_confined: 1,
    })
  ) assertEquals(of(name), value ?? undefined, name);
  assertEquals(of("ring3_build_info", {}), 1);
  assertEquals(of("ring3_event_stream_clients", {}), 0);
  for (const state of STATES) {
    assertEquals(of("ring3_driver_state", { driver: "e1000", state }), state === "running" ? 1 : 0);
  }
  assertEquals(samples.filter(({ name }) => name === "ring3_driver_state").length, STATES.length);
});

Deno.test("metrics: a disk has its own, and a driver without one none of them", async () => {
  const totals = { reads: 11, readBytes: 22, writes: 33, writtenBytes: 44, discards: 55, flushes: 66 };
  const rate = { requests: 1, bytes: 512 };
  const disk = {
    name: "r3b0",
    size: 512,
    read: rate,
    write: rate,
    depth: 7.5,
    latency: { mean: 0.1, p50: 0.1, p99: 0.3 },
    requestsPerWakeup: 2,
    portCallsPerRequest: 0,
    totals,
  };
  await using api = await harness(new FakeFleet(fakeDriver({ name: "nvme", disk }), fakeDriver()));
  const { of } = await scrape(api);
  const names = ["reads", "read_bytes", "writes", "written_bytes", "discards", "flushes"];
  for (const [i, name] of names.entries()) {
    assertEquals(of(`ring3_driver_disk_${name}_total`, { driver: "nvme" }), (i + 1) * 11);
    assertEquals(of(`ring3_driver_disk_${name}_total`), undefined);
  }
  assertEquals(of("ring3_driver_disk_depth", { driver: "nvme" }), 7.5);
});

Deno.test("metrics: what is not known is absent", async () => {
  await using api = await harness(
    new FakeFleet(fakeDriver({
      memory: null,
      confined: null,
      spare: { state: "none", pid: null, memory: null },
      restarts: { total: 0, used: 0, budget: null, window: 0, next: null },
    })),
  );
  const { of, types } = await scrape(api);
  for (const name of ["memory_bytes", "spare_memory_bytes", "confined", "restart_budget_left"]) {
    assertEquals([of(`ring3_driver_${name}`), types.get(`ring3_driver_${name}`)], [undefined, "gauge"]);
  }
});

Deno.test("metrics: recoveries are counted as they happen, beyond those that are kept", async () => {
  await using api = await harness();
  api.fleet.change("e1000", { recoveries: [1, 2, 3] });
  assertEquals((await scrape(api)).of("ring3_driver_recovery_seconds_count"), 0);
  for (let i = 0; i < 1200; i++) {
    api.fleet.emit("e1000", { type: "recovered", handed: 9, frame: true, ms: i % 2 ? 50 : 51 });
  }
  api.fleet.emit("e1000", { type: "recovered", handed: 9, frame: true, ms: 20_000 });
  const { of, types, samples } = await scrape(api);
  assertEquals(types.get("ring3_driver_recovery_seconds"), "histogram");
  const bucket = (le: string) => of("ring3_driver_recovery_seconds_bucket", { driver: "e1000", le });
  assertEquals([bucket("0.025"), bucket("0.05"), bucket("0.1"), bucket("10"), bucket("+Inf")], [
    0,
    600,
    1200,
    1200,
    1201,
  ]);
  assertEquals(of("ring3_driver_recovery_seconds_count"), 1201);
  assert(Math.abs(of("ring3_driver_recovery_seconds_sum")! - 80.6) < 1e-6);
  const counts = samples.filter(({ name }) => name.endsWith("_bucket")).map(({ value }) => value);
  assertEquals(counts, counts.toSorted((a, b) => a - b), "buckets are cumulative");
});

Deno.test("metrics: names are what the page says", async () => {
  await using api = await harness();
  const page = await Deno.readTextFile(new URL("../../docs/api.md", import.meta.url));
  const listed = [...page.matchAll(/^\| `(ring3_\w+)/gm)].map(([, name]) => name);
  assertEquals(listed.toSorted(), [...(await scrape(api)).types.keys()].toSorted());
});

Deno.test("metrics: hostile names stay within their label", async () => {
  const names = ['"} 1\nfake_metric 1', "back\\slash", "\\", '\\"', "<script>", "\u202e\0\r\u2028"];
  await using api = await harness(new FakeFleet(...names.map((name) => fakeDriver({ name }))));
  const { samples, types } = await scrape(api);
  const seen = samples.filter(({ name }) => name === "ring3_driver_link_up").map(({ labels }) =>
    labels.driver
  );
  assertEquals(seen.toSorted(), names.toSorted());
  assert(!types.has("fake_metric"));
  assertStringIncludes(await (await api.ask("/metrics")).text(), '\\"} 1\\nfake_metric 1');
});
