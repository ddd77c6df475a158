/** A short campaign against each driver: the same faults each time, and the machine stands all of them. */
import { assert, assertEquals } from "@std/assert";
import { type FaultRecord, isManifested, isRecovered, runCampaign } from "../../src/faults/campaign/mod.ts";
import { choose, parseCampaign } from "../../src/faults/mod.ts";
import { DEFAULT_HARDWARE } from "../../src/lab/mod.ts";
import { temporaryFolder } from "../../src/temporary_folder.ts";
import { silent } from "./health.ts";

const CAMPAIGNS = new URL("../campaigns/", import.meta.url).pathname;

const SEED = 1;

/** How many faults, by driver: together some eight minutes. */
const COUNTS = { e1000: 12, nvme: 8, ide: 8 };

for (const [driver, count] of Object.entries(COUNTS)) {
  Deno.test(`${count} faults into ${driver}: each is judged, none harms the machine, and most are recovered from`, async () => {
    const campaign = parseCampaign(JSON.parse(await Deno.readTextFile(`${CAMPAIGNS}${driver}.json`)));
    const { signal } = new AbortController();
    await using folder = await temporaryFolder(signal);
    const records: FaultRecord[] = [];
    const numbers = Array.from({ length: count }, (_, number) => number);
    const options = {
      hardware: DEFAULT_HARDWARE,
      yes: true,
      progress: silent,
      signal,
      campaign,
      name: driver,
      seed: SEED,
      numbers,
      results: `${folder.path}/results.jsonl`,
      onRecord: (record: FaultRecord) => void records.push(record),
    };
    await runCampaign(options);
    // The second of two has nobody to come to where the first has ended the driver by its time.
    const late = ({ says }: FaultRecord) =>
      [...says.matchAll(/(\S+) came too late/g)].map(([, model]) => model);
    assertEquals(
      records.map((record) => ({
        number: record.number,
        models: [...record.models, ...late(record)].toSorted(),
      })),
      numbers.map((number) => ({
        number,
        models: choose(campaign, { seed: SEED, number }).faults.map(({ model }) => model).toSorted(),
      })),
    );
    const bad = records.filter(({ outcome }) => ["harm", "given-up", "corruption"].includes(outcome));
    assertEquals(bad, []);
    const manifested = records.filter(({ outcome }) => isManifested(outcome));
    assert(manifested.length >= count / 4, `${manifested.length} of ${count} showed themselves`);
    // Of some faults nobody but the application can know: docs/faults.md tells of them.
    const hung = manifested.filter(({ outcome }) => !isRecovered(outcome));
    assert(hung.length <= manifested.length / 4, JSON.stringify(hung));

    const again = records.length;
    await runCampaign(options);
    assertEquals(records.length, again, "what has been done is not done again");
  });
}
