/** The event stream: what is sent when, what a client missed, and that a client that does not read delays nobody. */
import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import { EventStreams, MAX_CLIENTS, QUEUE, STUCK_AFTER } from "../../src/api/stream.ts";
import { fakeDriver, FakeFleet } from "../fakes/fleet.ts";
import { EventReader, eventually, FakeTiming, type Harness, harness } from "./api_harness.ts";

async function listen(
  api: Harness,
  { query = "", last }: { query?: string; last?: string } = {},
): Promise<EventReader> {
  const response = await api.ask(`/api/v1/events/stream${query}`, {
    as: "nobody",
    headers: last === undefined ? {} : { "Last-Event-ID": last },
  });
  assertEquals([response.status, response.headers.get("Content-Type")], [200, "text/event-stream"]);
  return new EventReader(response);
}

const clients = async (api: Harness) =>
  Number(/^ring3_event_stream_clients (\d+)$/m.exec(await (await api.ask("/metrics")).text())?.[1]);

Deno.test("stream: drivers at once and each second, events as they happen, computed once for all", async () => {
  await using api = await harness();
  {
    await using one = await listen(api);
    await using two = await listen(api);
    for (const reader of [one, two]) {
      assertEquals((await reader.next())?.retry, "1000");
      assertEquals(JSON.parse((await reader.find("drivers")).data!).drivers, api.fleet.drivers());
    }
    const looks = api.fleet.looks;
    api.fleet.change("e1000", { state: "restarting" });
    api.timing.advance(1000);
    assertEquals(api.fleet.looks, looks + 1);
    for (const reader of [one, two]) {
      assertEquals(JSON.parse((await reader.find("drivers")).data!).drivers[0].state, "restarting");
    }
    const event = api.fleet.emit("e1000", { type: "ready", ms: 41 });
    for (const reader of [one, two]) {
      assertEquals(await reader.next(), { event: "ready", id: `${event.id}`, data: JSON.stringify(event) });
    }
    api.timing.advance(14_000);
    for (const reader of [one, two]) {
      for (let seen = await reader.next(); !seen?.comment; seen = await reader.next()) assert(seen);
    }
    assertEquals(await clients(api), 2);
  }
  await eventually("both have gone", async () => await clients(api) === 0);
  assertEquals([api.timing.timers, api.fleet.listeners], [0, 1], "only the metrics listen still");
});

Deno.test("stream: what was missed comes first, by Last-Event-ID or by the query", async () => {
  await using api = await harness();
  for (let i = 1; i <= 5; i++) api.fleet.emit("e1000", { type: "log", text: `${i}` });
  for (const how of [{ last: "3" }, { query: "?after=3" }, { query: "?after=1", last: "3" }]) {
    await using reader = await listen(api, how);
    assertEquals((await reader.find("log")).id, "4");
    assertEquals((await reader.next())?.id, "5");
    assertEquals((await reader.next())?.event, "drivers");
  }
  await using reader = await listen(api, { last: "not a number" });
  await reader.find("drivers");
  api.fleet.emit("e1000", { type: "log", text: "6" });
  assertEquals((await reader.next())?.id, "6");
});

Deno.test("stream: a gap is told, of events no longer kept and of numbers that began anew", async () => {
  await using api = await harness();
  for (let i = 1; i <= 1010; i++) api.fleet.emit("e1000", { type: "log", text: `${i}` });
  {
    await using reader = await listen(api, { last: "9" });
    assertEquals(JSON.parse((await reader.find("gap")).data!), { after: 9, first: 11 });
    assertEquals((await reader.next())?.id, "11");
  }
  {
    await using reader = await listen(api, { last: "10" });
    await reader.next();
    assertEquals((await reader.next())?.id, "11", "nothing is missing");
  }
  api.fleet.forget();
  api.fleet.emit("e1000", { type: "log", text: "again" });
  await using reader = await listen(api, { last: "1010" });
  await reader.find("gap");
  assertEquals((await reader.next())?.id, "1");
});

