/** A disk's driver without a disk, and programs that use what it serves. */
import { assert } from "@std/assert";
import {
  completeBlock,
  failBlock,
  isForced,
  operationOf,
  requestEntries,
  sectorsOf,
} from "../../../src/block/request.ts";
import { type Channel, CONTROL, ENTRY, LENGTH_MASK } from "../../../src/driver/rings.ts";
import { type BlockPortRequest, check, ERRNO, uapi } from "../../../src/kernel/mod.ts";
import { claimCard, grantOf, libc, library, type RawClaim, type RawGrant, sleep } from "./harness.ts";

export const RING = 64;
export const DISK = "r3t0";
/** 1 MiB. */
export const SECTORS = 2048;

/** Text as an attach has it. */
export function padded(text: string, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  new TextEncoder().encodeInto(text, bytes);
  return bytes;
}

/** What a simple driver says of its disk. */
export const ATTACH = {
  sectors: BigInt(SECTORS),
  boundary: 65536n,
  logical_block: 512,
  physical_block: 4096,
  max_sectors: 256,
  max_segments: 16,
  max_segment: 65536,
  alignment: 512,
  depth: 16,
  queues: 1,
  max_discard: 1024,
  features: uapi.BLOCK_FEATURE.CACHE | uapi.BLOCK_FEATURE.FUA | uapi.BLOCK_FEATURE.DISCARD |
    uapi.BLOCK_FEATURE.ZEROES,
  model: padded("Fake disk  ", 40),
  serial: padded("F-1", 24),
};

/** A port as the cases want it, to be varied. */
export const PORT: BlockPortRequest = {
  queues: 1,
  ring: RING,
  name: "r3t%d",
  onDeath: "reissue",
  hold: 20_000,
  request: 20_000,
};

/** A claim with a block port on it; what it is a claim of does not matter. */
export function claimWithDisk(port: Partial<BlockPortRequest> = {}, address?: string): RawClaim {
  const claim = claimCard(address);
  claim.portBlock({ ...PORT, ...port });
  return claim;
}

/** A request as it was in the ring. */
export interface Request {
  queue: number;
  token: number;
  /** One of `OPERATION`. */
  operation: number;
  forced: boolean;
  sector: number;
  sectors: number;
  segments: { address: number; length: number }[];
}

/** Says what becomes of a request: undefined done, a number one of `BLOCK_ERROR`, "keep" nothing for now. */
export type Handler = (request: Request) => number | "keep" | undefined;

/** A driver without a disk: it does nothing, and says that it is done, or what it is told to say. */
export class FakeDisk implements Disposable {
  readonly grant: RawGrant;
  readonly queues: Channel[];
  /** Requests that a handler has kept. */
  readonly kept: Request[] = [];
  readonly #channels: ReturnType<RawGrant["channels"]>;
  #lied = false;

  constructor(claim: RawClaim, attach: Partial<typeof ATTACH> = {}, { stallMs = 0 } = {}) {
    this.grant = grantOf(claim, { windows: [], irqs: 0, stallMs });
    this.#channels = this.grant.channels();
    this.queues = this.#channels.map(({ channel }) => channel);
    this.grant.attachBlock({ ...ATTACH, ...attach });
  }

  /** Takes all requests that there are. */
  take(): Request[] {
    return this.queues.flatMap((channel, queue) => {
      const requests: Request[] = [];
      for (let left = channel.available(); left > 0;) {
        const entries = requestEntries(channel, left);
        assert(entries > 0, "a request is shown whole");
        requests.push(readRequest(channel, { queue, entries }));
        left -= entries;
      }
      return requests;
    });
  }

  /** Ends a request; `kick` shows it. */
  end({ queue, token, sectors }: Request, error?: number): void {
    if (error === undefined) completeBlock(this.queues[queue], token, sectors);
    else failBlock(this.queues[queue], token, error);
  }

