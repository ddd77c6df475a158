import { check, ERRNO, KernelError } from "./errors.ts";
import type { Struct, Value } from "./layout.ts";
import type { GrantCalls, Library } from "./library_unsafe.ts";
import {
  ABI_VERSION,
  BLOCK_POLICY,
  CALL,
  CHANNEL,
  CHANNELS,
  CLAIM_ARGS,
  GRANT_ARGS,
  PORT_BLOCK,
  PORT_DOWN,
  PORT_NET,
  REVOKE,
  SIGNAL,
  STATUS,
  TOTALS,
  type WINDOW,
} from "./uapi.ts";

// deno-lint-ignore no-explicit-any -- any structure: its field types do not matter here
type AnyStruct = Struct<any>;

/** Makes a call with a structure in, and gives the structure that comes out, which is decoded if it is looked at. */
export function call<S extends AnyStruct>(
  library: Pick<GrantCalls, "r3_call">,
  fd: number,
  { number, layout, values = {}, action, detail }: {
    number: number;
    layout: S;
    values?: Partial<Value<S>>;
    action: string;
    detail?: () => string;
  },
): { result: number; out: Value<S> } {
  const bytes = layout.encode({ ...values, argsz: layout.size });
  const result = check(library.r3_call(fd, number, bytes), action, detail);
  return {
    result,
    get out() {
      return layout.decode(bytes) as Value<S>;
    },
  };
}

function cString(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text + "\0");
}

/** What a grant is to hold. */
export interface GrantRequest {
  windows: { bar: number; offset: number; length: number }[];
  irqs: number;
  /** `IRQ_TYPE`; none lets the kernel choose. */
  irqType: number;
  /** Address bits the device drives, 24 to 64. */
  dmaBits: number;
  /** Bytes of coherent and pinned memory. */
  dmaLimit: number;
  /** Milliseconds that work may wait for the driver's WAIT before the kernel ends the grant; 0: for ever. */
  stallMs: number;
}

/** What a block port is to be; times in milliseconds. */
export interface BlockPortRequest {
  /** Pairs of rings. */
  queues: number;
  /** Entries in each ring, a power of two. */
  ring: number;
  /** Of the disk, or a pattern as `r3b%d`. */
  name: string;
  /** What becomes of requests in flight when a driver ends. */
  onDeath: keyof typeof BLOCK_POLICY;
  /** How long requests wait for a driver before they fail. */
  hold: number;
  /** How long a driver may keep a request before it loses its grant. */
  request: number;
}

/** One pair of rings of a grant. The counters run freely modulo 2³². */
export interface ChannelState {
  kind: "transmit" | "receive" | "request";
  /** Entries in each ring. */
  size: number;
  /** Submissions shown to the driver; the kernel's own count. */
  submitted: number;
  /** Of those, what the driver says it has seen. */
  seen: number;
  /** Completions that the driver says it has shown. */
  completed: number;
  /** Completions taken; the kernel's own count. */
  reaped: number;
}

const CHANNEL_KIND: Record<number, ChannelState["kind"]> = {
  [CHANNEL.netTx]: "transmit",
  [CHANNEL.netRx]: "receive",
  [CHANNEL.block]: "request",
};

/** `/dev/ring3`. */
export class Ring3 implements Disposable {
  readonly #library: Library;
  readonly #fd: number;

  /** @throws {KernelError} if the module is not loaded, speaks another version, or this is not root. */
  constructor(library: Library, path = "/dev/ring3") {
    this.#library = library;
    this.#fd = library.r3_open(cString(path));
    if (this.#fd === -ERRNO.ENOENT) {
      throw new KernelError(`Cannot open ${path}`, ERRNO.ENOENT, { detail: "ring3.ko is not loaded" });
    }
    check(this.#fd, `Cannot open ${path}`);
    const version = this.totals().abi_version;
    if (version !== ABI_VERSION) {
      throw new Error(
        `The loaded ring3.ko speaks version ${version}, this tree version ${ABI_VERSION}: reload it`,
      );
    }
  }

  /** Counters of the whole module. */
  totals(): Value<typeof TOTALS> {
    const action = "Cannot read the totals of ring3.ko";
    return call(this.#library, this.#fd, { number: CALL.TOTALS, layout: TOTALS, action }).out;
  }

  /**
   * Takes a device that is bound to ring3.
   * @throws {KernelError} ENXIO no such function, ENODEV not bound to ring3, EBUSY claimed already.
   */
  claim(address: string): Claim {
    const action = `Cannot claim ${address}`;
    const { result } = call(this.#library, this.#fd, {
      number: CALL.CLAIM,
      layout: CLAIM_ARGS,
      values: { address },
      action,
    });
    return new Claim(this.#library, result);
  }

  [Symbol.dispose](): void {
    this.#library.r3_close(this.#fd);
  }
}

/** Exclusive hold of one device. Disposing it ends its grant and its port. */
export class Claim implements Disposable {
  readonly #library: Library;
  readonly #fd: number;

  constructor(library: Library, fd: number) {
    this.#library = library;
    this.#fd = fd;
  }

  /** What the kernel says of the last refusal, in words. */
  #text(): string {
    return this.status().text;
  }

  /** Makes the network port. The interface appears when the first driver attaches. */
  portNet({ queues, ring, name }: { queues: number; ring: number; name: string }): void {
    call(this.#library, this.#fd, {
      number: CALL.PORT_NET,
      layout: PORT_NET,
      values: { queues, ring_size: ring, name },
      action: "Cannot make the network port",
      detail: () => this.#text(),
    });
  }

