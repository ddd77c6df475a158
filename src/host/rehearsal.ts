/**
 * What a process will do once it has a grant, done beforehand with nothing behind it. V8 compiles a function
 * when it is first called, and that is most of the time that a recovery takes: so a spare calls them while it
 * has time. The code is the real one; the kernel's answers are made up here, and its WAIT ends at once.
 */
import { ERRNO, Grant, type GrantCalls, KernelError, uapi } from "../kernel/mod.ts";
import { LoopClock, useClock } from "../driver/clock.ts";
import type { Driver } from "../driver/mod.ts";
import { blockDriver, netDriver } from "./rehearsal_driver.ts";
import { runDriver } from "./run.ts";

const { CALL, CHANNEL, INFO, DMA_ALLOC, PORT_KIND, WAIT } = uapi;

/** Entries of the pretended rings, and where they lie: a page of control blocks, then ring after ring. */
const SIZE = 64;
const RING = SIZE * 16;
const PAGE = 4096;

function channel(index: number, kind: number) {
  const submissions = PAGE + index * 2 * RING;
  return {
    kind,
    size: SIZE,
    control: index * 256,
    submissions,
    completions: submissions + RING,
    buffer_size: 2048,
  };
}

const NO_WINDOW = { bar: 0, flags: 0, offset: 0n, length: 0n, mmap_offset: 0n };
const NO_CHANNEL = { kind: 0, size: 0, control: 0, submissions: 0, completions: 0, buffer_size: 0 };

/** A grant of one page of registers, some I/O ports, a page of memory, one interrupt and a port with two channels. */
function answer(kind: number, channels: [number, number]): Uint8Array {
  return INFO.encode({
    argsz: INFO.size,
    address: "0000:00:00.0",
    windows: 2,
    irqs: 1,
    port_kind: kind,
    channels: 2,
    port_mmap_length: BigInt(PAGE + 4 * RING),
    window: [
      { ...NO_WINDOW, length: BigInt(PAGE) },
      { ...NO_WINDOW, bar: 1, flags: uapi.WINDOW_IO, length: 16n },
      ...Array(6).fill(NO_WINDOW),
    ],
    channel: [channel(0, channels[0]), channel(1, channels[1]), ...Array(14).fill(NO_CHANNEL)],
  });
}

const NET = answer(PORT_KIND.net, [CHANNEL.netTx, CHANNEL.netRx]);
const BLOCK = answer(PORT_KIND.block, [CHANNEL.block, CHANNEL.block]);

/** Rounds of the pretended loop. */
const ROUNDS = 3;

/** Answers as the kernel does, and takes the grant away after some rounds. */
function pretendedKernel(info: Uint8Array): GrantCalls {
  let rounds = 0;
  return {
    r3_call(_fd: number, number: number, args: AllowSharedBufferSource | null): number {
      const bytes = args as Uint8Array<ArrayBuffer>;
      if (number === CALL.INFO) bytes.set(info);
      if (number === CALL.DMA_ALLOC) {
        bytes.set(DMA_ALLOC.encode({ ...DMA_ALLOC.decode(bytes), address: BigInt(PAGE) }));
      }
      if (number !== CALL.WAIT) return 0;
      if (rounds++ === ROUNDS) return -ERRNO.EKEYREVOKED;
      (args as unknown as Uint32Array)[WAIT.offsets.events / 4] = uapi.EVENT.IRQ | uapi.EVENT.CONFIG;
      return 0;
    },
    r3_map: () => 0,
    r3_now: () => performance.now(),
    r3_pio: () => 0,
  };
}

/** Goes through it all once for each class of driver. */
export async function rehearse(): Promise<void> {
  await rehearseWith(blockDriver as Driver<unknown>, BLOCK);
  await rehearseWith(netDriver as Driver<unknown>, NET);
}

async function rehearseWith(driver: Driver<unknown>, info: Uint8Array): Promise<void> {
  const start = JSON.parse(`{ "options": {}, "dma": ${PAGE} }`);
  const nothing = () => {};
  const clock = new LoopClock();
  useClock(clock);
  try {
    await runDriver(new Grant(pretendedKernel(info), -1), {
      start,
      driver,
      clock,
      seal: nothing,
      log: nothing,
      onReady: nothing,
      onSignal: nothing,
    });
  } catch (error) {
    // That is how it ends.
    if (!(error instanceof KernelError && error.errno === ERRNO.EKEYREVOKED)) throw error;
  }
}
