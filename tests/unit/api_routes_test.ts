/** Every route, and every way in which a request is refused, over HTTP. */
import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { problemSchema } from "../../src/api/problem.ts";
import { deviceSchema, driversSchema, grantSchema } from "../../src/api/schema.ts";
import { FleetError } from "../../src/supervisor/contract.ts";
import { driverSchema, eventSchema, reportSchema, reportSummarySchema } from "../../src/supervisor/schema.ts";
import { fakeDriver, FakeFleet, fakeReport } from "../fakes/fleet.ts";
import { eventually, harness, raw } from "./api_harness.ts";

/** A problem, checked, and that it is of the response's status. */
async function problem(response: Response, status: number) {
  assertEquals(response.headers.get("Content-Type"), "application/problem+json");
  const body = problemSchema.parse(await response.json());
  assertEquals([response.status, body.status, body.type], [status, status, "about:blank"]);
  return body;
}

Deno.test("api: drivers, one and all", async () => {
  const fleet = new FakeFleet(fakeDriver({ name: "nvme0" }), fakeDriver());
  await using api = await harness(fleet);
  const { drivers } = driversSchema.parse(await (await api.ask("/api/v1/drivers", { as: "nobody" })).json());
  assertEquals(drivers, fleet.drivers());
  assertEquals(
    driverSchema.parse(await (await api.ask("/api/v1/drivers/nvme0")).json()),
    fleet.driver("nvme0"),
  );
  const missing = await problem(await api.ask("/api/v1/drivers/nothing"), 404);
  assertEquals([missing.instance, missing.detail], ["/api/v1/drivers/nothing", "There is no driver nothing"]);
});

Deno.test("api: grants in words, and devices", async () => {
  await using api = await harness();
  const expected = {
    driver: "e1000",
    address: "0000:01:00.0",
    confined: true,
    lines: api.fleet.driver("e1000").grant,
  };
  assertEquals(
    grantSchema.parse(await (await api.ask("/api/v1/drivers/e1000/grant")).json()),
    expected,
  );
  assertEquals(await (await api.ask("/api/v1/grants")).json(), { grants: [expected] });
  const { devices } = await (await api.ask("/api/v1/devices")).json();
  assertEquals(devices, (await api.fleet.devices()).map((device) => deviceSchema.parse(device)));
  await problem(await api.ask("/api/v1/drivers/nothing/grant"), 404);
});

Deno.test("api: events, filtered and limited", async () => {
  await using api = await harness(new FakeFleet(fakeDriver(), fakeDriver({ name: "nvme0" })));
  for (let i = 1; i <= 6; i++) api.fleet.emit(i % 2 ? "e1000" : "nvme0", { type: "log", text: `${i}` });
  const ids = async (query: string) => {
    const { events } = await (await api.ask(`/api/v1/events${query}`)).json();
    return eventSchema.array().parse(events).map(({ id }) => id);
  };
  assertEquals(await ids(""), [1, 2, 3, 4, 5, 6]);
  assertEquals(await ids("?after=4"), [5, 6]);
  assertEquals(await ids("?driver=e1000"), [1, 3, 5]);
  assertEquals(await ids("?driver=e1000&after=1&limit=1"), [5]);
  for (const wrong of ["after=-1", "after=x", "after=", "limit=0", "limit=1001", "limit=1e2", "nope=1"]) {
    const { errors } = await problem(await api.ask(`/api/v1/events?${wrong}`), 400);
    assertEquals(errors?.length, 1, wrong);
    assertEquals(errors?.[0].in, "query", wrong);
  }
  const { errors } = await problem(await api.ask("/api/v1/events?after=x&limit=0"), 400);
  assertEquals(errors?.map(({ pointer }) => pointer).sort(), ["/after", "/limit"]);
  await problem(await api.ask("/api/v1/events?driver=nothing"), 404);
});

