/** The dashboard in Debian's Chromium, against a fake fleet. */
/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
import { assert, assertEquals, assertGreater, assertMatch, assertStringIncludes } from "@std/assert";
import { type Browser, type BrowserContextOptions, launch, type Page, PATIENCE } from "./chromium.ts";
import { type ApiServer, serveApi } from "../../src/api/mod.ts";
import { FleetError } from "../../src/supervisor/contract.ts";
import { fakeDriver, FakeFleet, fakeReport } from "../fakes/fleet.ts";

/** A page, and what is behind it. */
interface Visit {
  page: Page;
  fleet: FakeFleet;
  server: ApiServer;
}

/**
 * Opens the dashboard of a fleet, with a session unless said. Whatever the page complains of fails the test,
 * violations of its content security policy among it, except what `expects` matches.
 */
function visit(
  name: string,
  { fleet = () => new FakeFleet(fakeDriver()), session = true, context = {}, expects }: {
    fleet?: () => FakeFleet;
    session?: boolean;
    context?: BrowserContextOptions;
    expects?: RegExp;
  },
  test: (visit: Visit) => Promise<void>,
): void {
  Deno.test({
    name: `dashboard: ${name}`,
    // The browser's connection is shared with the other tests.
    sanitizeResources: false,
    sanitizeOps: false,
    async fn() {
      const state = await Deno.makeTempDir({ prefix: "ring3-dashboard-" });
      const behind = fleet();
      const server = await serveApi(behind, { port: 0, state });
      const opened = await (await browser()).newContext(context);
      try {
        const page = await opened.newPage();
        page.setDefaultTimeout(PATIENCE);
        const complaints: string[] = [];
        page.on("console", (message) => complaints.push(message.text()));
        page.on("pageerror", (error) => complaints.push(String(error)));
        page.on("request", (request) => {
          if (!request.url().startsWith(server.url)) complaints.push(`asked for ${request.url()}`);
        });
        await page.goto(session ? server.enterUrl() : server.url);
        await test({ page, fleet: behind, server });
        assertEquals(complaints.filter((complaint) => !expects?.test(complaint)), []);
      } finally {
        await opened.close();
        await server[Symbol.asyncDispose]();
        await Deno.remove(state, { recursive: true });
      }
    },
  });
}

let started: Promise<Browser> | undefined;

/** One browser for all tests. */
function browser(): Promise<Browser> {
  return started ??= launch();
}

Deno.test.afterAll(async () => {
  await (await started)?.close();
});

/** The card of a driver. */
const card = (page: Page, name = "e1000") => page.getByRole("article", { name, exact: true });

/** Waits until the stream has been heard. */
async function live(page: Page): Promise<void> {
  await page.getByText("live", { exact: true }).waitFor();
}

visit("shows a driver, and changes as it ends and another comes", {}, async ({ page, fleet }) => {
  await live(page);
  const state = card(page).locator("[data-field=state]");
  assertEquals(await state.textContent(), "running");
  assertMatch(await card(page).locator("[data-field=since]").textContent() ?? "", /^for 3 h 12 min$/);
  assertEquals(await card(page).locator("[data-list=grant] li").count(), 5);
  const reason = fakeReport().reason;
  fleet.keep(fakeReport({ id: "death-1" }));
  fleet.emit("e1000", { type: "ended", pid: 312, reason, next: "restart", delay: 0, report: "death-1" });
  const first = page.locator("[data-events] li").first();
  await first.getByText("ended").waitFor();
  assertStringIncludes(await first.textContent() ?? "", "exception: TypeError");
  fleet.change("e1000", {
    state: "restarting",
    reason,
    pid: null,
    uptime: 0,
    since: new Date().toISOString(),
  });
  await state.getByText("restarting").waitFor();
  await page.locator("[data-announce]", { hasText: "e1000 is restarting: exception" }).waitFor({
    state: "attached",
  });
  await card(page).getByText("Last end: exception.").waitFor();
  await card(page).getByText("Stack").click();
  await card(page).getByText("at take (drivers/e1000/receive.ts:81:20)").waitFor();
  fleet.emit("e1000", { type: "recovered", ms: 44, handed: 9, frame: true });
  fleet.change("e1000", { state: "running", pid: 400, uptime: 0.5, recoveries: [44] });
  await state.getByText("running").waitFor();
  await card(page).getByText("last 44 ms, median 44 ms, worst 44 ms").waitFor();
  assertEquals(await card(page).locator("[data-chart=recoveries] rect").count(), 1);
  // The report is one click away.
  await card(page).getByRole("navigation").getByText("exception").click();
  await page.waitForURL(/\/reports\/death-1$/);
});

