/**
 * Everything that a driver imports, and a program on a raw port.
 *
 * @module
 */

import type { BlockDriver } from "../block/contract.ts";
import type { NetDriver } from "../net/contract.ts";
import type { Program } from "../net/raw.ts";

export {
  BLOCK_ERROR,
  completeBlock,
  failBlock,
  FORCE,
  isForced,
  OPERATION,
  operationOf,
  requestEntries,
  sectorsOf,
  takeRequest,
} from "../block/request.ts";
export type { BlockAttach, BlockDriver, BlockFeatures, BlockPort } from "../block/contract.ts";
export { every, sleep, until } from "./clock.ts";
export type { Device, DmaMemory } from "./device.ts";
export { DeviceError } from "./error.ts";
export { long, ports, word } from "./ports.ts";
export type { Port, PortMap, Ports, ReadablePort, WritablePort } from "./ports.ts";
export { bit, bits, rc, registers, ro, row, rw, wo } from "./registers.ts";
export type { AnyRegisterMap, Field, Register, RegisterMap, RegisterRow, Registers } from "./registers.ts";
export { Channel, CONTEXT, CSUM, ENTRY, ERROR, LAST, LENGTH_MASK, TSO } from "./rings.ts";
export { struct, u16, u32, u64, u8 } from "./struct.ts";
export type { Member, Struct } from "./struct.ts";
export type { NetAttach, NetConfig, NetDriver, NetFeatures, NetPort, NetReport } from "../net/contract.ts";

export type { Program } from "../net/raw.ts";

/** Verbs that a driver of each class must have. */
const VERBS = {
  block: ["bringUp", "interrupt", "poll"],
  net: ["bringUp", "configure", "interrupt", "poll"],
} as const;

/** A driver of any class. */
export type Driver<State> = BlockDriver<State> | NetDriver<State>;

/**
 * Says what a driver is: the default export of its `driver.ts`.
 *
 * @throws {TypeError} at load, if the class is unknown or a verb of it is missing.
 */
export function defineDriver<State>(driver: NetDriver<State>): NetDriver<State>;
export function defineDriver<State>(driver: BlockDriver<State>): BlockDriver<State>;
export function defineDriver<State>(driver: Driver<State>): Driver<State> {
  const verbs: readonly string[] | undefined = VERBS[driver.class];
  if (verbs === undefined) {
    throw new TypeError(
      `Cannot define the driver: class ${driver.class} is none of ${Object.keys(VERBS).join(", ")}`,
    );
  }
  const missing = verbs.filter((verb) => typeof driver[verb as keyof typeof driver] !== "function");
  if (missing.length > 0) {
    throw new TypeError(`Cannot define the driver: a ${driver.class} driver needs ${missing.join(", ")}`);
  }
  return Object.freeze({ ...driver });
}

/**
 * Says what is done with the frames of a raw port: the default export of the file that the manifest names.
 *
 * @throws {TypeError} at load, if there is no function `frame`.
 */
export function defineProgram(program: Program): Program {
  if (typeof program.frame !== "function") throw new TypeError("Cannot define the program: it needs frame");
  return Object.freeze({ ...program });
}
