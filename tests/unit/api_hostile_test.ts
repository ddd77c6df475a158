/** Whatever a driver says, in every field that it can reach, is text: in JSON, in the stream, in pages, in the script. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { eventOf, visible } from "../../src/api/assets/words.js";
import type { Reason } from "../../src/supervisor/schema.ts";
import { fakeDriver, FakeFleet, fakeReport } from "../fakes/fleet.ts";
import { EventReader, type Harness, harness } from "./api_harness.ts";

const ROOT = new URL("../../", import.meta.url);

const HOSTILE = [
  `<script>alert(1)</script>`,
  `"><img src=x onerror=alert(1)>`,
  `' onmouseover='alert(1)`,
  `</pre></template></title><svg onload=alert(1)>`,
  `&lt;script&gt;`,
  `line\ndata: {"fake":1}\n\nevent: fake\r\n\r\nid: 9`,
  `\0\x07\x1b[31m\x7f\x9b`,
  `\u202egnp.exe\u2066\u200f\u200b\u2028\u2029\ufeff`,
  "javascript:alert(1)",
  `{{7*7}} \${7*7} %00 \ud800`,
];

/** A fleet in which a driver has said `text` wherever it can. */
function hostileFleet(text: string): FakeFleet {
  const reason: Reason = { kind: "exception", text, stack: `${text}\n    at ${text}`, fault: text };
  const fleet = new FakeFleet(fakeDriver({
    name: text,
    description: text,
    file: text,
    address: text,
    version: { id: text, path: text, since: "2026-01-02T03:04:05.000Z" },
    fault: { label: text, version: text },
    reason,
    interface: text,
    addresses: [text],
    grant: [text],
    warnings: [text],
  }));
  fleet.emit(text, { type: "log", text });
  fleet.emit(text, { type: "starting", pid: 1, spare: true, version: text });
  fleet.emit(text, { type: "ended", pid: 1, reason, next: "restart", delay: 0, report: text });
  fleet.emit(text, { type: "interface", interface: text });
  fleet.emit(text, { type: "address", addresses: [text] });
  fleet.emit(text, { type: "upgrade", state: "reverted", from: text, to: text, text });
  fleet.emit(text, { type: "fault", state: "refused", label: text, version: text, text });
  fleet.emit(text, { type: "manifest", text });
  fleet.keep(fakeReport({
    id: "one",
    driver: text,
    address: text,
    version: text,
    reason,
    exit: { code: 1, signal: text },
    stderr: [text],
    events: fleet.events(),
    counters: { [text]: 1 },
  }));
  return fleet;
}

