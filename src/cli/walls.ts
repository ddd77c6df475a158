/** `ring3 walls`: hostile drivers against every wall, in the lab. */
import { UserError } from "../error.ts";
import type { LabOptions } from "../run/lab.ts";
import { grouped } from "../size.ts";
import { didYouMean } from "../suggest.ts";
import { ATTEMPTS, type Row, tryWalls, type WallsResult } from "../walls/lab.ts";
import { choice, type Command, defineCommand, flag, list } from "./args.ts";
import { HARDWARE_OPTIONS } from "./hardware_options.ts";
import { inLab } from "./in_lab.ts";

/** Cards and disks are the attempts' own. */
const { nic: _nic, disk: _disk, ...MACHINE } = HARDWARE_OPTIONS;

const NAME_WIDTH = Math.max(...ATTEMPTS.map(({ name }) => name.length));
const WHAT_WIDTH = Math.max(...ATTEMPTS.map(({ what }) => what.length));
const WALL_WIDTH = "namespaces".length;

/** An attempt as a line of the table, and what did not hold below it. */
function formatRow({ name, what, how, stops, behind, problems }: Row): string {
  const next = [...stops.slice(1).map(({ wall }) => wall), ...behind];
  const line = [
    problems.length === 0 ? "ok    " : "FAILED",
    name.padEnd(NAME_WIDTH),
    what.padEnd(WHAT_WIDTH),
    how.padEnd("manifest".length),
    (stops[0]?.wall ?? "nothing").padEnd(WALL_WIDTH),
    next.join(", ") || "none",
  ].join("  ");
  return [line, ...problems.map((problem) => `        ${problem}`)].join("\n");
}

/** What is below the table. */
function formatEnd(result: WallsResult): string {
  const { rows, problems, escapes, bystander, kernel, accelerator, seconds } = result;
  const runs = rows.reduce((count, { stops }) => count + stops.length, 0);
  const deep = rows.filter(({ stops, behind }) => stops.length + behind.length > 1).length;
  const { sent, answered, lost, gap } = bystander;
  return [
    `${rows.length} attempts, ${escapes} escapes, ${runs} walls tried; ${deep} attempts have another wall behind ` +
    `the first; in ${seconds.toFixed(0)} s on Linux ${kernel} (${accelerator})`,
    `bystander: ${grouped(answered)} of ${grouped(sent)} datagrams answered, ${lost} lost, longest gap ` +
    `${gap.toFixed(0)} ms`,
    ...problems,
  ].join("\n");
}

/** The command. */
export const wallsCommand: Command = defineCommand({
  name: "ring3 walls",
  summary: "Try every wall with hostile drivers, in the lab, and print what stopped them",
  options: {
    only: list("Make this attempt, and no others but those named", { value: "NAME" }),
    json: flag("print one JSON object"),
    ...MACHINE,
    iommu: choice("on: only the lab with an IOMMU; else also one without, for the device's attempts", {
      of: ["on"],
    }),
  },
  examples: [
    { line: "deno task walls", does: "all attempts" },
    { line: 'deno task walls --only "fork bomb"', does: "this one" },
  ],
  notes: [
    "Each attempt is made against all walls, then with the one that stopped it switched off, and so on: what\n" +
    "stopped it then is the wall behind. Somebody else's traffic on a second card must not notice.\n" +
    "Exits with 1 if an attempt was not stopped as expected, or anybody was disturbed.",
  ],
  async main({ options }) {
    const { only } = options;
    for (const name of only) {
      const names = ATTEMPTS.map((attempt) => attempt.name);
      if (names.includes(name)) continue;
      throw new UserError(`There is no attempt "${name}"${didYouMean(name, names)}`, { code: 2 });
    }
    const run = (lab: LabOptions) =>
      tryWalls({
        ...lab,
        only,
        confinedOnly: options.iommu === "on",
        onRow: (row) => options.json || console.log(formatRow(row)),
      });
    return await inLab(options, { run, format: formatEnd });
  },
});
