/** All models of faults that live in a driver's folder. */
import { codeAwait } from "./code_await.ts";
import { codeBlock } from "./code_block.ts";
import { codeConstant } from "./code_constant.ts";
import { codeHeap } from "./code_heap.ts";
import { codeInverted } from "./code_inverted.ts";
import { codeLeak } from "./code_leak.ts";
import { codeLoop } from "./code_loop.ts";
import { codeOffByOne } from "./code_off_by_one.ts";
import { codeRemoved } from "./code_removed.ts";
import { codeSlow } from "./code_slow.ts";
import { codeSwapped } from "./code_swapped.ts";
import { codeThrow } from "./code_throw.ts";
import { dmaAddress } from "./dma_address.ts";
import { dmaCorrupted } from "./dma_corrupted.ts";
import { dmaEarly } from "./dma_early.ts";
import { dmaLength } from "./dma_length.ts";
import { dmaNever } from "./dma_never.ts";
import { dmaTwice } from "./dma_twice.ts";
import { interruptsDuplicated } from "./interrupts_duplicated.ts";
import { interruptsLost } from "./interrupts_lost.ts";
import { interruptsSpurious } from "./interrupts_spurious.ts";
import { interruptsStorm } from "./interrupts_storm.ts";
import { interruptsStuck } from "./interrupts_stuck.ts";
import { registersDelayed } from "./registers_delayed.ts";
import { registersDropped } from "./registers_dropped.ts";
import { registersFlipped } from "./registers_flipped.ts";
import { registersGone } from "./registers_gone.ts";
import { registersRepeated } from "./registers_repeated.ts";
import { registersStale } from "./registers_stale.ts";
import { registersStuck } from "./registers_stuck.ts";
import { ringsGeneration } from "./rings_generation.ts";
import { ringsId } from "./rings_id.ts";
import { ringsIndex } from "./rings_index.ts";

/** In the order of the documentation. */
export const MODELS = [
  codeSwapped,
  codeConstant,
  codeRemoved,
  codeInverted,
  codeOffByOne,
  codeAwait,
  codeThrow,
  codeLoop,
  codeBlock,
  codeLeak,
  codeHeap,
  codeSlow,
  registersStuck,
  registersFlipped,
  registersStale,
  registersGone,
  registersDropped,
  registersDelayed,
  registersRepeated,
  interruptsLost,
  interruptsDuplicated,
  interruptsSpurious,
  interruptsStorm,
  interruptsStuck,
  dmaAddress,
  dmaCorrupted,
  dmaEarly,
  dmaNever,
  dmaTwice,
  dmaLength,
  ringsIndex,
  ringsId,
  ringsGeneration,
] as const;
