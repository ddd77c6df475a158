/** Programs on this machine that load a card in the lab: `bench/outside/`. */
import type { z } from "zod";
import { sendSignal } from "../src/child.ts";
import { UserError } from "../src/error.ts";
import { lines } from "../src/lines.ts";

/** How one is run. */
export interface OutsideOptions<Result> {
  args: readonly (string | number)[];
  /** Of the line of JSON that it says at its end. */
  schema: z.ZodType<Result>;
  /** What could not be done if it fails: `Cannot load the card`. */
  failure: string;
  /** Called when measuring begins and ends, and awaited. */
  begin?: () => Promise<void>;
  end?: () => Promise<void>;
  /** Aborted, has it end by SIGTERM, of a program that says its line then. */
  over?: AbortSignal;
}

/** Runs one to its end; what it says there. @throws {UserError} if it fails. */
export async function runOutside<Result>(
  program: string,
  { args, schema, failure, begin, end, over }: OutsideOptions<Result>,
): Promise<Result> {
  const child = new Deno.Command(program, {
    args: args.map((arg) => `${arg}`),
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  over?.addEventListener("abort", () => sendSignal(child, "SIGTERM"), { once: true });
  const said = new Response(child.stderr).text();
  let result: Result | undefined;
  for await (const line of lines(child.stdout)) {
    if (line === "begin") await begin?.();
    else if (line === "end") await end?.();
    else result = schema.parse(JSON.parse(line));
  }
  const { code } = await child.status;
  if (code === 0 && result !== undefined) return result;
  throw new UserError(`${failure}: ${(await said).trim() || `status ${code}`}`);
}
