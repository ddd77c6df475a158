/**
 * What the programs in this folder share. Each is a list of cases about one area of ring3.ko; it runs in the
 * lab as root, and its last line of output is the cases' results as JSON.
 */
import { assert, assertEquals } from "@std/assert";
import {
  check,
  Claim,
  ERRNO,
  Grant,
  type GrantRequest,
  type Library,
  openLibrary,
  Ring3,
  uapi,
} from "../../../src/kernel/mod.ts";
import type { Channel } from "../../../src/driver/rings.ts";
import { channelsIn } from "../../../src/host/channels.ts";
import { bind } from "../../../src/pci.ts";
import { loadModule } from "../../../src/run/files.ts";

// deno-lint-ignore ring/unsafe-imports -- tests make calls that the project itself has no use for
import * as libc from "./calls_unsafe.ts";

export { libc };

/** How one case went; `detail` says why it failed. */
export interface CaseResult {
  name: string;
  ok: boolean;
  detail: string;
}

/** `libring3.so`. */
export const library: Library = openLibrary("/ring3/build/ffi/libring3.so");

/** Where the host has put the C part of the tests. */
export const CHILD = "/ring3/build/tests/child";

/** The card that the tests are about. */
export const ADDRESS: string = Deno.args[0];

/** Registers of the 8254x that make it interrupt without traffic, manual §13.4.17 to §13.4.21. */
export const REG = { ICR: 0xc0, ICS: 0xc8, IMS: 0xd0, IMC: 0xd8 } as const;
/** Cause "link status change": any bit does. */
export const CAUSE = 4;

/** Bytes of BAR 0. */
export const BAR_SIZE = 128 * 1024;
export const PAGE = 4096;

/** A grant of everything that the cases need, to be varied. */
export const REQUEST: GrantRequest = {
  windows: [{ bar: 0, offset: 0, length: BAR_SIZE }],
  irqs: 1,
  irqType: uapi.IRQ_TYPE.intx,
  dmaBits: 64,
  dmaLimit: 1024 * 1024,
  stallMs: 0,
};

/** What a structure of the contract offers to hostile callers. */
export interface CallLayout {
  readonly size: number;
  encode(values: Record<string, unknown>): Uint8Array<ArrayBuffer>;
  decode(bytes: Uint8Array): Record<string, unknown>;
}

/** Makes a call with the values given and returns what the kernel does, 0 or more or -errno, and the answer. */
export function raw(
  fd: number,
  number: number,
  { layout, values = {} }: { layout: CallLayout; values?: Record<string, unknown> },
): { result: number; out: Record<string, unknown> } {
  const bytes = layout.encode({ argsz: layout.size, ...values });
  const result = library.r3_call(fd, number, bytes);
  return { result, out: layout.decode(bytes) };
}

/** The errno's name, for comparisons that explain themselves. */
export function errnoName(result: number): string {
  const found = Object.entries(ERRNO).find(([, errno]) => errno === -result);
  return found ? found[0] : result < 0 ? `error ${-result}` : `${result}`;
}

/** Fails unless the call was refused with that error. */
export function assertErrno(result: number, errno: keyof typeof ERRNO, what = ""): void {
  assertEquals(errnoName(result), errno, what);
}

/** Opens `/dev/ring3` for calls that its class does not make. */
export function openDevice(): number {
  return check(library.r3_open(new TextEncoder().encode("/dev/ring3\0")), "Cannot open /dev/ring3");
}

/** A claim with its descriptor at hand. */
export class RawClaim extends Claim {
  readonly fd: number;

  constructor(fd: number) {
    super(library, fd);
    this.fd = fd;
  }
}

/** Claims a card with the descriptor at hand. */
export function claimCard(address = ADDRESS): RawClaim {
  const device = openDevice();
  const { result } = raw(device, uapi.CALL.CLAIM, { layout: uapi.CLAIM_ARGS, values: { address } });
  library.r3_close(device);
  return new RawClaim(check(result, `Cannot claim ${address}`));
}

/** A grant with its descriptor at hand; disposing it is the death of its process. */
export class RawGrant extends Grant implements Disposable {
  readonly fd: number;
  readonly #mapped: { address: number; length: number }[] = [];
  readonly #irqFiles: number[] = [];
  #open = true;

  constructor(fd: number) {
    super(library, fd);
    this.fd = fd;
  }

