/** The campaigns that there are: each can be carried out on its driver. */
import { assertEquals, assertRejects } from "@std/assert";
import { faultsCommand } from "../../src/cli/faults.ts";
import { UserError } from "../../src/error.ts";
import { MODELS, modelsFor, parseCampaign } from "../../src/faults/mod.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

for (const driver of ["e1000", "nvme", "ide"]) {
  Deno.test(`the campaign of ${driver} has all that can be done to it, and nothing else`, async () => {
    const campaign = parseCampaign(
      JSON.parse(await Deno.readTextFile(`${ROOT}tests/campaigns/${driver}.json`)),
    );
    assertEquals(campaign.driver, driver);
    const inside: readonly string[] = MODELS.map(({ name }) => name);
    const named: string[] = campaign.faults.map(({ fault }) => fault.model);
    assertEquals(new Set(named).size, named.length, "each once");
    const possible = (await modelsFor(`${ROOT}drivers/${driver}`)).map(({ name }) => name);
    assertEquals(
      named.filter((name) => inside.includes(name) && !possible.includes(name)),
      [],
      "the driver has no place for them",
    );
    const missing = possible.filter((name) => !named.includes(name));
    assertEquals(missing, MISSING[driver], "those that change nothing for it");
  });
}

/** Models that have a place in a driver, and change nothing for it: docs/faults.md says why. */
const MISSING: { [driver: string]: string[] } = {
  e1000: [],
  nvme: ["interrupts.storm", "interrupts.stuck"],
  ide: ["dma.early", "dma.never", "dma.twice"],
};

Deno.test("a fault that is done once more leaves the results of a campaign alone", async () => {
  const results = await Deno.makeTempFile({ suffix: ".jsonl" });
  try {
    const args = ["--campaign", `${ROOT}tests/campaigns/e1000.json`, "--only", "3", "--results", results];
    await assertRejects(() => faultsCommand.run(args), UserError, "--only keeps no result");
    await Deno.stat(results);
  } finally {
    await Deno.remove(results);
  }
});
