/** I/O ports: how they are named, how the host queues and runs accesses, and what libring3 makes of them. */
import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { buildFfi } from "../../src/build.ts";
import { bit, bits, DeviceError, long, ports, rc, ro, rw, wo, word } from "../../src/driver/mod.ts";
import { GrantedPorts, PortBatch } from "../../src/host/ports.ts";
import { Grant, KernelError, openLibrary, PIO_DATA, PIO_WORDS, uapi } from "../../src/kernel/mod.ts";

const MAP = ports({
  DATA: word(rw(0)),
  ERROR: ro(1, { ABRT: bit(2) }),
  FEATURES: wo(1),
  STATUS: rc(7, { BSY: bit(7) }),
  COMMAND: wo(7),
});
const POINTER = ports({ ADDRESS: long(rw(4)) });

Deno.test("ports have a width, and fields that give masks", () => {
  assertEquals([MAP.DATA.width, MAP.STATUS.width, POINTER.ADDRESS.width], [2, 1, 4]);
  assertEquals([MAP.STATUS.port, MAP.STATUS.BSY.mask, MAP.ERROR.ABRT.name], [7, 0x80, "ERROR.ABRT"]);
});

Deno.test("a map that cannot be is refused when it is loaded", () => {
  assertThrows(() => ports({ A: word(rw(1)) }), RangeError, "offset 1 is not a multiple of 2");
  assertThrows(() => ports({ A: rw(1), B: ro(1) }), RangeError, "Cannot define B: A is already at 1");
  assertThrows(() => ports({ A: wo(1), B: rw(1) }), RangeError, "Cannot define B: A is already at 1");
  assertThrows(() => ports({ A: rw(1, { F: bits(8, 4) }) }), RangeError, "the port has bits 7:0");
  assertThrows(() => ports({ A: rw(1, { F: bits(4, 2), G: bit(4) }) }), RangeError, "its bits are taken");
  assertThrows(() => ports({ A: rw(1, { width: bit(0) }) }), RangeError, "the name is taken");
});

/** What one access says. */
interface Access {
  window: number;
  width: number;
  write: boolean;
  repeat: boolean;
  offset: number;
  value: number;
  buffer: number;
}

/** A grant that keeps the batches it is given; reads give 0x100 more than their place in the batch. */
function recordingGrant() {
  const batches: Access[][] = [];
  const grant = {
    pioWords: new Uint32Array(uapi.MAX_PIO * PIO_WORDS),
    pioData: new Uint8Array(PIO_DATA),
    fail: false,
    pio(count: number) {
      const bytes = new Uint8Array(this.pioWords.buffer);
      batches.push(Array.from({ length: count }, (_, i) => {
        const access = uapi.PIO_ACCESS.decode(bytes.subarray(i * uapi.PIO_ACCESS.size));
        const { window, width, flags, offset, value, reserved, buffer } = access;
        assertStrictEquals(reserved, 0);
        const write = (flags & uapi.PIO_FLAG.WRITE) !== 0;
        const repeat = (flags & uapi.PIO_FLAG.REPEAT) !== 0;
        if (repeat) this.pioData.fill(0xa0 + i, Number(buffer), Number(buffer) + value * width);
        else if (!write) this.pioWords[i * PIO_WORDS + 2] = 0x100 + i;
        return { window, width, write, repeat, offset, value, buffer: Number(buffer) };
      }));
      if (this.fail) throw new KernelError("Cannot access the device's I/O ports", 22);
    },
  };
  const batch = new PortBatch(grant);
  const task = new GrantedPorts(batch, { map: MAP, index: 1, offset: 0, length: 8, name: "BAR 0 of it" });
  const master = new GrantedPorts(batch, {
    map: POINTER,
    index: 3,
    offset: 4,
    length: 4,
    name: "BAR 4 of it",
  });
  return { batches, grant, task, master };
}

const PLAIN = { write: false, repeat: false, value: 0, buffer: 0 };