Deno.test("api: reports, and none by a path", async () => {
  await using api = await harness();
  api.fleet.keep(fakeReport({ id: "first" }), fakeReport({ id: "second" }));
  const { reports } = await (await api.ask("/api/v1/reports?driver=e1000")).json();
  assertEquals(reportSummarySchema.array().parse(reports).map(({ id }) => id), ["second", "first"]);
  assertEquals(
    reportSchema.parse(await (await api.ask("/api/v1/reports/first")).json()),
    fakeReport({ id: "first" }),
  );
  let looked = "";
  const original = api.fleet.report.bind(api.fleet);
  api.fleet.report = (id) => {
    looked = id;
    return original(id);
  };
  for (const id of ["..%2F..%2Fetc%2Fpasswd", "a%2Fb", "%00", ".hidden", "a..b", "-x", "a%0Ab"]) {
    const { status } = await api.ask(`/api/v1/reports/${id}`);
    assertEquals([status, looked], [404, ""], id);
  }
  await problem(await api.ask("/api/v1/reports/third"), 404);
  await problem(await api.ask("/api/v1/reports?driver=nothing"), 404);
});

Deno.test("api: actions reach the fleet, and answer with the driver", async () => {
  await using api = await harness();
  const post = (path: string, body?: unknown) =>
    api.ask(`/api/v1/drivers/${path}`, {
      method: "POST",
      ...(body === undefined
        ? {}
        : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } }),
    });
  for (const [action, state] of [["stop", "stopped"], ["start", "running"], ["restart", "running"]]) {
    const response = await post(`e1000/${action}`);
    assertEquals([response.status, driverSchema.parse(await response.json()).state], [200, state]);
  }
  const upgraded = await post("e1000/upgrade", { path: "/tmp/other" });
  assertEquals([upgraded.status, await upgraded.json()], [200, {
    from: "a1b2c3d4e5f60718",
    to: "0011223344556677",
  }]);
  await (await post("e1000/upgrade")).body?.cancel();
  for (const more of [{ path: "/tmp/other", source: "/home/me/other", for: 5000 }, {}]) {
    const injected = await post("e1000/faults", { label: "stuck STATUS", ...more });
    assertEquals([injected.status, await injected.json()], [200, {
      from: "a1b2c3d4e5f60718",
      to: "0011223344556677",
    }]);
  }
  const { fault } = driverSchema.parse(await (await api.ask("/api/v1/drivers/e1000")).json());
  assertEquals(fault, { label: "stuck STATUS", version: "0011223344556677" });
  const withdrawn = await post("e1000/withdraw");
  assertEquals([withdrawn.status, driverSchema.parse(await withdrawn.json()).fault], [202, null]);
  const killed = await post("e1000/kill", { how: "stall" });
  assertEquals([killed.status, (await killed.json()).name], [202, "e1000"]);
  await (await post("e1000/kill")).body?.cancel();
  assertEquals(api.fleet.asked, [
    "stop e1000",
    "start e1000",
    "restart e1000",
    "upgrade to /tmp/other of e1000",
    "upgrade e1000",
    "inject (stuck STATUS) from /tmp/other for 5000 ms into e1000",
    "inject (stuck STATUS) from its own into e1000",
    "withdraw the fault of e1000",
    "kill (stall) e1000",
    "kill (kill) e1000",
  ]);
  await problem(await post("nothing/restart"), 404);
});

Deno.test("api: what a fleet refuses has its status", async () => {
  await using api = await harness();
  for (
    const [kind, status] of [
      ["conflict", 409],
      ["invalid", 400],
      ["forbidden", 403],
      ["failed", 502],
      ["not-found", 404],
    ] as const
  ) {
    api.fleet.refusal = new FleetError(kind, `refused: ${kind}`);
    const { detail } = await problem(await api.ask("/api/v1/drivers/e1000/stop", { method: "POST" }), status);
    assertEquals(detail, `refused: ${kind}`);
  }
});

