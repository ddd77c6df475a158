/**
 * The calls that the tests make on descriptors of ring3.ko and that `src/kernel` has no use for.
 *
 * Why this is sound: every symbol is declared with the types of `calls.c` or `ffi/libring3.c`; buffers are
 * passed by reference for the length of one call only (those that sleep keep theirs alive until they
 * return). Views of mapped memory are made only for mappings that have succeeded; who unmaps them no longer
 * uses the view.
 */

const CALLS = "/ring3/build/tests/libcalls.so";

const { symbols } = Deno.dlopen(CALLS, {
  t_read: { parameters: ["i32", "buffer", "u64"], result: "i64" },
  t_datagrams: { parameters: ["u16", "i32"], result: "i64" },
  t_poll: { parameters: ["buffer", "i32"], result: "i64" },
  t_fcntl: { parameters: ["i32", "i32", "i32"], result: "i64" },
  t_mmap: { parameters: ["u64", "i32", "i32", "i32", "i64"], result: "i64" },
  t_mprotect: { parameters: ["u64", "u64", "i32"], result: "i64" },
  t_munmap: { parameters: ["u64", "u64"], result: "i64" },
  t_monotonic: { parameters: [], result: "i64" },
  t_wait_for_signals: { parameters: ["i32", "i32", "u32"], result: "i64" },
});

const sleepingRead = Deno.dlopen(CALLS, {
  t_read: { parameters: ["i32", "buffer", "u64"], result: "i64", nonblocking: true },
}).symbols;

const sleeping = Deno.dlopen("/ring3/build/ffi/libring3.so", {
  r3_call: { parameters: ["i32", "u32", "buffer"], result: "i32", nonblocking: true },
}).symbols;

/** Constants of Debian's amd64 headers. */
export const O_NONBLOCK = 0o4000;
const O_DIRECT = 0o40000;
export const PROT = { READ: 1, WRITE: 2, EXEC: 4 } as const;
export const MAP = { SHARED: 1, PRIVATE: 2, ANONYMOUS: 0x20 } as const;
export const POLL = { IN: 1, ERR: 8, HUP: 16 } as const;
const F_SETFD = 2;
const F_SETFL = 4;

/** read(2) into fresh bytes: their number or -errno, and the bytes. */
export function read(fd: number, size: number): { result: number; bytes: Uint8Array<ArrayBuffer> } {
  const bytes = new Uint8Array(size);
  return { result: Number(symbols.t_read(fd, bytes, BigInt(size))), bytes };
}

/** read(2) of 8 bytes on another thread, so that it may sleep. */
export async function readWaiting(fd: number): Promise<{ result: number; count: bigint }> {
  const bytes = new Uint8Array(8);
  const result = Number(await sleepingRead.t_read(fd, bytes, 8n));
  return { result, count: new DataView(bytes.buffer).getBigUint64(0, true) };
}

/** read(2) into memory of the caller's, on another thread, so that it may sleep: bytes or -errno. */
export async function readInto(fd: number, bytes: Uint8Array<ArrayBuffer>): Promise<number> {
  return Number(await sleepingRead.t_read(fd, bytes, BigInt(bytes.length)));
}

/**
 * A socket for datagrams to a port, of which `read` takes one each time, or finds none at once: the descriptor, or
 * -errno. @param room Bytes for those that nobody has read; the usual without it.
 */
export function datagrams(port: number, { room = 0 }: { room?: number } = {}): number {
  return Number(symbols.t_datagrams(port, room));
}

/** poll(2) of one descriptor for reading: the events it has, 0 after `ms`. */
export function poll(fd: number, { ms }: { ms: number }): number {
  const pollfd = new DataView(new ArrayBuffer(8));
  pollfd.setInt32(0, fd, true);
  pollfd.setInt16(4, POLL.IN, true);
  const ready = Number(symbols.t_poll(pollfd, ms));
  return ready < 0 ? ready : pollfd.getInt16(6, true);
}

/** Makes reads of a descriptor return at once, or wait. */
export function setNonblocking(fd: number, nonblocking: boolean): void {
  symbols.t_fcntl(fd, F_SETFL, nonblocking ? O_NONBLOCK : 0);
}

/** Makes reads and writes of a descriptor go past the page cache. */
export function setDirect(fd: number): void {
  symbols.t_fcntl(fd, F_SETFL, O_DIRECT);
}

/** Lets programs that this process starts have the descriptor. */
export function setInherited(fd: number): void {
  symbols.t_fcntl(fd, F_SETFD, 0);
}

/** A call of ring3.ko on another thread, so that it may sleep: 0 or more, or -errno. */
export async function callWaiting(
  fd: number,
  number: number,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<number> {
  return await sleeping.r3_call(fd, number, bytes);
}

/** The bytes at an address that `mmap` gave, until they are unmapped. */
export function view(address: number, length: number): ArrayBuffer {
  const pointer = Deno.UnsafePointer.create(BigInt(address));
  if (!pointer) throw new Error("nothing is mapped at 0");
  return Deno.UnsafePointerView.getArrayBuffer(pointer, length);
}

/** mmap(2): the address, or -errno. */
export function mmap(
  fd: number,
  length: number,
  { offset = 0n, prot = PROT.READ | PROT.WRITE, flags = MAP.SHARED as number }: {
    offset?: bigint;
    prot?: number;
    flags?: number;
  } = {},
): number {
  return Number(symbols.t_mmap(BigInt(length), prot, flags, fd, offset));
}

/** mprotect(2): 0 or -errno. */
export function mprotect(address: number, { length, prot }: { length: number; prot: number }): number {
  return Number(symbols.t_mprotect(BigInt(address), BigInt(length), prot));
}

/** CLOCK_MONOTONIC in milliseconds, the clock of STATUS' times. */
export function monotonicMs(): number {
  return Number(symbols.t_monotonic()) / 1e6;
}

/** So many WAITs of a grant, each ended by a message of its claim's 100 us after it has begun. Result or -errno. */
export function waitForSignals(grant: number, claim: number, count: number): number {
  return Number(symbols.t_wait_for_signals(grant, claim, count));
}

/** munmap(2). */
export function munmap(address: number, length: number): void {
  symbols.t_munmap(BigInt(address), BigInt(length));
}