  /** Makes the block port. The disk appears when the first driver attaches. */
  portBlock({ queues, ring, name, onDeath, hold, request }: BlockPortRequest): void {
    call(this.#library, this.#fd, {
      number: CALL.PORT_BLOCK,
      layout: PORT_BLOCK,
      values: {
        queues,
        ring_size: ring,
        name,
        policy: BLOCK_POLICY[onDeath],
        hold_ms: hold,
        request_ms: request,
      },
      action: "Cannot make the block port",
      detail: () => this.#text(),
    });
  }

  /** Makes a grant; the descriptor is the caller's to pass on and to close. */
  grant(request: GrantRequest): number {
    const window: Value<typeof WINDOW>[] = request.windows.map(({ bar, offset, length }) => ({
      bar,
      flags: 0,
      offset: BigInt(offset),
      length: BigInt(length),
    }));
    const { result } = call(this.#library, this.#fd, {
      number: CALL.GRANT,
      layout: GRANT_ARGS,
      values: {
        windows: window.length,
        irqs: request.irqs,
        irq_type: request.irqType,
        dma_bits: request.dmaBits,
        dma_limit: BigInt(request.dmaLimit),
        stall_ms: request.stallMs,
        window,
      },
      action: "Cannot make the grant",
      detail: () => this.#text(),
    });
    return result;
  }

  /** State, counters and the last error in words. */
  status(): Value<typeof STATUS> {
    const action = "Cannot read the claim's status";
    return call(this.#library, this.#fd, { number: CALL.STATUS, layout: STATUS, action }).out;
  }

  /**
   * The rings of the live grant, or else as they were when the last one began to end.
   * @throws {KernelError} ENOENT if no grant of this claim has had a port.
   */
  channels(): ChannelState[] {
    const action = "Cannot read the rings' counters";
    const { out } = call(this.#library, this.#fd, { number: CALL.CHANNELS, layout: CHANNELS, action });
    return out.state.map((state) => ({ ...state, kind: CHANNEL_KIND[state.kind] }));
  }

  /** Ends the driver's WAIT: it has a message to read. */
  signal(): void {
    call(this.#library, this.#fd, {
      number: CALL.SIGNAL,
      layout: SIGNAL,
      action: "Cannot signal the driver",
    });
  }

  /** Takes the grant back, whatever its process does. False if there is none, as when the device has gone. */
  revoke(): boolean {
    const result = this.#library.r3_call(
      this.#fd,
      CALL.REVOKE,
      REVOKE.encode({ argsz: REVOKE.size }),
    );
    if (result === -ERRNO.ENOENT || result === -ERRNO.ENODEV) return false;
    check(result, "Cannot revoke the grant");
    return true;
  }

  /** Takes the port's link down until the next driver attaches. False if there is no port, or the device has gone. */
  portDown(): boolean {
    const bytes = PORT_DOWN.encode({ argsz: PORT_DOWN.size });
    const result = this.#library.r3_call(this.#fd, CALL.PORT_DOWN, bytes);
    if (result === -ERRNO.ENOENT || result === -ERRNO.ENODEV) return false;
    check(result, "Cannot take the port down");
    return true;
  }

  /** Resolves when the claim has news, to be read with `status`, or after `ms`: false. */
  async changed({ ms }: { ms: number }): Promise<boolean> {
    return check(await this.#library.r3_poll(this.#fd, ms), "Cannot watch the claim") !== 0;
  }

  [Symbol.dispose](): void {
    this.#library.r3_close(this.#fd);
  }
}