Deno.test("api: a defect is a 500 that tells the client nothing, and the log everything", async () => {
  await using api = await harness();
  api.fleet.refusal = new Error("the secret is 42");
  const logged: unknown[] = [];
  const original = console.error;
  console.error = (...args: unknown[]) => logged.push(...args);
  try {
    const response = await api.ask("/api/v1/drivers/e1000/stop", { method: "POST" });
    const text = JSON.stringify(await problem(response, 500));
    assert(!text.includes("42") && !text.includes(".ts"), text);
    assert(logged.includes(api.fleet.refusal));
  } finally {
    console.error = original;
  }
});

Deno.test("api: wrong bodies are told all that is wrong", async () => {
  await using api = await harness();
  const send = (body: BodyInit, type: string, path = "kill") =>
    api.ask(`/api/v1/drivers/e1000/${path}`, { method: "POST", body, headers: { "Content-Type": type } });
  const json = "application/json";
  const { errors } = await problem(await send('{"how":"gently","extra":1}', json), 400);
  assertEquals(errors?.map(({ pointer }) => pointer).sort(), ["", "/how"]);
  await problem(await send('{"path":7}', json, "upgrade"), 400);
  for (
    const [pointer, body] of [
      ["/label", {}],
      ["/label", { label: "" }],
      ["/label", { label: 7 }],
      ["/label", { label: "x".repeat(201) }],
      ["/label", { label: "\x1b[2J" }],
      ["/label", { label: "a\nb" }],
      ["/label", { label: "gnp\u202e.exe" }],
      ["/path", { label: "x", path: "" }],
      ["/for", { label: "x", for: 0 }],
      ["/for", { label: "x", for: 0.5 }],
      ["/for", { label: "x", for: 86_400_001 }],
      ["", { label: "x", manifest: "/etc/passwd" }],
    ] as const
  ) {
    const { errors } = await problem(await send(JSON.stringify(body), json, "faults"), 400);
    assertEquals(errors?.map(({ pointer }) => pointer), [pointer], JSON.stringify(body));
  }
  await problem(await send('{"now":true}', json, "restart"), 400);
  await problem(await send("{", json), 400);
  await problem(await send("[]", json), 400);
  await problem(await send("how=kill", "application/x-www-form-urlencoded"), 415);
  await problem(await send("{}", "text/plain"), 415);
  await problem(await send(`{"how":"${"x".repeat(65 * 1024)}"}`, json), 413);
  const chunks = new ReadableStream<Uint8Array>({
    start(controller) {
      for (let i = 0; i < 80; i++) controller.enqueue(new Uint8Array(1024).fill(32));
      controller.close();
    },
  });
  await problem(await send(chunks, json), 413);
  assertEquals(api.fleet.asked, []);
  assertEquals((await send(`{}${" ".repeat(64 * 1024 - 2)}`, json)).status, 202);
});

Deno.test("api: unknown paths are 404, known ones with another method 405", async () => {
  await using api = await harness();
  for (const path of ["/nothing", "/api/v1/", "/api/v2/drivers", "/api/v1/drivers/", "/assets/nothing.js"]) {
    assertEquals((await problem(await api.ask(path), 404)).instance, path);
  }
  await problem(await api.ask("/assets/..%2Fmod.ts"), 404);
  for (
    const [method, path, allow] of [
      ["POST", "/api/v1/drivers", "GET, HEAD"],
      ["OPTIONS", "/api/v1/drivers/e1000/stop", "POST"],
      ["GET", "/api/v1/drivers/e1000/stop", "POST"],
      ["DELETE", "/", "GET, HEAD"],
      ["PUT", "/metrics", "GET, HEAD"],
      ["HEAD", "/enter?code=x", "GET"],
    ]
  ) {
    const response = await api.ask(path, { method });
    assertEquals([response.status, response.headers.get("Allow")], [405, allow], `${method} ${path}`);
    await response.body?.cancel();
  }
});