  /** Puts a counter where it cannot be. */
  claimCompleted(queue: number, count: number): void {
    Atomics.store(this.#channels[queue].control, CONTROL.COMPLETED, count);
    this.#lied = true;
  }

  /** Shows the kernel what has been completed, and has it look. */
  kick(): ReturnType<RawGrant["waitOnce"]> {
    // Publishing would put a counter right that a lie has put wrong.
    if (!this.#lied) { for (const channel of this.queues) channel.publish(); }
    return this.grant.waitOnce({ kick: (1 << this.queues.length) - 1 });
  }

  /** Serves until `until` is settled; gives its value and the requests that there were. */
  async serve<T>(
    until: Promise<T>,
    handle: Handler = () => undefined,
  ): Promise<{ value: T; requests: Request[] }> {
    const requests: Request[] = [];
    const deadline = performance.now() + 20_000;
    let settled = false;
    const mark = () => settled = true;
    until.then(mark, mark);
    while (!settled) {
      assert(performance.now() < deadline, "not within 20 s: an end of what is served for");
      for (const request of this.take()) {
        requests.push(request);
        const say = handle(request);
        if (say === "keep") this.kept.push(request);
        else this.end(request, say);
      }
      this.kick();
      await sleep(1);
    }
    return { value: await until, requests };
  }

  /** Serves until the kernel has read what it reads of a new disk. */
  async settle(name = DISK): Promise<void> {
    await this.serve(quietSince(this, name));
  }

  [Symbol.dispose](): void {
    this.grant[Symbol.dispose]();
  }
}

function readRequest(
  channel: Channel,
  { queue, entries }: { queue: number; entries: number },
): Request {
  const words = channel.submissions;
  const at = channel.take();
  const word = words[at + ENTRY.LENGTH_FLAGS];
  const token = words[at + ENTRY.TOKEN];
  const request: Request = {
    queue,
    token,
    operation: operationOf(word),
    forced: isForced(word),
    sector: words[at + ENTRY.ADDRESS_HIGH] * 2 ** 32 + words[at + ENTRY.ADDRESS_LOW],
    sectors: sectorsOf(word),
    segments: [],
  };
  for (let i = 1; i < entries; i++) {
    const segment = channel.take();
    assert(words[segment + ENTRY.TOKEN] === token, "all entries of a request have its token");
    request.segments.push({
      address: words[segment + ENTRY.ADDRESS_HIGH] * 2 ** 32 + words[segment + ENTRY.ADDRESS_LOW],
      length: words[segment + ENTRY.LENGTH_FLAGS] & LENGTH_MASK,
    });
  }
  return request;
}

/** Resolves when the disk is there, and for a while nothing has been asked of it. */
async function quietSince({ queues }: FakeDisk, name: string): Promise<void> {
  const deadline = performance.now() + 10_000;
  let seen = -1;
  let quiet = 0;
  while (quiet < 10) {
    assert(performance.now() < deadline, `/dev/${name} is not there within 10 s`);
    await sleep(20);
    const now = queues.reduce((sum, channel) => sum + channel.peek(0), 0);
    quiet = now === seen && await exists(name) ? quiet + 1 : 0;
    seen = now;
  }
}

/** Whether the disk is there. */
export async function exists(name = DISK): Promise<boolean> {
  return await Deno.stat(`/dev/${name}`).then(() => true, () => false);
}

/** A file of the disk's in sysfs. */
export async function sysfs(name: string): Promise<string> {
  return (await Deno.readTextFile(`/sys/block/${DISK}/${name}`)).trim();
}

/** Runs a program; what it printed, and its status. */
export async function run(program: string, ...args: string[]): Promise<{ code: number; text: string }> {
  const { code, stdout, stderr } = await new Deno.Command(program, { args }).output();
  const decoder = new TextDecoder();
  return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
}

/** Writes zeroes past the page cache; the status of dd(1). */
export async function write(sector: number, sectors: number, ...more: string[]): Promise<number> {
  const blocks = [`bs=${sectors * 512}`, "count=1", `seek=${sector * 512}`];
  const flags = ["if=/dev/zero", `of=/dev/${DISK}`, "oflag=direct,seek_bytes", "conv=notrunc", ...more];
  return (await run("dd", ...blocks, ...flags)).code;
}

/** The disk, open past the page cache. */
export class OpenDisk implements Disposable {
  readonly #fd: number;

  constructor(name = DISK) {
    this.#fd = check(library.r3_open(new TextEncoder().encode(`/dev/${name}\0`)), `Cannot open /dev/${name}`);
    libc.setDirect(this.#fd);
  }

  /** Reads on another thread into memory of the caller's: bytes or -errno. */
  read(into: Uint8Array<ArrayBuffer>): Promise<number> {
    return libc.readInto(this.#fd, into);
  }

  [Symbol.dispose](): void {
    library.r3_close(this.#fd);
  }
}

/** Whole pages, for reads past the page cache: the process's own, or of a file that has no name. */
export function pages(length: number, { shared = false } = {}): Uint8Array<ArrayBuffer> {
  const flags = (shared ? libc.MAP.SHARED : libc.MAP.PRIVATE) | libc.MAP.ANONYMOUS;
  const address = check(libc.mmap(-1, length, { flags }), "Cannot map memory");
  return new Uint8Array(libc.view(address, length));
}

/** Numbers that `ERRNO` has no use for. */
export const ERRNO_IO = { EIO: 5, ENODATA: 61, ETIMEDOUT: 110, EREMOTEIO: 121, ...ERRNO } as const;
