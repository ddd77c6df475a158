/** Memory that processes share: mapping what a descriptor stands for, and making memory to pass on. */
import { check } from "./errors.ts";
import type { GrantCalls, Library } from "./library_unsafe.ts";

/** Taken before it is taken away from drivers. An interpreting V8 has none. */
const Memory = globalThis.WebAssembly?.Memory;

/** Bytes of a WebAssembly page, the unit in which shared memory is made. */
const WASM_PAGE = 64 * 1024;

/**
 * Maps `length` bytes of a grant or of `SharedMemory`. The mapping stays as long as the buffer, whatever
 * becomes of the descriptor.
 * @throws {KernelError} beginning with `action`; EPERM once mapping is sealed.
 */
export function mapMemory(library: Pick<GrantCalls, "r3_map">, fd: number, { offset = 0n, length, action }: {
  offset?: bigint;
  length: number;
  action: string;
}): SharedArrayBuffer {
  const memory = wholePages(length);
  check(library.r3_map(fd, offset, BigInt(length), new Uint8Array(memory)), action);
  return memory;
}

/** Shared memory of at least this length, in pages that hold nothing else. */
function wholePages(length: number): SharedArrayBuffer {
  const pages = Math.ceil(length / WASM_PAGE);
  // What could grow is in pages of its own too, but compiled code is
  // slower with it.
  if (!Memory) {
    return new SharedArrayBuffer(pages * WASM_PAGE, { maxByteLength: pages * WASM_PAGE });
  }
  const memory = new Memory({ initial: pages, maximum: pages, shared: true });
  // With `shared`, the buffer is a SharedArrayBuffer; the FFI takes a view of one as it takes any other.
  return memory.buffer as unknown as SharedArrayBuffer;
}

/**
 * Zeroed memory of a size that nobody can change, for another process to write. It is read by copying, so
 * that its maker, which may outlive many writers, maps nothing.
 */
export class SharedMemory implements Disposable {
  /** To be passed on. It is closed with this object; whoever has received it keeps the memory. */
  readonly fd: number;
  /** Bytes. */
  readonly length: number;
  readonly #library: Library;

  /** @throws {KernelError} if there is no memory or descriptor left, or the library is sealed (EPERM). */
  constructor(library: Library, length: number) {
    this.#library = library;
    this.length = length;
    this.fd = check(library.r3_memory(BigInt(length)), `Cannot make ${length} bytes of shared memory`);
  }

  /** All of it as it is now, copied in rising order of addresses; a writer may go on meanwhile. */
  copy(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(this.length);
    for (let at = 0; at < bytes.length;) {
      const rest = bytes.subarray(at);
      // Its size is sealed, so that it does not end before.
      at += check(
        this.#library.r3_read(this.fd, BigInt(at), rest, rest.length),
        "Cannot read shared memory",
      );
    }
    return bytes;
  }

  [Symbol.dispose](): void {
    this.#library.r3_close(this.fd);
  }
}
