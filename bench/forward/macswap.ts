/** Sends every frame back with its two MAC addresses swapped, and with nothing else changed. */
import { defineProgram } from "../../src/driver/mod.ts";

export default defineProgram({
  frame(bytes, at, length) {
    for (let to = at, from = at + 6; to < at + 6; to++, from++) {
      const byte = bytes[to];
      bytes[to] = bytes[from];
      bytes[from] = byte;
    }
    return length;
  },
});
