import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { bit, bits, DeviceError, rc, registers, ro, row, rw, wo } from "../../src/driver/mod.ts";
import { allRegisters, MappedRegisters } from "../../src/driver/registers.ts";
import { FakeHardware, FakeRegisters } from "../fakes/registers.ts";

const REG = registers({
  CTRL: rw(0x00, { SLU: bit(6), SPEED: bits(9, 8), TOP: bit(31) }),
  STATUS: ro(0x08, { LU: bit(1) }),
  ICR: rc(0xc0),
  IMC: wo(0xd8),
  RAH: row(rw(0x104, { AV: bit(31) }), { count: 3, stride: 8 }),
});

function mapped(bytes = 0x200, window = 0) {
  const words = new Uint32Array(bytes / 4);
  return { words, regs: new MappedRegisters(words, { map: REG, window, name: "BAR 0 of 0000:00:10.0" }) };
}

Deno.test("registers carry name, offset, access and fields", () => {
  assertEquals([REG.CTRL.name, REG.CTRL.offset, REG.CTRL.access], ["CTRL", 0, "rw"]);
  assertEquals([REG.CTRL.SPEED.name, REG.CTRL.SPEED.shift, REG.CTRL.SPEED.mask], ["CTRL.SPEED", 8, 0x300]);
  assertStrictEquals(REG.CTRL.TOP.mask, 0x80000000);
  assertEquals([REG.RAH.length, REG.RAH.at(2).name, REG.RAH.at(2).offset], [3, "RAH[2]", 0x114]);
  assertStrictEquals(REG.RAH.at(1).AV.offset, 0x10c);
  assertEquals(
    allRegisters(REG).map(({ name }) => name).join(" "),
    "CTRL STATUS ICR IMC RAH[0] RAH[1] RAH[2]",
  );
  assertStrictEquals(REG.RAH.at(1), REG.RAH.at(1));
  for (const index of [3, -1, 0.5]) {
    assertThrows(() => REG.RAH.at(index), RangeError, `Cannot use RAH[${index}]: it has 3 registers`);
  }
});

Deno.test("fields put values in place and take them out, unsigned", () => {
  assertStrictEquals(REG.CTRL.SPEED.of(2), 0x200);
  assertStrictEquals(REG.CTRL.TOP.of(1), 0x80000000);
  assertStrictEquals(REG.CTRL.TOP.from(0xffffffff), 1);
  assertThrows(() => REG.CTRL.SPEED.of(4), RangeError, "Cannot put 4 into CTRL.SPEED: it does not fit");
  assertThrows(() => REG.CTRL.TOP.of(2), RangeError);
  assertThrows(() => REG.CTRL.TOP.of(-1), RangeError);
  assertStrictEquals(bits(31, 0).width, 32);
});

Deno.test("mistakes in a map are found when it is made", () => {
  assertThrows(
    () => registers({ A: rw(0x10), B: ro(0x10) }),
    RangeError,
    "Cannot define B: A is already at 0x10",
  );
  assertThrows(
    () => registers({ A: rw(0x108), R: row(rw(0x100), { count: 4 }) }),
    RangeError,
    "is already at 0x108",
  );
  assertThrows(
    () => registers({ A: rw(0x11) }),
    RangeError,
    "Cannot define A: offset 0x11 is not a multiple of 4",
  );
  assertThrows(() => registers({ A: rw(-4) }), RangeError);
  assertThrows(
    () => registers({ A: rw(0, { X: bits(3, 0), Y: bit(3) }) }),
    RangeError,
    "Cannot define A.Y: its bits are taken",
  );
  assertThrows(() => registers({ A: rw(0, { offset: bit(3) }) }), RangeError, "the name is taken");
  assertThrows(() => bit(32), RangeError, "Cannot define bits 32:32");
  assertThrows(() => bits(1, 2), RangeError);
});

Deno.test("mapped registers are words of the window, read unsigned", () => {
  const { words, regs } = mapped();
  regs.write(REG.CTRL, -1);
  assertStrictEquals(words[0], 0xffffffff);
  assertStrictEquals(regs.read(REG.CTRL), 0xffffffff);
  assertStrictEquals(regs.get(REG.CTRL.TOP), 1);
  regs.set(REG.CTRL.SPEED, 1);
  assertStrictEquals(words[0], 0xfffffdff);
  words[0x08 / 4] = 2;
  assertStrictEquals(regs.has(REG.STATUS.LU), true);
  regs.write(REG.RAH.at(2), 5);
  assertStrictEquals(words[0x114 / 4], 5);
  words.fill(1);
  regs.fill(REG.RAH, 7);
  assertEquals([...words.entries()].filter(([, word]) => word === 7).map(([at]) => at * 4), [
    0x104,
    0x10c,
    0x114,
  ]);
});

Deno.test("a window that starts within the BAR holds the registers there", () => {
  const map = registers({ A: rw(0x1004), B: rw(0x1008) });
  const words = new Uint32Array(0x400);
  const regs = new MappedRegisters(words, { map, window: 0x1000, name: "BAR 1" });
  regs.write(map.B, 7);
  assertEquals([words[2], regs.read(map.B)], [7, 7]);
});

Deno.test("a register outside the granted window is refused when bound", () => {
  assertThrows(
    () => mapped(0x110),
    DeviceError,
    "Cannot use BAR 0 of 0000:00:10.0: register RAH[2] at 0x114 lies outside the granted window, 0x0 to 0x110; " +
      "grant more of it in the manifest",
  );
  assertThrows(() => mapped(0x200, 0x1000), DeviceError, "register CTRL at 0x0 lies outside");
  mapped(0x118);
});

Deno.test("access modes are types", () => {
  const { regs } = mapped();
  // @ts-expect-error a read-only register
  regs.write(REG.STATUS, 1);
  // @ts-expect-error reading clears it, writing is not for it
  regs.write(REG.ICR, 1);
  // @ts-expect-error a write-only register
  regs.read(REG.IMC);
  // @ts-expect-error a field of a read-only register
  regs.set(REG.STATUS.LU, 1);
  // @ts-expect-error no such register
  assertStrictEquals(REG.NONE, undefined);
});

Deno.test("fake registers have side effects and refuse what the mode forbids", () => {
  const hardware = new FakeHardware();
  const regs = new FakeRegisters(hardware, REG);
  hardware.values.set(0xc0, 0x80000004);
  hardware.onLoad.set(0xc0, () => hardware.values.set(0xc0, 0));
  assertEquals([regs.read(REG.ICR), regs.read(REG.ICR)], [0x80000004, 0]);
  let masked = 0;
  hardware.onStore.set(0xd8, (value) => masked |= value);
  regs.write(REG.IMC, 6);
  assertEquals([masked, regs.loads, regs.stores], [6, 2, 1]);
  // deno-lint-ignore no-explicit-any -- around the types, as JavaScript would
  assertThrows(() => regs.write(REG.ICR as any, 1), Error, "ICR cannot be written");
});