  [Symbol.dispose](): void {
    for (const fd of this.#irqFiles.splice(0)) library.r3_close(fd);
    for (const { address, length } of this.#mapped.splice(0)) libc.munmap(address, length);
    if (this.#open) library.r3_close(this.fd);
    this.#open = false;
  }

  /** Maps part of the grant until it is disposed of; `map` would hold it for as long as the buffer lives. */
  view(offset: bigint, length: number): ArrayBuffer {
    const address = check(libc.mmap(this.fd, length, { offset }), "Cannot map granted memory");
    this.#mapped.push({ address, length });
    return libc.view(address, length);
  }

  /** The channels of its port, each with its control block, mapped until it is disposed of. */
  channels(): { channel: Channel; control: Int32Array }[] {
    const info = this.info();
    const region = this.view(info.port_mmap_offset, Number(info.port_mmap_length));
    return channelsIn(region, this).map(({ channel }, index) => ({
      channel,
      control: new Int32Array(region, info.channel[index].control, uapi.CHANNEL_CONTROL.size / 4),
    }));
  }

  /** BAR 0, as words. */
  registers(): Uint32Array {
    return new Uint32Array(this.view(this.info().window[0].mmap_offset, BAR_SIZE));
  }

  /** Opens the IRQ file of vector 0, until the grant is disposed of. */
  irqFile(): number {
    const { result } = raw(this.fd, uapi.CALL.IRQ, { layout: uapi.IRQ });
    this.#irqFiles.push(check(result, "Cannot open the IRQ file"));
    return result;
  }

  /** Makes WAIT without a time limit on another thread; 0 or -errno, and what has happened. */
  async waitForever(): Promise<{ result: number; events: number; irqs: number }> {
    const bytes = uapi.WAIT.encode({ argsz: uapi.WAIT.size, timeout_us: uapi.WAIT_FOREVER });
    const result = await libc.callWaiting(this.fd, uapi.CALL.WAIT, bytes);
    const { events, irqs } = uapi.WAIT.decode(bytes);
    return { result, events, irqs };
  }

  /** Makes WAIT; 0 or -errno, and what has happened. */
  waitOnce({ timeout = 0, kick = 0 } = {}): { result: number; events: number; irqs: number } {
    const { result, out } = raw(this.fd, uapi.CALL.WAIT, {
      layout: uapi.WAIT,
      values: { kick, timeout_us: timeout },
    });
    return { result, events: out.events as number, irqs: out.irqs as number };
  }
}

/** Makes a grant with the descriptor at hand. */
export function grantOf(claim: Claim, request: Partial<GrantRequest> = {}): RawGrant {
  return new RawGrant(claim.grant({ ...REQUEST, ...request }));
}

/** Makes the card assert its interrupt until `quiet`. */
export function interrupt(registers: Uint32Array): void {
  registers[REG.IMS >> 2] = CAUSE;
  registers[REG.ICS >> 2] = CAUSE;
}

/** Makes the card stop asserting its interrupt. Returns its cause register. */
export function quiet(registers: Uint32Array): number {
  return registers[REG.ICR >> 2];
}

/** Lets time pass. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Waits until something holds, and fails if it does not within two seconds. */
export async function eventually(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = performance.now() + 2000;
  while (!await holds()) {
    assert(performance.now() < deadline, `not within 2 s: ${what}`);
    await sleep(5);
  }
}

/** A running C child, which says a line at a time and goes on when it is told. */
export class Child {
  readonly process: Deno.ChildProcess;
  readonly #lines: ReadableStreamDefaultReader<string>;
  #rest = "";

  /** @param before A program that starts it, with its arguments. */
  constructor(args: (string | number | bigint)[], { before = [] as string[] } = {}) {
    const [command, ...rest] = [...before, CHILD, ...args.map(String)];
    this.process = new Deno.Command(command, { args: rest, stdin: "piped", stdout: "piped" }).spawn();
    this.#lines = this.process.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** Its next line; empty at its end. */
  async line(): Promise<string> {
    while (!this.#rest.includes("\n")) {
      const { value, done } = await this.#lines.read();
      if (done) return "";
      this.#rest += value;
    }
    const at = this.#rest.indexOf("\n");
    const line = this.#rest.slice(0, at);
    this.#rest = this.#rest.slice(at + 1);
    return line;
  }

  /** Lets it go on. */
  async go(): Promise<void> {
    const writer = this.process.stdin.getWriter();
    await writer.write(new TextEncoder().encode("\n"));
    writer.releaseLock();
  }

  /** Waits for its end: the signal that killed it, or its exit status. */
  async end(): Promise<string | number> {
    while (await this.line());
    const { code, signal } = await this.process.status;
    await this.process.stdin.abort().catch(() => {});
    return signal ?? code;
  }
}

/** Runs the cases one after the other and prints their results. Each must leave nothing of its own behind. */
export async function runCases(cases: Record<string, () => void | Promise<void>>): Promise<void> {
  await loadModule();
  await bind(ADDRESS, "ring3", { take: true });
  const results: CaseResult[] = [];
  for (const [name, run] of Object.entries(cases)) {
    let detail = "";
    try {
      await run();
      await eventually(nothingHeld, "all counters are zero after the case");
    } catch (error) {
      detail = error instanceof Error ? error.stack ?? error.message : String(error);
    }
    results.push({ name, ok: detail === "", detail });
  }
  console.log(JSON.stringify(results));
}

function nothingHeld(): boolean {
  using ring3 = new Ring3(library);
  return Object.values(ring3.totals().counters).every((count) => Number(count) === 0);
}
