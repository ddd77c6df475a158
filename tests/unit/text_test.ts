/** Sizes and suggestions: what people write and what they are told. */
import { assertEquals, assertMatch } from "@std/assert";
import { formatSize, grouped, parseSize } from "../../src/size.ts";
import { didYouMean, nearest } from "../../src/suggest.ts";

Deno.test("sizes have binary units", () => {
  assertEquals(parseSize("128KiB"), 131072);
  assertEquals(parseSize("4MiB"), 4 * 2 ** 20);
  assertEquals(parseSize("1GiB"), 2 ** 30);
  assertEquals(parseSize("0KiB"), 0);
});

Deno.test("a size that is none says what to write", () => {
  const cases: [string, RegExp][] = [
    ["128KB", /write "128KiB" \(1 KiB is 1,024 bytes\)/],
    ["128 KiB", /write "128KiB"/],
    ["128kib", /write "128KiB"/],
    ["4M", /write "4MiB"/],
    ["2g", /write "2GiB"/],
    ["4096", /without quotes, 4096/],
    ["4096B", /without quotes, 4096/],
    ["1TiB", /unit is not KiB, MiB or GiB/],
    ["1.5MiB", /"1.5MiB" is not a size; write it as/],
    ["-1KiB", /write it as/],
    ["", /write it as/],
    ["big", /write it as/],
    ["9999999999999GiB", /too large/],
  ];
  for (const [text, reason] of cases) assertMatch(String(parseSize(text)), reason, text);
});

Deno.test("sizes are written in the largest unit that divides them", () => {
  assertEquals(formatSize(131072), "128 KiB");
  assertEquals(formatSize(2 ** 26), "64 MiB");
  assertEquals(formatSize(2 ** 30), "1 GiB");
  assertEquals(formatSize(1), "1 byte");
  assertEquals(formatSize(0), "0 bytes");
  assertEquals(formatSize(131073), "131,073 bytes");
  assertEquals(grouped(1234567.4), "1,234,567");
});

Deno.test("the nearest word is suggested only if it is near", () => {
  const words = ["status", "list", "lab", "run"];
  assertEquals(nearest("stauts", words), "status");
  assertEquals(nearest("lsit", words), "list");
  assertEquals(nearest("STATUS", words), "status");
  assertEquals(nearest("stat", words), "status");
  assertEquals(nearest("remove", words), undefined);
  assertEquals(nearest("x", words), undefined);
  assertEquals(nearest("", words), undefined);
  assertEquals(didYouMean("rum", words), '; did you mean "run"?');
  assertEquals(didYouMean("xyzzy", words), "");
});
