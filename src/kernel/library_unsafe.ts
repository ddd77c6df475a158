/**
 * The one place that opens `libring3.so`.
 *
 * Why this is sound: every symbol is declared with the types of `ffi/libring3.c`; buffers are passed by
 * reference and only for the length of a call, but for `map`, whose target stays valid because the pages
 * belong to a `WebAssembly.Memory` that the caller keeps, and which V8 never moves, grows (maximum =
 * initial) or returns to the system while a view of it lives. No pointer crosses into JavaScript.
 */

const SYMBOLS = {
  r3_seal: { parameters: ["i32"], result: "i32" },
  r3_seal_mapped: { parameters: [], result: "i32" },
  r3_open: { parameters: ["buffer"], result: "i32" },
  r3_close: { parameters: ["i32"], result: "i32" },
  r3_memory: { parameters: ["u64"], result: "i32" },
  r3_read: { parameters: ["i32", "u64", "buffer", "u32"], result: "i32" },
  r3_call: { parameters: ["i32", "u32", "buffer"], result: "i32" },
  r3_now: { parameters: [], result: "f64" },
  r3_pio: { parameters: ["i32", "buffer", "u32", "buffer", "u32"], result: "i32" },
  r3_map: { parameters: ["i32", "u64", "u64", "buffer"], result: "i32" },
  r3_socketpair: { parameters: ["buffer"], result: "i32" },
  r3_send: { parameters: ["i32", "buffer", "u32", "i32"], result: "i32" },
  r3_receive: { parameters: ["i32", "buffer", "u32", "buffer", "i32"], result: "i32" },
  r3_poll: { parameters: ["i32", "i32"], result: "i32", nonblocking: true },
} as const satisfies Deno.ForeignLibraryInterface;

/** The functions of `libring3.so`; each returns zero or more, or -errno. */
export type Library = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

/** What a grant needs of it. */
export type GrantCalls = Pick<Library, "r3_call" | "r3_map" | "r3_now" | "r3_pio">;

/**
 * Opens the library.
 * @throws {Error} if there is no such file, or it is not this library.
 */
export function openLibrary(path: string): Library {
  return Deno.dlopen(path, SYMBOLS).symbols;
}