visit("draws what comes in", {}, async ({ page, fleet }) => {
  await live(page);
  const lines = () => card(page).locator("[data-chart=packets] path.line-0").getAttribute("d");
  const points = (path: string | null) => path?.match(/[ML]/g)?.length ?? 0;
  await page.waitForFunction(() =>
    (document.querySelector("path.line-0")?.getAttribute("d")?.length ?? 0) > 20
  );
  const before = points(await lines());
  fleet.change("e1000", { rx: { packets: 9000, bytes: 1 }, tx: { packets: 1, bytes: 1 } });
  await card(page).getByText("9,000/s").waitFor();
  assertGreater(points(await lines()), before);
  assertEquals(await card(page).locator("[data-scale=packets]").textContent(), "10,000/s");
  for (const chart of ["packets", "bytes", "interrupts", "wakeups"]) {
    assert(await card(page).locator(`[data-chart=${chart}] path`).count() >= 2, chart);
  }
});

visit("drivers come and go", {}, async ({ page, fleet }) => {
  await live(page);
  fleet.set(fakeDriver({ name: "nvme0", state: "waiting", pid: null }));
  await card(page, "nvme0").getByText("waiting").waitFor();
  await page.getByText("2 drivers: 1 running, 1 waiting").waitFor();
  assert(await card(page, "nvme0").getByRole("button", { name: "Restart…" }).isEnabled());
  assertEquals(await page.locator("#filter option").allTextContents(), ["all drivers", "e1000", "nvme0"]);
  fleet.remove("e1000");
  await card(page).waitFor({ state: "detached" });
  fleet.remove("nvme0");
  await page.getByText("No driver is supervised here.").waitFor();
});

visit("restarts by keyboard alone, and the dialog can be left", {}, async ({ page, fleet }) => {
  await live(page);
  const focused = () => page.evaluate(() => document.activeElement?.textContent);
  await page.keyboard.press("Tab");
  assertEquals(await focused(), "Skip to content");
  for (let i = 0; await focused() !== "Restart…"; i++) {
    assert(i < 20, "the button is reached");
    await page.keyboard.press("Tab");
  }
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement!).outlineStyle);
  assertEquals(outline, "solid");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog", { name: "Restart e1000?" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  assertEquals([await focused(), fleet.asked.length], ["Restart…", 0]);
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  assertEquals(await focused(), "Restart");
  await page.keyboard.press("Enter");
  await card(page).getByText("Restarted.").waitFor();
  assertEquals(fleet.asked, ["restart e1000"]);
});

visit("stops, starts and kills in the way that is chosen", {}, async ({ page, fleet }) => {
  await live(page);
  const press = (name: string) => card(page).getByRole("button", { name, exact: true }).click();
  const confirm = (name: string) =>
    page.getByRole("dialog").getByRole("button", { name, exact: true }).click();
  await press("Kill…");
  await page.getByRole("radio", { name: /^stall/ }).check();
  await confirm("Kill");
  await card(page).getByText("It will end; watch it recover.").waitFor();
  await press("Kill…");
  await confirm("Cancel");
  await press("Stop…");
  await confirm("Stop");
  await card(page).getByText("Stopped.").waitFor();
  await press("Start");
  await card(page).getByText("Started.").waitFor();
  assertEquals(fleet.asked, ["kill (stall) e1000", "stop e1000", "start e1000"]);
});