Deno.test("api: health, and readiness with the names of those that do not run", async () => {
  await using api = await harness(new FakeFleet(fakeDriver(), fakeDriver({ name: "ide", state: "stopped" })));
  assertEquals((await (await api.ask("/healthz", { as: "nobody" })).json()).status, "ok");
  const ready = await api.ask("/readyz", { as: "nobody" });
  assertEquals([ready.status, await ready.json()], [200, { status: "ready" }]);
  for (const state of ["starting", "restarting", "waiting", "failed"] as const) {
    api.fleet.change("e1000", { state });
    const { drivers, detail } = await problem(await api.ask("/readyz"), 503);
    assertEquals(drivers, [{ name: "e1000", state }]);
    assertStringIncludes(detail, `e1000 is ${state}`);
  }
  assertEquals((await api.ask("/healthz")).status, 200);
});

Deno.test("api: every answer has the headers that wall it off", async () => {
  await using api = await harness();
  const answers = [
    await api.ask("/"),
    await api.ask("/api/v1/drivers"),
    await api.ask("/nothing"),
    await api.ask("/metrics"),
    await api.ask("/assets/style.css"),
    await api.ask("/enter?code=wrong"),
    await api.ask("/api/v1/drivers/e1000/stop", { method: "POST", as: "nobody" }),
    await api.ask("/api/v1/events/stream", { method: "HEAD" }),
    await api.ask("/", { method: "DELETE" }),
  ];
  for (const { headers, url, body } of answers) {
    await body?.cancel();
    assertEquals(
      headers.get("Content-Security-Policy"),
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
      url,
    );
    assertEquals(headers.get("X-Content-Type-Options"), "nosniff");
    assertEquals(headers.get("Referrer-Policy"), "no-referrer");
    assertEquals(headers.get("Cache-Control"), url.includes("/assets/") ? "no-cache" : "no-store");
    assertEquals([...headers.keys()].filter((name) => name.startsWith("access-control-")), []);
  }
  const misdirected = await raw(
    api.host,
    "GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
  );
  assertMatch(misdirected, /^content-security-policy: default-src 'none'/im);
});

Deno.test("api: assets are sent once, and asked after by their ETag", async () => {
  await using api = await harness();
  for (
    const [name, type] of [
      ["style.css", "text/css"],
      ["dashboard.js", "text/javascript"],
      ["charts.js", "text/javascript"],
      ["words.js", "text/javascript"],
      ["icon.svg", "image/svg+xml"],
    ]
  ) {
    const first = await api.ask(`/assets/${name}`);
    assertEquals(
      await first.text(),
      await Deno.readTextFile(new URL(`../../src/api/assets/${name}`, import.meta.url)),
    );
    assertStringIncludes(first.headers.get("Content-Type")!, type);
    const etag = first.headers.get("ETag")!;
    assertMatch(etag, /^"[0-9a-f]{32}"$/);
    const again = await api.ask(`/assets/${name}`, { headers: { "If-None-Match": etag } });
    assertEquals([again.status, await again.text()], [304, ""]);
    const changed = await api.ask(`/assets/${name}`, { headers: { "If-None-Match": '"other"' } });
    assertEquals(changed.status, 200);
    await changed.body?.cancel();
  }
});

Deno.test("api: a request that is not answered keeps no server from ending, and is answered yet", async () => {
  const api = await harness();
  const { promise, resolve } = Promise.withResolvers<void>();
  api.fleet.pending = promise;
  const asking = api.ask("/api/v1/drivers/e1000/restart", { method: "POST" });
  await eventually("it has come", () => api.fleet.asked.length > 0);
  await api[Symbol.asyncDispose]();
  await assertRejects(() => api.ask("/api/v1/drivers"), TypeError);
  resolve();
  const response = await asking;
  assertEquals([response.status, (await response.json()).name], [200, "e1000"]);
});
