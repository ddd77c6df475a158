/** `ring3 faults`: campaigns of faults against drivers under load, in the lab, and what they come to. */
import { basename } from "node:path";
import { USAGE, UserError } from "../error.ts";
import {
  type FaultRecord,
  formatReport,
  hold,
  isManifested,
  plotReport,
  readRecords,
  reportOf,
  runCampaign,
} from "../faults/campaign/mod.ts";
import { parseCampaign, WORKLOADS } from "../faults/mod.ts";
import { checkout } from "../lab/checkout.ts";
import type { LabOptions } from "../run/lab.ts";
import { choice, type Command, defineCommand, flag, integer, list, text } from "./args.ts";
import { HARDWARE_OPTIONS } from "./hardware_options.ts";
import { inLab } from "./in_lab.ts";
import { keepResult } from "./results.ts";
import { progressOnStderr } from "../progress.ts";

/** Cards and disks are the campaign's, and without an IOMMU a faulty device writes to any memory. */
const { nic: _nic, disk: _disk, iommu: _iommu, ...MACHINE } = HARDWARE_OPTIONS;

/** Where results are appended unless told otherwise, below the checkout. */
const RESULTS = "build/faults";

/** Injections of a campaign that says nothing of their number. */
const COUNT = 100;

/** Reads a campaign's file. @throws {UserError} if it cannot be read or is none. */
async function readCampaign(path: string) {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    throw new UserError(`Cannot read ${path}: ${firstLine(error).replace(/ \(os error.*/, "")}`);
  }
  try {
    return parseCampaign(JSON.parse(text));
  } catch (error) {
    if (error instanceof UserError) throw new UserError(`${path}: ${error.message}`);
    throw new UserError(`${path} is not JSON: ${firstLine(error)}`);
  }
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n")[0];
}

/** A record in a line, for whoever watches. */
export function recordLine({ number, says, outcome, gap, reason, recovery }: FaultRecord): string {
  const end = reason
    ? ` (${reason.kind}${recovery === null ? "" : `, recovered in ${recovery.toFixed(0)} ms`})`
    : "";
  const seen = isManifested(outcome) ? `, ${gap.toFixed(0)} ms without an operation` : "";
  return `${number} ${outcome}${end}${seen}: ${says}`;
}

/** Prints the report of results that are there, and writes it where it is to go. */
async function report(
  files: readonly string[],
  { out, json }: { out?: string; json: boolean },
): Promise<number> {
  const records = (await Promise.all(files.map(async (file) => {
    const found = await readRecords(file);
    if (found.length === 0) throw new UserError(`There are no results in ${file}`);
    return found;
  }))).flat();
  const result = reportOf(records);
  const svg = () => plotReport(result, records);
  if (out !== undefined) {
    await keepResult(result, { name: () => out, md: formatReport, svg, out, progress: progressOnStderr() });
  }
  console.log(json ? JSON.stringify(result) : formatReport(result));
  return 0;
}

/** The command. */
export const faultsCommand: Command = defineCommand({
  name: "ring3 faults",
  summary: "Inject faults into a driver under load, in the lab, and see what becomes of each",
  options: {
    campaign: text("The campaign's file", { value: "FILE" }),
    workload: choice("What the driver carries meanwhile; default what the campaign says", { of: WORKLOADS }),
    seed: integer("What the faults follow from", { value: "N", min: 0, max: 2 ** 31 - 1, default: 1 }),
    count: integer(`How many; default what the campaign says, else ${COUNT}`, {
      value: "N",
      min: 1,
      max: 1_000_000,
    }),
    only: integer("One of them, by its number, once more: its result is printed and not kept", {
      value: "N",
      min: 0,
      max: 1_000_000,
    }),
    results: text(`The file that results are appended to; default ${RESULTS}/CAMPAIGN-WORKLOAD-SEED.jsonl`, {
      value: "FILE",
    }),
    report: list("Print what the results in a file come to, and inject nothing; may be given again", {
      value: "FILE",
    }),
    out: text("With --report: path of .md, .svg and .json that it is written to, without the ending", {
      value: "PATH",
    }),
    json: flag("print one JSON object"),
    ...MACHINE,
  },
  examples: [
    {
      line: "deno task faults --campaign tests/campaigns/e1000.json --seed 7 --count 500",
      does: "500 faults; the same command goes on where it was interrupted",
    },
    { line: "deno task faults --report build/faults/e1000-udp-7.jsonl", does: "what they came to" },
  ],
  notes: [
    "What the results hold already is not done again. A fault follows from campaign, seed and number alone. Exits\n" +
    "with 1 if the machine was harmed, content was corrupted, or a driver did not serve again by itself.",
  ],
  async main({ options }) {
    const { campaign: file, seed, count, only, results, report: files, out, json } = options;
    if (files.length > 0) return await report(files, { out, json });
    if (file === undefined) {
      throw new UserError("faults needs --campaign FILE, or --report FILE", { code: USAGE });
    }
    const read = await readCampaign(file);
    const campaign = { ...read, workload: options.workload ?? read.workload };
    const name = basename(file).replace(/\.json$/, "");
    const numbers = only === undefined
      ? Array.from({ length: count ?? campaign.count ?? COUNT }, (_, number) => number)
      : [only];
    if (only !== undefined && results !== undefined) {
      throw new UserError("--only keeps no result: leave --results out", { code: USAGE });
    }
    const which = [name, campaign.workload, seed, ...only === undefined ? [] : [only]].join("-");
    const path = results ?? `${checkout()}/${RESULTS}/${which}.jsonl`;
    if (only !== undefined) {
      await Deno.remove(path).catch((error) => {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      });
    }
    const run = async (lab: LabOptions) => {
      const { crashes } = await runCampaign({
        ...lab,
        campaign,
        name,
        seed,
        numbers,
        results: path,
        onRecord: (record) => lab.progress(recordLine(record)),
      });
      const records = (await readRecords(path)).filter((record) => numbers.includes(record.number));
      return {
        ...reportOf(records),
        crashes,
        ok: records.every(({ outcome }) => hold(campaign.holds, outcome)),
      };
    };
    return await inLab({ ...options, quick: false }, {
      run,
      format: ({ crashes, ...report }) => formatReport(report, crashes),
    });
  },
});
