/** What is kept of each fault of a campaign: a line of JSON, appended as soon as it is judged. */
import { dirname } from "node:path";
import { z } from "zod";
import { UserError } from "../../error.ts";
import { END_KINDS } from "../../supervisor/schema.ts";
import { TOGETHER } from "../schema.ts";
import { OUTCOMES } from "./outcome.ts";

const ms = z.number().nonnegative();

/** One fault, or several that were injected together. */
export const recordSchema = z.strictObject({
  campaign: z.string().describe("Name of the campaign's file, without its ending."),
  seed: z.int(),
  number: z.int().min(0).describe(
    "Which injection of the campaign: with campaign and seed all that a replay takes.",
  ),
  driver: z.string(),
  workload: z.string(),
  kernel: z.string().describe("Release of the lab's."),
  at: z.iso.datetime().nullable().describe("When it began, by the lab's clock; null if it was refused."),
  together: z.enum(TOGETHER),
  models: z.array(z.string()).min(1),
  says: z.string().describe("What was done."),
  outcome: z.enum(OUTCOMES),
  reason: z.object({ kind: z.enum(END_KINDS), text: z.string() }).nullable(),
  detection: ms.nullable(),
  recovery: ms.nullable(),
  gap: ms,
  failed: z.int().min(0),
  wrong: z.int().min(0),
  ends: z.int().min(0),
  report: z.string().nullable().describe("Name of the black box beside the results; null without one."),
  text: z.string(),
  usual: ms.describe("Longest time without an operation in versions without a fault, milliseconds."),
});

/** One fault, or several that were injected together, and what became of it. */
export type FaultRecord = z.output<typeof recordSchema>;

/**
 * Reads the lines of a results file. A last line that is not whole, as of a run that was cut off, is left out.
 * @throws {UserError} if another line is none.
 */
export function parseRecords(text: string, path: string): FaultRecord[] {
  const lines = text.split("\n");
  // What follows the last newline was not written to its end.
  lines.pop();
  return lines.map((line, index) => {
    try {
      return recordSchema.parse(JSON.parse(line));
    } catch {
      throw new UserError(
        `Cannot read line ${index + 1} of ${path}: it is not what a campaign writes; give another file`,
      );
    }
  });
}

/** The records of a file; none if there is no such file. @throws {UserError} if it holds something else. */
export async function readRecords(path: string): Promise<FaultRecord[]> {
  try {
    return parseRecords(await Deno.readTextFile(path), path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** Appends a record to a file that ends with a whole line. */
export async function appendRecord(path: string, record: FaultRecord): Promise<void> {
  await Deno.writeTextFile(path, `${JSON.stringify(record)}\n`, { append: true });
}

/** Makes the file's folder, and ends the file with its last whole line, so that what is appended begins a line. */
export async function mendRecords(path: string): Promise<void> {
  await Deno.mkdir(dirname(path), { recursive: true });
  const text = await Deno.readTextFile(path).catch((error) => {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  });
  const whole = text.lastIndexOf("\n") + 1;
  if (whole < text.length) await Deno.truncate(path, new TextEncoder().encode(text.slice(0, whole)).length);
}
