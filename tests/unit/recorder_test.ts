/** Recording of register accesses: what the device sees of it, what is read back, and what a liar can do. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { bit, bits, DeviceError, rc, registers, ro, row, rw, wo } from "../../src/driver/mod.ts";
import { GrantedDevice } from "../../src/host/device.ts";
import {
  RECORD_LENGTH,
  RECORD_WORDS,
  RECORDED,
  RecordedRegisters,
  Recorder,
} from "../../src/host/recorder.ts";
import { type Grant, uapi } from "../../src/kernel/mod.ts";
import { readAccesses } from "../../src/supervisor/recording.ts";
import { reportSchema } from "../../src/supervisor/schema.ts";
import { assertNothingGrew, growth } from "../fakes/plain_memory.ts";

const REG = registers({
  CTRL: rw(0x00, { SLU: bit(6), SPEED: bits(9, 8) }),
  STATUS: ro(0x08, { LU: bit(1), LANES: bits(7, 4) }),
  ICR: rc(0xc0),
  IMC: wo(0xd8),
  FILTER: row(wo(0xe0), { count: 2, stride: 8 }),
});

const WINDOW = 0x200;

function recorded(bar = 0, window: Uint32Array = new Uint32Array(WINDOW / 4)) {
  const memory = new Uint32Array(new SharedArrayBuffer(RECORD_LENGTH));
  const recorder = new Recorder(memory);
  const regs = new RecordedRegisters(window, { map: REG, name: "BAR 0", bar, recorder });
  return { memory, recorder, regs, window };
}

/** `R 0 0x8 0x2`: direction, BAR, offset, value. */
function texts(memory: Uint32Array): string[] {
  return readAccesses(memory).map(({ write, bar, offset, value }) =>
    `${write ? "W" : "R"} ${bar} 0x${offset.toString(16)} 0x${value.toString(16)}`
  );
}

Deno.test("every access is recorded with the whole value of its register, and works as without", () => {
  const { memory, regs, window } = recorded(5);
  window[0x08 / 4] = 0xf0000032;
  assertEquals(regs.read(REG.STATUS), 0xf0000032);
  assertEquals(regs.has(REG.STATUS.LU), true);
  assertEquals(regs.get(REG.STATUS.LANES), 3);
  regs.write(REG.CTRL, -1);
  regs.set(REG.CTRL.SPEED, 1);
  regs.write(REG.IMC, 7);
  regs.fill(REG.FILTER, 0x80000000);
  assertEquals([window[0], window[0xd8 / 4]], [0xfffffdff, 7]);
  assertEquals(texts(memory), [
    "R 5 0x8 0xf0000032",
    "R 5 0x8 0xf0000032",
    "R 5 0x8 0xf0000032",
    "W 5 0x0 0xffffffff",
    "R 5 0x0 0xffffffff",
    "W 5 0x0 0xfffffdff",
    "W 5 0xd8 0x7",
    "W 5 0xe0 0x80000000",
    "W 5 0xe8 0x80000000",
  ]);
});

Deno.test("the device sees one load or store for each access, a store after it is recorded", () => {
  const log: string[] = [];
  let memory: Uint32Array = new Uint32Array();
  const counted = new Proxy(new Uint32Array(WINDOW / 4), {
    get(words, key) {
      if (typeof key === "string" && /^\d+$/.test(key)) {
        log.push(`load ${key}, ${texts(memory).length} known`);
      }
      return Reflect.get(words, key, words);
    },
    set(words, key, value) {
      log.push(`store ${String(key)}, ${texts(memory).length} known`);
      return Reflect.set(words, key, value, words);
    },
  });
  const made = recorded(0, counted);
  memory = made.memory;
  made.regs.read(REG.ICR);
  made.regs.has(REG.STATUS.LU);
  made.regs.get(REG.STATUS.LU);
  made.regs.write(REG.IMC, 1);
  made.regs.set(REG.CTRL.SLU, 1);
  assertEquals(log, [
    "load 48, 0 known",
    "load 2, 1 known",
    "load 2, 2 known",
    "store 54, 4 known",
    "load 0, 4 known",
    "store 0, 6 known",
  ]);
});

Deno.test("a value that does not fit its field is refused before anything is written", () => {
  const { memory, regs } = recorded();
  assertThrows(() => regs.set(REG.CTRL.SPEED, 4), RangeError, "does not fit");
  assertEquals(texts(memory), ["R 0 0x0 0x0"]);
});

