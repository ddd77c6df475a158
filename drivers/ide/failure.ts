/** What became of a command that did not succeed: for the kernel a number, for people a line. */

import { BLOCK_ERROR } from "../../src/driver/mod.ts";
import { BUS_MASTER, COMMAND, TASK } from "./registers.ts";

const { ABRT, ICRC, IDNF, MC, MCR, NM, UNC } = TASK.ERROR;
const { BSY, DF, DRDY, DRQ, ERR } = TASK.STATUS;
const { ACTIVE, ERROR, INTERRUPT } = BUS_MASTER[0].STATUS;

/** Names of commands, as the standard writes them. */
const NAMES = new Map<number, string>(
  Object.entries(COMMAND).map(([name, code]) => [code, name.replaceAll("_", " ")]),
);

/** A command that failed, with what was read when it ended. */
export interface Failure {
  command: number;
  sector: number;
  sectors: number;
  /** It writes. */
  writes: boolean;
  status: number;
  /** Of the drive; holds something if `status` has ERR. */
  error: number;
  /** Of the bus master. */
  master: number;
  /** The sector at which it failed, as the drive says. */
  at: number;
}

/** One of `BLOCK_ERROR`. */
export function blockError({ writes, status, error }: Failure): number {
  if ((status & ERR.mask) === 0) return BLOCK_ERROR.IO;
  if ((error & UNC.mask) !== 0) return writes ? BLOCK_ERROR.PROTECTED : BLOCK_ERROR.MEDIUM;
  if ((error & IDNF.mask) !== 0) return BLOCK_ERROR.MEDIUM;
  if ((error & NM.mask) !== 0) return BLOCK_ERROR.GONE;
  return BLOCK_ERROR.IO;
}

/** The command, as in "READ DMA, 8 sectors from 100". */
export function commandText(
  { command, sector, sectors }: Pick<Failure, "command" | "sector" | "sectors">,
): string {
  const name = NAMES.get(command) ?? `command ${hex(command)}`;
  return sectors === 0 ? name : `${name}, ${sectors} sectors from ${sector}`;
}

/** The line for the log. */
export function failureText(failure: Failure): string {
  const { status, error, master, at } = failure;
  const parts = [`status ${hex(status)} (${names(status, { BSY, DRDY, DF, DRQ, ERR })})`];
  if ((status & ERR.mask) !== 0) {
    parts.push(
      `error ${hex(error)} (${names(error, { ICRC, UNC, MC, IDNF, MCR, ABRT, NM })}) at sector ${at}`,
    );
  }
  parts.push(`bus master ${hex(master)} (${names(master, { INTERRUPT, ERROR, ACTIVE })})`);
  return `${commandText(failure)} failed: ${parts.join(", ")}`;
}

function names(value: number, fields: Record<string, { mask: number }>): string {
  const set = Object.entries(fields).filter(([, { mask }]) => (value & mask) !== 0).map(([name]) => name);
  return set.join(" ") || "none";
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(2, "0")}`;
}