/** Elements and attributes of a page, without their values, sorted: what hostile text must not add to. */
function structure(page: string): string[] {
  return [...page.matchAll(/<(\/?[a-zA-Z][\w-]*)((?:\s+[^\s=>"']+(?:="[^"]*")?)*)\s*\/?>/g)].map(
    ([, tag, attributes]) => `${tag}${attributes.replace(/="[^"]*"/g, "")}`,
  );
}

async function page(api: Harness, path: string): Promise<string> {
  const response = await api.ask(path);
  assertEquals(
    [response.status, response.headers.get("Content-Type")],
    [200, "text/html; charset=UTF-8"],
    path,
  );
  return await response.text();
}

Deno.test("hostile: pages have the structure that harmless ones have", async () => {
  const PATHS = ["/", "/reports", "/reports/one"];
  await using harmless = await harness(hostileFleet("harmless"));
  const expected = await Promise.all(PATHS.map(async (path) => structure(await page(harmless, path))));
  assert(expected.every((tags) => tags.length > 30));
  for (const text of HOSTILE) {
    await using api = await harness(hostileFleet(text));
    for (const [index, path] of PATHS.entries()) {
      const got = await page(api, path);
      assertEquals(structure(got), expected[index], `${path} with ${JSON.stringify(text)}`);
      // Attributes hold a driver's name as it is, for the script to find it by; nobody sees them.
      const seen = got.replace(/="[^"]*"/g, "").replaceAll("\n", "");
      const hidden = /[\p{Cc}\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/u.exec(seen)?.[0];
      assertEquals(hidden, undefined, `${path} shows it as it is: ${JSON.stringify(text)}`);
    }
    if (text === text.toWellFormed()) await page(api, `/?driver=${encodeURIComponent(text)}`);
  }
});

Deno.test("hostile: JSON gives it back as it was, and is never taken for a page", async () => {
  for (const text of HOSTILE) {
    await using api = await harness(hostileFleet(text));
    const [{ drivers }, { events }, report] = await Promise.all(
      ["drivers", "events", "reports/one"].map(async (path) => {
        const response = await api.ask(`/api/v1/${path}`);
        assertEquals(response.headers.get("Content-Type"), "application/json");
        return await response.json();
      }),
    );
    assertEquals([drivers[0].name, drivers[0].reason.stack.split("\n")[0]], [text, text.split("\n")[0]]);
    assertEquals(events[0].text, text);
    assertEquals(report.reason.text, text);
    const missing = await api.ask(`/api/v1/drivers/${encodeURIComponent(`${text.toWellFormed()}?`)}`);
    assertEquals(missing.headers.get("Content-Type"), "application/problem+json");
    assertEquals((await missing.json()).status, 404);
  }
});

Deno.test("hostile: one event is one event of the stream", async () => {
  for (const text of HOSTILE) {
    const fleet = hostileFleet(text);
    await using api = await harness(fleet);
    await using reader = new EventReader(await api.ask("/api/v1/events/stream?after=0"));
    await reader.next();
    for (const event of fleet.events()) {
      const got = await reader.next();
      assertEquals(Object.keys(got!).sort(), ["data", "event", "id"]);
      assertEquals([got!.event, got!.id, JSON.parse(got!.data!)], [event.type, `${event.id}`, event]);
    }
    assertEquals((await reader.next())?.event, "drivers");
  }
});

Deno.test("hostile: what hides is shown", () => {
  assertEquals(visible("a\u202eb\0c\nd\x1b"), "a⟨U+202E⟩b␀c␊d␛");
  assertEquals(visible("a\nb\tc\r\u2028", { lines: true }), "a\nb\tc␍⟨U+2028⟩");
  assertEquals(visible("Grüße, 世界, مرحبا"), "Grüße, 世界, مرحبا");
  const { text } = eventOf({
    id: 1,
    time: "2026-01-02T03:04:05.000Z",
    driver: "x",
    type: "log",
    text: "\u2067x",
  });
  assertEquals(text, "⟨U+2067⟩x");
});

Deno.test("events in words: how long, and what was not seen", () => {
  const base = { id: 1, time: "2026-01-02T03:04:05.000Z", driver: "x" };
  const recovered = { ...base, type: "recovered" as const, ms: 44, handed: 9 };
  assertEquals(eventOf({ ...recovered, frame: true }).text, "first frame 44 ms after the death");
  assertEquals(
    eventOf({ ...recovered, frame: false }).text,
    "attached, and no frame yet, 44 ms after the death",
  );
  const reason = { kind: "stall" as const, text: "no progress" };
  const ended = { ...base, type: "ended" as const, pid: 1, reason, next: "restart" as const, report: "r" };
  assertEquals(
    eventOf({ ...ended, delay: 2000, waited: 1043 }).text,
    "stall: no progress; work had waited 1.04 s; next try in 2.00 s",
  );
});

Deno.test("hostile: scripts and pages make no markup of text", async () => {
  const forbidden =
    /\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write|setHTML\w*|parseFromString|createContextualFragment|dangerouslySetInnerHTML|eval|Function\()|\braw\(/;
  let files = 0;
  for (const folder of ["src/api", "src/api/assets", "src/api/pages"]) {
    for await (const { name } of Deno.readDir(new URL(folder, ROOT))) {
      if (!/\.(js|tsx?)$/.test(name)) continue;
      files++;
      const source = await Deno.readTextFile(new URL(`${folder}/${name}`, ROOT));
      const found = forbidden.exec(source)?.[0];
      assertEquals(found, undefined, `${folder}/${name}`);
    }
  }
  assert(files > 15);
  // The test itself would find it.
  assertStringIncludes(forbidden.exec("x.innerHTML = y")![0], "innerHTML");
});

Deno.test("hostile: pages have no script and no style of their own", async () => {
  await using api = await harness(hostileFleet("harmless"));
  for (const path of ["/", "/reports", "/reports/one"]) {
    const got = await page(api, path);
    assertEquals([...got.matchAll(/<script(?! type="module" src="\/assets\/dashboard\.js">)/g)], []);
    assertEquals([...got.matchAll(/<style|\sstyle=|\son\w+=/g)], []);
    assertEquals([...got.matchAll(/\s(?:src|href|action)="(?!\/|#)[^"]*"/g)], [], "nothing from elsewhere");
  }
});