visit("says what went wrong", { expects: /status of 409/ }, async ({ page, fleet }) => {
  await live(page);
  fleet.refusal = new FleetError("conflict", "e1000 is being upgraded <b>now</b>");
  await card(page).getByRole("button", { name: "Restart…" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Restart" }).click();
  await card(page).getByText("e1000 is being upgraded <b>now</b>").waitFor();
  assert(await card(page).getByRole("button", { name: "Restart…" }).isEnabled());
});

visit("without a session nothing can be steered", {
  session: false,
  expects: /status of 401/,
}, async ({ page, fleet }) => {
  await live(page);
  await page.getByText('run "ring3 dashboard" on this machine').waitFor();
  for (const button of await card(page).locator("button[data-action]").all()) {
    assert(await button.isDisabled());
  }
  // Nor by a page that takes no notice.
  const status = await page.evaluate(async () =>
    (await fetch("/api/v1/drivers/e1000/stop", { method: "POST" })).status
  );
  assertEquals([status, fleet.asked], [401, []]);
});

visit("a session that has ended is told", { expects: /status of 401/ }, async ({ page, fleet }) => {
  await live(page);
  await page.context().clearCookies();
  await card(page).getByRole("button", { name: "Restart…" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Restart" }).click();
  await card(page).getByText("This needs the token, or a session").waitFor();
  await page.getByText("You can look and not steer.").waitFor();
  assert(await card(page).getByRole("button", { name: "Restart…" }).isDisabled());
  assertEquals(fleet.asked, []);
});

visit("events: a filter, a hold, a bound", {
  fleet: () => new FakeFleet(fakeDriver(), fakeDriver({ name: "nvme0" })),
}, async ({ page, fleet }) => {
  await live(page);
  const rows = page.locator("[data-events] li");
  for (let i = 0; i < 600; i++) fleet.emit(i % 2 ? "e1000" : "nvme0", { type: "log", text: `word ${i}` });
  await rows.getByText("word 599").waitFor();
  assertEquals(await rows.count(), 200);
  await page.getByLabel("Of which driver").selectOption("nvme0");
  await rows.getByText("word 598").waitFor();
  assertEquals([await rows.count(), await rows.getByText("word 599").count()], [200, 0]);
  await page.getByLabel("Follow").uncheck();
  fleet.emit("nvme0", { type: "log", text: "held" });
  await page.getByText("1 newer, held back").waitFor();
  assertEquals(await rows.getByText("held").count(), 0);
  await page.getByLabel("Follow").check();
  await rows.first().getByText("held").waitFor();
});

visit(
  "a lost connection is told, and found again",
  { expects: /ERR_|Failed to load/ },
  async ({ page, fleet, server }) => {
    await live(page);
    await server[Symbol.asyncDispose]();
    await page.getByText("Connection lost.").waitFor();
    const port = Number(new URL(server.url).port);
    const state = await Deno.makeTempDir({ prefix: "ring3-dashboard-" });
    fleet.forget();
    fleet.emit("e1000", { type: "log", text: "after the new start" });
    await using _again = await serveApi(fleet, { port, state });
    await page.locator("[data-events]").getByText("after the new start").waitFor();
    await page.getByText("Connection lost.").waitFor({ state: "hidden" });
    await Deno.remove(state, { recursive: true });
  },
);

const HOSTILE =
  `<img src=x onerror="document.title='owned'">\u202e\n</template><script>document.title='owned'</script>`;

visit("what a driver says stays text", {
  fleet: () =>
    new FakeFleet(fakeDriver({ name: HOSTILE, description: HOSTILE, warnings: [HOSTILE], grant: [HOSTILE] })),
}, async ({ page, fleet }) => {
  await live(page);
  const reason = { kind: "exception" as const, text: HOSTILE, stack: HOSTILE };
  fleet.emit(HOSTILE, { type: "ended", pid: 1, reason, next: "restart", delay: 0, report: HOSTILE });
  fleet.set(fakeDriver({ name: `${HOSTILE}2`, reason, addresses: [HOSTILE], interface: HOSTILE }));
  await page.getByText("2 drivers").waitFor();
  await page.locator("[data-events] li").getByText("<img src=x").first().waitFor();
  await page.locator("article").nth(1).getByRole("button", { name: "Restart…" }).click();
  await page.getByRole("dialog").getByText("<script>").waitFor();
  await page.getByRole("button", { name: "Cancel" }).click();
  assertEquals(await page.title(), "ring3");
  assertEquals(await page.locator("main img, main script").count(), 0);
});

/** A fleet with everything that a page can be full of. */
function fullFleet(): FakeFleet {
  const fleet = new FakeFleet(
    fakeDriver({ recoveries: [44, 51, 120], reason: fakeReport().reason }),
    fakeDriver({
      name: "a-driver-with-quite-a-long-name-for-a-phone",
      state: "failed",
      confined: false,
      pid: null,
      warnings: ["https://example.invalid/averylongwordthatcannotbebrokenanywhereatallbyabrowser"],
      restarts: { total: 5, used: 5, budget: 5, window: 1_800_000, next: null },
      reason: { kind: "stall", text: "x".repeat(300) },
    }),
  );
  fleet.keep(fakeReport({ id: "one" }), fakeReport({ id: "two", registers: manyAccesses() }));
  for (let i = 0; i < 20; i++) fleet.emit("e1000", { type: "log", text: "y".repeat(200) });
  fleet.emit("e1000", { type: "ready", ms: 1 });
  fleet.emit("e1000", { type: "starting", pid: 1, spare: true, version: "a1b2" });
  return fleet;
}

function manyAccesses() {
  return Array.from(
    { length: 4096 },
    (_, sequence) => ({ sequence, bar: 0, offset: 8, write: false, value: 1 }),
  );
}

visit("fits a phone", {
  fleet: fullFleet,
  context: { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true },
  expects: /status of 404/,
}, async ({ page, server }) => {
  await live(page);
  for (const path of ["", "reports", "reports/two", "reports/none"]) {
    if (path !== "") await page.goto(`${server.url}${path}`);
    assertEquals(await page.evaluate(() => document.documentElement.scrollWidth), 360, path);
  }
  await page.goto(server.url);
  await live(page);
  await card(page).getByRole("button", { name: "Kill…" }).tap();
  const box = await page.getByRole("dialog").boundingBox();
  assert(box && box.x >= 0 && box.x + box.width <= 360);
});

/** Texts of a page whose contrast with what is behind them is below AA, each with its ratio. */
function tooFaint(): string[] {
  const parse = (color: string) => {
    const [r, g, b, a = 1] = color.match(/[\d.]+/g)!.map(Number);
    return { r, g, b, a };
  };
  const luminance = ({ r, g, b }: { r: number; g: number; b: number }) => {
    const [x, y, z] = [r, g, b].map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element: Element | null): { r: number; g: number; b: number } => {
    for (let at = element; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color.a === 1) return color;
    }
    return { r: 255, g: 255, b: 255 };
  };
  const faint: string[] = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) =>
      node.nodeType === 3 && node.textContent!.trim() !== ""
    );
    const disabled = element instanceof HTMLButtonElement && element.disabled;
    if (!own || disabled || !element.checkVisibility({ opacityProperty: true })) continue;
    const style = getComputedStyle(element);
    const [light, dark] = [luminance(parse(style.color)), luminance(behind(element))].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    if (ratio < 4.5) {
      faint.push(`${element.tagName}.${element.className} "${element.textContent}" ${ratio.toFixed(2)}`);
    }
  }
  return faint;
}

