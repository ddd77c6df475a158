/** What a model may do with what passes between a driver, its device and its port. What it leaves out passes. */
import type { Device, DmaMemory } from "../../driver/mod.ts";
import type { Counted, Trigger } from "./trigger.ts";

/** A value that was read, of so many bits, as the driver is to see it. */
export type Seen = (found: number, bits: number) => number;

/** What a model hooks into. */
export interface Hooks {
  /** Called when anything that is counted is about to happen, or the time has come, once the fault is due. */
  event?(what: Counted | "ms"): void;
  /** A register or port is about to be read. @param name As in `STATUS` or `MTA[5]`. */
  read?(name: string): Seen | undefined;
  /** A register or port is to be written; `store` does it, or for a port queues it. */
  write?(name: string, value: number, store: (value: number) => void): void;
  interrupt?(vectors: number, call: (vectors: number) => void): void;
  poll?(call: () => boolean): boolean;
  /** Memory as the driver is to see it. @param index How many it was given before. */
  memory?(memory: DmaMemory, index: number): DmaMemory;
  /** A completion is to be added to a channel. */
  complete?(
    completion: { channel: number; token: number; lengthFlags: number },
    add: (token: number, lengthFlags: number) => void,
  ): void;
  /** The completions of a channel have been shown. @param submissions Where the ring of submissions lies. */
  published?(channel: number, submissions: Uint32Array): void;
}

/** What a model has to work with. */
export interface Scene {
  readonly trigger: Trigger;
  /** The real one; from bring-up on. */
  readonly device: Device;
  /** The driver's own verb. */
  interrupt(vectors: number): void;
}

/** A model: made once per driver, before bring-up. */
export type Make<Parameters> = (parameters: Parameters, scene: Scene) => Hooks;

/** Whether `name` is the register meant: itself, one of its row, or any if none is named. */
export function isMeant(register: string | undefined, name: string): boolean {
  return register === undefined || name === register || name.startsWith(`${register}[`);
}
