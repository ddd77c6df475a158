/** Registers and I/O ports with a fault between them and the driver. */
import type {
  AnyRegisterMap,
  Device,
  Field,
  Port,
  Ports,
  ReadablePort,
  Register,
  RegisterRow,
  Registers,
  WritablePort,
} from "../../driver/mod.ts";
import type { Hooks, Seen } from "./hooks.ts";

/** What passes accesses to the model: its hooks, and what counts them. */
export interface Passing {
  hooks: Hooks;
  access: () => void;
}

type Readable = Parameters<Registers["read"]>[0];
type Writable = Parameters<Registers["write"]>[0];

/** The register that a field is of: as far as an access goes, a field is a register with the same offset. */
const registerOf = (field: Field) => field as unknown as Register<"rw">;

/** Accesses of a BAR's registers: one load or store each, as without it. */
export class FaultyRegisters implements Registers {
  readonly #inner: Registers;
  readonly #passing: Passing;

  constructor(inner: Registers, passing: Passing) {
    this.#inner = inner;
    this.#passing = passing;
  }

  read(register: Readable): number {
    return this.#load(register, register.name);
  }

  write(register: Writable, value: number): void {
    this.#store(register, register.name, value);
  }

  has(field: Field): boolean {
    return this.get(field) !== 0;
  }

  get(field: Field): number {
    return field.from(this.#load(registerOf(field), registerName(field)));
  }

  set(field: Field<"rw">, value: number): void {
    const name = registerName(field);
    const found = this.#load(registerOf(field), name);
    this.#store(registerOf(field), name, (found & ~field.mask) | field.of(value));
  }

  fill(row: RegisterRow<Writable>, value: number): void {
    for (let i = 0; i < row.length; i++) this.write(row.at(i), value);
  }

  #load(register: Readable, name: string): number {
    this.#passing.access();
    const seen = this.#passing.hooks.read?.(name);
    const found = this.#inner.read(register);
    return seen ? seen(found, 32) : found;
  }

  #store(register: Writable, name: string, value: number): void {
    this.#passing.access();
    const store = (given: number) => this.#inner.write(register, given);
    if (this.#passing.hooks.write) this.#passing.hooks.write(name, value >>> 0, store);
    else store(value);
  }
}

/** `STATUS` of `STATUS.LU`. */
function registerName({ name }: Field): string {
  return name.slice(0, name.lastIndexOf("."));
}

/** A read that is queued, and what the driver is to see of it. */
interface Queued {
  ports: Ports;
  read: number;
  seen: Seen;
  bits: number;
}

/** A `readInto` that is queued. */
interface QueuedInto {
  into: Uint8Array;
  seen: Seen;
  width: number;
}

/** The queue that all ports of a device share. */
export class FaultyBatch {
  #queued: Queued[] = [];
  #into: QueuedInto[] = [];
  /** Of the last batch, by the read's number: what differs from what was found. */
  #values = new Map<number, number>();
  #empty = true;

  /** Anything is about to be queued. */
  use(): void {
    this.#empty = false;
  }

  add(queued: Queued): void {
    this.#queued.push(queued);
  }

  addInto(queued: QueuedInto): void {
    this.#into.push(queued);
  }

  run(ports: Ports): void {
    // Running nothing leaves the values of the last batch.
    if (this.#empty) return;
    this.#empty = true;
    const queued = this.#queued;
    const into = this.#into;
    this.#queued = [];
    this.#into = [];
    ports.run();
    this.#values = new Map(
      queued.map(({ ports, read, seen, bits }) => [read, seen(ports.value(read), bits)]),
    );
    for (const { into: bytes, seen, width } of into) {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      for (let at = 0; at < bytes.length; at += width) {
        if (width === 2) view.setUint16(at, seen(view.getUint16(at, true), 16), true);
        else view.setUint32(at, seen(view.getUint32(at, true), 32), true);
      }
    }
  }

  value(ports: Ports, read: number): number {
    return this.#values.get(read) ?? ports.value(read);
  }
}

/** Ports of a BAR. What a read is to look like is decided when it is queued, in the driver's order. */
export class FaultyPorts implements Ports {
  readonly #inner: Ports;
  readonly #batch: FaultyBatch;
  readonly #passing: Passing;

  constructor(inner: Ports, options: Passing & { batch: FaultyBatch }) {
    this.#inner = inner;
    this.#batch = options.batch;
    this.#passing = options;
  }

  get calls(): number {
    return this.#inner.calls;
  }

  read(port: ReadablePort): number {
    this.#passing.access();
    const seen = this.#passing.hooks.read?.((port as Port).name);
    this.#batch.use();
    const read = this.#inner.read(port);
    if (seen) this.#batch.add({ ports: this.#inner, read, seen, bits: port.width * 8 });
    return read;
  }

  write(port: WritablePort, value: number): void {
    this.#passing.access();
    const store = (given: number) => {
      this.#batch.use();
      this.#inner.write(port, given);
    };
    if (this.#passing.hooks.write) this.#passing.hooks.write((port as Port).name, value >>> 0, store);
    else store(value);
  }

  readInto(port: ReadablePort, into: Uint8Array): void {
    this.#passing.access();
    const seen = this.#passing.hooks.read?.((port as Port).name);
    this.#batch.use();
    this.#inner.readInto(port, into);
    if (seen) this.#batch.addInto({ into, seen, width: port.width });
  }

  run(): void {
    this.#batch.run(this.#inner);
  }

  value(read: number): number {
    return this.#batch.value(this.#inner, read);
  }
}

/** The device with a fault between it and the driver. */
export function faultyDevice(device: Device, passing: Passing): Device {
  const batch = new FaultyBatch();
  let memories = 0;
  return {
    address: device.address,
    vendor: device.vendor,
    device: device.device,
    vectors: device.vectors,
    options: device.options,
    bar: (index: number, map: AnyRegisterMap) => new FaultyRegisters(device.bar(index, map), passing),
    ports: (index, map) => new FaultyPorts(device.ports(index, map), { ...passing, batch }),
    dma(bytes, options) {
      const memory = device.dma(bytes, options);
      const index = memories++;
      return passing.hooks.memory?.(memory, index) ?? memory;
    },
    busMaster: (enabled) => device.busMaster(enabled),
    log: (message) => device.log(message),
  };
}
