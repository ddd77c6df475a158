import { assertEquals, assertThrows } from "@std/assert";
import { struct, u16, u32, u64, u8 } from "../../src/driver/mod.ts";

Deno.test("struct lays members out as C does", () => {
  const layout = struct({ a: u8, b: u16, c: u8, d: u64, e: u32, f: u8 }, { size: 24 });
  assertEquals(
    { a: layout.a, b: layout.b, c: layout.c, d: layout.d, e: layout.e, f: layout.f },
    {
      a: { byte: 0, word: 0, shift: 0, width: 1 },
      b: { byte: 2, word: 0, shift: 16, width: 2 },
      c: { byte: 4, word: 1, shift: 0, width: 1 },
      d: { byte: 8, word: 2, shift: 0, width: 8 },
      e: { byte: 16, word: 4, shift: 0, width: 4 },
      f: { byte: 20, word: 5, shift: 0, width: 1 },
    },
  );
  assertEquals([layout.size, layout.words], [24, 6]);
});

Deno.test("struct refuses a size that the members do not come to", () => {
  assertThrows(
    () => struct({ address: u64, length: u16 }, { size: 10 }),
    RangeError,
    "Cannot lay out { address, length }: it comes to 16 bytes, not 10",
  );
  assertThrows(() => struct({ a: u16 }, { size: 2 }), RangeError, "which must be a multiple of 4");
  assertThrows(() => struct({ size: u32 }, { size: 4 }), RangeError, "no member may be called size");
});
