/** The dashboard of a real supervisor, in Debian's Chromium: a driver is killed there and recovers. */
import { assertEquals } from "@std/assert";
import { boot } from "../../src/lab/mod.ts";
import { launch } from "../browser/chromium.ts";
import { up } from "./driver_run.ts";
import { assertHealthy, assertNothingLeft, silent } from "./health.ts";

/** Milliseconds that the page has to come to what is awaited: what it shows takes seconds in the lab, or many. */
const PATIENCE = 120_000;

Deno.test({
  name: "a driver killed on the dashboard is seen to recover, and its report is there",
  // The browser's connection is the library's.
  sanitizeResources: false,
  sanitizeOps: false,
  async fn() {
    await using lab = await boot({}, { progress: silent });
    await using run = await up(lab);
    await run.next("spare", { where: ({ state }) => state === "ready" });
    const { url, enter } = await run.serving();
    const { host, port } = new URL(url);
    const forwarded = await lab.forward(Number(port), { through: "loopback" });
    // The supervisor answers to its own name only.
    const browser = await launch([`--host-resolver-rules=MAP ${host} 127.0.0.1:${forwarded}`]);
    try {
      const page = await browser.newPage();
      page.setDefaultTimeout(PATIENCE);
      const complaints: string[] = [];
      page.on("console", (message) => complaints.push(message.text()));
      page.on("pageerror", (error) => complaints.push(String(error)));
      await page.goto(enter);
      await page.getByText("live", { exact: true }).waitFor();
      const card = page.getByRole("article", { name: "e1000", exact: true });
      await card.locator("[data-field=state]").getByText("running").waitFor();
      await card.getByText("10.3.0.15/24").first().waitFor();

      const { lastId } = run;
      await card.getByRole("button", { name: "Kill…", exact: true }).click();
      await page.getByRole("dialog").getByRole("button", { name: "Kill", exact: true }).click();
      const { reason, report } = await run.next("ended", { after: lastId });
      assertEquals(reason, { kind: "signal", text: "killed by SIGKILL" });
      await page.locator("[data-events] li").getByText("killed by SIGKILL").first().waitFor();
      await run.next("recovered", { after: lastId });
      await card.getByText("Last end: signal.").waitFor();
      await card.locator("[data-field=state]").getByText("running").waitFor();
      await page.locator("[data-events] li").getByText("recovered").first().waitFor();

      await card.getByRole("navigation").getByText("signal").click();
      await page.waitForURL(`**/reports/${report}`);
      await page.getByText("killed by SIGKILL").first().waitFor();
      assertEquals(complaints, []);
    } finally {
      await browser.close();
    }
    assertEquals(await run.stop(), { code: 0, stderr: "" });
    await assertNothingLeft(lab);
    assertHealthy(lab);
  },
});