Deno.test("accesses of all windows run in the order in which they were queued, with one call", () => {
  const { batches, task, master } = recordingGrant();
  master.write(POINTER.ADDRESS, 0xfffffff0);
  task.write(MAP.COMMAND, 0x12ec);
  const status = task.read(MAP.STATUS);
  const address = master.read(POINTER.ADDRESS);
  assertEquals(batches, []);
  task.run();
  assertEquals(batches, [[
    { ...PLAIN, window: 3, width: 4, write: true, offset: 0, value: 0xfffffff0 },
    { ...PLAIN, window: 1, width: 1, write: true, offset: 7, value: 0xec },
    { ...PLAIN, window: 1, width: 1, offset: 7 },
    { ...PLAIN, window: 3, width: 4, offset: 0 },
  ]]);
  assertEquals([task.value(status), master.value(address)], [0x102, 0x103]);
  master.run();
  assertEquals([task.calls, master.calls], [1, 1], "an empty batch costs nothing");
});

Deno.test("repeated reads fill what they were given, each its own", () => {
  const { batches, task } = recordingGrant();
  const first = new Uint8Array(512);
  const second = new Uint8Array(new SharedArrayBuffer(6));
  task.readInto(MAP.DATA, first);
  task.readInto(MAP.DATA, second);
  task.run();
  assertEquals(batches[0].map(({ value, buffer, repeat }) => [value, buffer, repeat]), [
    [256, 0, true],
    [3, 512, true],
  ]);
  assertEquals([new Set(first), new Set(second)], [new Set([0xa0]), new Set([0xa1])]);
  task.readInto(MAP.DATA, new Uint8Array(4096));
  assertThrows(() => task.readInto(MAP.DATA, new Uint8Array(2)), RangeError, "it has room for 0");
  task.run();
  assertThrows(() => task.readInto(MAP.DATA, new Uint8Array(3)), RangeError, "3 bytes through a port of 2");
  assertThrows(() => task.readInto(MAP.STATUS, new Uint8Array(2)), RangeError, "a port of 1 byte");
});

Deno.test("a batch that the kernel refuses is gone, and one more access than fits is refused", () => {
  const { batches, grant, task } = recordingGrant();
  grant.fail = true;
  task.readInto(MAP.DATA, new Uint8Array(2));
  assertThrows(() => task.run(), KernelError, "Cannot access the device's I/O ports");
  grant.fail = false;
  for (let i = 0; i < uapi.MAX_PIO; i++) assertStrictEquals(task.read(MAP.STATUS), i);
  assertThrows(() => task.read(MAP.STATUS), RangeError, "64 are queued");
  task.run();
  assertStrictEquals(batches[1].length, uapi.MAX_PIO);
});

Deno.test("a port outside the window is refused when it is asked for", () => {
  const batch = new PortBatch(recordingGrant().grant);
  const window = { index: 0, offset: 0, length: 7, name: "BAR 0 of it" };
  assertThrows(
    () => new GrantedPorts(batch, { ...window, map: MAP }),
    DeviceError,
    "Cannot use BAR 0 of it: port STATUS at 7 lies outside the granted window, 0 to 7",
  );
  assertThrows(() => new GrantedPorts(batch, { ...window, map: POINTER }), DeviceError, "port ADDRESS at 4");
});

Deno.test("libring3 lets no repeated access leave the memory that is meant for it", async () => {
  const library = openLibrary(`${await buildFfi()}/libring3.so`);
  const file = library.r3_open(new TextEncoder().encode("/dev/null\0"));
  const grant = new Grant(library, file);
  const repeat = uapi.PIO_FLAG.REPEAT << 24;
  const result = (what: number, value: number, buffer: number[], count = 1) => {
    grant.pioWords.set([what, 0, value, 0, ...buffer]);
    return assertThrows(() => grant.pio(count), KernelError).errno;
  };
  // 25: it came as far as the file, which knows no such call. 22: libring3 itself refused.
  assertStrictEquals(result(2 << 16, 0, [0, 0]), 25);
  assertStrictEquals(result(2 << 16 | repeat, 2048, [0, 0]), 25);
  assertStrictEquals(result(2 << 16 | repeat, 2047, [2, 0]), 25);
  assertStrictEquals(result(2 << 16 | repeat, 2048, [2, 0]), 22);
  assertStrictEquals(result(2 << 16 | repeat, 2049, [0, 0]), 22);
  assertStrictEquals(result(4 << 16 | repeat, 0x4000_0000, [0, 0]), 22);
  assertStrictEquals(result(2 << 16 | repeat, 1, [4096, 0]), 22);
  assertStrictEquals(result(2 << 16 | repeat, 1, [0xffff_fffe, 0xffff_ffff]), 22);
  assertStrictEquals(result(0, 0, [0, 0], 65), 22);
  library.r3_close(file);
});