Deno.test("stream: a client that never reads delays nobody, and is dropped", async () => {
  await using api = await harness();
  const [hostname, port] = api.host.split(":");
  using deaf = await Deno.connect({ hostname, port: Number(port) });
  await deaf.write(
    new TextEncoder().encode(`GET /api/v1/events/stream HTTP/1.1\r\nHost: ${api.host}\r\n\r\n`),
  );
  await using reader = await listen(api);
  await eventually("both listen", async () => await clients(api) === 2);
  const text = "x".repeat(64 * 1024);
  let slowest = 0;
  let sent = 0;
  while (await clients(api) === 2) {
    const start = performance.now();
    api.fleet.emit("e1000", { type: "log", text });
    slowest = Math.max(slowest, performance.now() - start);
    assertEquals((await reader.find("log")).id, `${++sent}`);
    assertLess(sent, 5000, "it is still not dropped");
  }
  assertGreater(sent, QUEUE);
  assertLess(slowest, 100);
  // The one that reads goes on.
  api.fleet.emit("e1000", { type: "ready", ms: 1 });
  await reader.find("ready");
  const metrics = await (await api.ask("/metrics")).text();
  assert(metrics.includes("\nring3_event_stream_lost_total 1\n"));
});

Deno.test("stream: one that reads too late is told that it was lost", async () => {
  const fleet = new FakeFleet(fakeDriver());
  using streams = new EventStreams(fleet, new FakeTiming());
  const stream = streams.open();
  for (let i = 0; i <= QUEUE; i++) fleet.emit("e1000", { type: "log", text: `${i}` });
  assertEquals([streams.clients, streams.lost, fleet.listeners], [0, 1, 0]);
  const reader = new EventReader(new Response(stream));
  assertEquals((await reader.next())?.event, "lost");
  assertEquals(await reader.next(), undefined);
});

Deno.test("stream: drivers that wait are replaced by newer ones; who reads nothing at all is dropped in time", async () => {
  const fleet = new FakeFleet(fakeDriver());
  const timing = new FakeTiming();
  using streams = new EventStreams(fleet, timing);
  const stream = streams.open();
  fleet.emit("e1000", { type: "ready", ms: 1 });
  timing.advance(10_000);
  const reader = new EventReader(new Response(stream));
  const seen = [await reader.next(), await reader.next(), await reader.next()];
  assertEquals(seen.map((each) => each?.event), [undefined, "ready", "drivers"]);
  timing.advance(1000);
  assertEquals((await reader.next())?.event, "drivers");
  streams.open();
  timing.advance(STUCK_AFTER + 2000);
  assertEquals([streams.clients, streams.lost], [0, 2]);
});

Deno.test("stream: at most so many clients, and room again when one has gone", async () => {
  await using api = await harness();
  const readers: EventReader[] = [];
  for (let i = 0; i < MAX_CLIENTS; i++) readers.push(await listen(api));
  const refused = await api.ask("/api/v1/events/stream");
  assertEquals([refused.status, refused.headers.get("Content-Type")], [503, "application/problem+json"]);
  await refused.body?.cancel();
  const head = await api.ask("/api/v1/events/stream", { method: "HEAD" });
  assertEquals(head.status, 200);
  await readers.pop()![Symbol.asyncDispose]();
  await eventually("one has gone", async () => await clients(api) === MAX_CLIENTS - 1);
  readers.push(await listen(api));
  for (const reader of readers) await reader[Symbol.asyncDispose]();
});

Deno.test("stream: ends with the server", async () => {
  const api = await harness();
  const reader = await listen(api);
  await reader.find("drivers");
  await api[Symbol.asyncDispose]();
  assertEquals(await reader.next(), undefined);
  assertEquals([api.fleet.listeners, api.timing.timers], [0, 0]);
});