for (const colorScheme of ["light", "dark"] as const) {
  visit(`is legible in the ${colorScheme} scheme`, {
    fleet: fullFleet,
    context: { colorScheme },
  }, async ({ page, server }) => {
    await live(page);
    assertEquals(await page.evaluate(tooFaint), []);
    const shade = await page.evaluate(() =>
      Number(getComputedStyle(document.body).backgroundColor.match(/\d+/)![0])
    );
    assertEquals(shade > 128, colorScheme === "light");
    await page.goto(`${server.url}reports/two`);
    assertEquals(await page.evaluate(tooFaint), []);
    await page.goto(server.url);
    await live(page);
    await card(page).getByRole("button", { name: "Kill…" }).click();
    assertEquals(await page.evaluate(tooFaint), []);
  });
}

visit("is loud about a device that nothing confines", { fleet: fullFleet }, async ({ page }) => {
  await live(page);
  await page.getByText("1 unsafe").waitFor();
  await page.locator("article").filter({ hasText: "failed" }).getByText("Unsafe: no IOMMU.").waitFor();
  assertEquals(await card(page).getByText("Unsafe: no IOMMU.").isVisible(), false);
});

visit("shows which walls stand, and is loud about those that do not", {
  fleet: () =>
    new FakeFleet(
      fakeDriver(),
      fakeDriver({
        name: "open",
        walls: { namespaces: "stands", landlock: "missing", seccomp: "off", cgroup: "stands" },
      }),
    ),
}, async ({ page }) => {
  await live(page);
  await page.getByText("1 unsafe").waitFor();
  await card(page).getByText("language, process (namespaces, landlock, seccomp, cgroup), module, IOMMU")
    .waitFor();
  const open = page.locator('article[data-driver="open"]');
  await open.getByText("language, process (namespaces, cgroup), module, IOMMU").waitFor();
  await open.getByText("no landlock (this system has none), no seccomp (its manifest leaves it out)")
    .waitFor();
  assertEquals(await card(page).getByText("Unsafe:").filter({ visible: true }).count(), 0);
});

visit("is a true page without script", {
  fleet: fullFleet,
  context: { javaScriptEnabled: false },
}, async ({ page }) => {
  await card(page).getByText("running").first().waitFor();
  // Locators by text pass over noscript.
  await page.locator("noscript .notice").waitFor();
  assertEquals(await page.locator("[data-events] li").count(), 22);
  for (const button of await card(page).locator("button[data-action]").all()) {
    assert(await button.isDisabled());
  }
  await page.getByLabel("Of which driver").selectOption("a-driver-with-quite-a-long-name-for-a-phone");
  await page.locator("noscript button").click();
  await page.waitForURL(/\?driver=a-driver/);
  assertEquals(await page.locator("[data-events] li").count(), 0);
  await card(page).getByRole("link", { name: "All reports" }).click();
  await page.getByRole("heading", { name: "Reports of e1000" }).waitFor();
  await page.locator("tbody a").first().click();
  await page.getByRole("heading", { name: "e1000: exception" }).waitFor();
  // Its heading is there before its rows are.
  await page.waitForLoadState();
  assertEquals(
    await page.getByRole("region", { name: "Register accesses" }).locator("tbody tr").count(),
    4096,
  );
});

visit(
  "does not move for those who want it still",
  { context: { reducedMotion: "reduce" } },
  async ({ page }) => {
    await live(page);
    const moving = await page.evaluate(() =>
      [...document.querySelectorAll("*")].filter((element) => {
        const { transitionDuration, animationName } = getComputedStyle(element);
        return transitionDuration !== "0s" || animationName !== "none";
      }).length
    );
    assertEquals(moving, 0);
  },
);