Deno.test("the last accesses are kept, in order, also when their numbers wrap", () => {
  const { memory, regs } = recorded();
  for (let i = 0; i < RECORDED + 10; i++) regs.write(REG.IMC, i);
  const kept = readAccesses(memory);
  assertEquals(kept.map(({ value }) => value), Array.from({ length: RECORDED }, (_, i) => i + 10));
  assertEquals(kept.map(({ sequence }) => sequence), Array.from({ length: RECORDED }, (_, i) => i + 10));

  // As the recorder leaves it around 2^32: 6 accesses before, 3 after.
  const wrapped = new Uint32Array(memory.length);
  for (const [i, sequence] of [-6, -5, -4, -3, -2, -1, 0, 1, 2].map((n) => n >>> 0).entries()) {
    const at = (sequence % RECORDED) * RECORD_WORDS;
    wrapped.set([sequence, 2, i, sequence], at);
  }
  const around = readAccesses(wrapped);
  assertEquals(around.map(({ value }) => value), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
  assertEquals(around.map(({ sequence }) => sequence - 2 ** 32), [-6, -5, -4, -3, -2, -1, 0, 1, 2]);
});

Deno.test("nothing recorded is nothing read; a torn record is passed over, wherever it was cut", () => {
  assertEquals(readAccesses(new Uint32Array(RECORDED * RECORD_WORDS)), []);
  const { memory, regs } = recorded();
  for (let i = 0; i < RECORDED + 2; i++) regs.write(REG.IMC, i);
  const before = memory.slice();
  regs.write(REG.IMC, 0xabcd);
  const slot = 2 * RECORD_WORDS;
  // The order of its stores: words 3, 1, 2, 0.
  for (const stored of [[3], [3, 1], [3, 1, 2]]) {
    const torn = before.slice();
    for (const word of stored) torn[slot + word] = memory[slot + word];
    const values = readAccesses(torn).map(({ value }) => value);
    assertEquals(values, Array.from({ length: RECORDED - 1 }, (_, i) => i + 3), `after ${stored}`);
  }
  assertEquals(readAccesses(memory).at(-1)?.value, 0xabcd);
});

Deno.test("whatever a driver's process writes there, what is read fits a report", () => {
  const registersOf = reportSchema.shape.registers;
  // Numbers that are likely to be taken: near each other, in their place, or anything.
  let seed = 1;
  const random = () => (seed = Math.imul(seed, 1664525) + 1013904223 >>> 0);
  for (let round = 0; round < 40; round++) {
    const words = new Uint32Array(RECORDED * RECORD_WORDS);
    for (let slot = 0; slot < RECORDED; slot++) {
      const sequence = round % 2 === 0 ? (random() & ~(RECORDED - 1) | slot) >>> 0 : random();
      words.set([sequence, random() | 2, random(), sequence], slot * RECORD_WORDS);
    }
    const read = readAccesses(words);
    assert(round % 2 === 1 || read.length > 0);
    assert(read.length <= RECORDED);
    assertEquals(registersOf.parse(read).length, read.length);
    for (const [i, { bar, offset, value, sequence }] of read.entries()) {
      assert(bar >= 0 && bar <= 7 && offset >= 0 && offset < 2 ** 29 && offset % 4 === 0);
      assert(value >= 0 && value < 2 ** 32);
      assert(i === 0 || sequence > read[i - 1].sequence);
    }
  }
});

Deno.test("what cannot be recorded is refused when it is bound", () => {
  const { recorder } = recorded();
  const outside = registers({ A: rw(WINDOW) });
  const bind = (map: typeof outside, window = 0) =>
    new RecordedRegisters(new Uint32Array(WINDOW / 4), { map, window, name: "BAR 2", bar: 2, recorder });
  assertThrows(() => bind(outside), DeviceError, "register A at 0x200 lies outside the granted window");
  const far = registers({ A: rw(0x2000_0000) });
  assertThrows(
    () => bind(far, 0x2000_0000),
    DeviceError,
    "Cannot record BAR 2: register A lies beyond 512 MiB",
  );
  assertThrows(() => new Recorder(new Uint32Array(16)), RangeError, "Cannot record in 64 bytes");
});

/** A grant of BAR 2 from byte 4096 on, over plain memory. */
function memoryGrant(): Grant {
  const empty = { bar: 0, flags: 0, offset: 0n, length: 0n, mmap_offset: 0n };
  const window = [
    { ...empty, bar: 2, offset: 4096n, length: 4096n },
    ...Array.from({ length: 7 }, () => empty),
  ];
  const info = { ...uapi.INFO.decode(new Uint8Array(uapi.INFO.size)), windows: 1, window };
  return {
    info: () => info,
    map: (_offset: bigint, length: number) => new SharedArrayBuffer(length),
  } as unknown as Grant;
}

Deno.test("a granted device records with the BAR's number and offset", () => {
  const { memory, recorder } = recorded();
  const map = registers({ AT: rw(0x1ffc) });
  const device = new GrantedDevice(memoryGrant(), 0, { options: {}, log: () => {}, recorder });
  const regs = device.bar(2, map);
  regs.write(map.AT, 0xffffffff);
  assertEquals(regs.read(map.AT), 0xffffffff);
  assertEquals(texts(memory), ["W 2 0x1ffc 0xffffffff", "R 2 0x1ffc 0xffffffff"]);
});

Deno.test("recording allocates nothing", () => {
  const { regs, window } = recorded();
  // Values that are no small integers would show if they were boxed.
  window.fill(0xffffffff);
  let seen = 0;
  const step = (i: number) => {
    if (regs.read(REG.STATUS) === 0xffffffff) seen++;
    seen += regs.get(REG.STATUS.LANES) + Number(regs.has(REG.STATUS.LU));
    regs.write(REG.IMC, 0xfffffff0 + (i & 7));
    regs.set(REG.CTRL.SPEED, i & 3);
  };
  const calls = 20_000;
  for (let i = 0; i < 10 * calls; i++) step(i);
  // Code is optimised in the background, which takes its time on a busy machine.
  let grown = growth(step, { calls });
  for (let more = 0; grown >= calls && more < 20; more++) grown = growth(step, { calls });
  assertNothingGrew(grown, { step, calls });
});
