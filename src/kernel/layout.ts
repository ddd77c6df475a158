/**
 * C structures as plain objects, for calls off the data path: little-endian, naturally aligned, as gcc
 * lays them out on x86-64. `tests/unit/layout_test.ts` compares every offset with the C header.
 */

/** How one type lies in memory. Sizes and alignments are in bytes. */
export interface Layout<T> {
  readonly size: number;
  readonly align: number;
  /** @param before The fields of the same structure that lie before it. */
  read(view: DataView, at: number, before?: Readonly<Record<string, unknown>>): T;
  write(view: DataView, at: number, value: T): void;
}

/** What a `Layout` reads and writes. */
export type Value<L> = L extends Layout<infer T> ? T : never;

type Fields = Record<string, Layout<unknown>>;
type Values<F extends Fields> = { [K in keyof F]: Value<F[K]> };

/** A structure: its fields' offsets by name, and the whole as an object. */
export interface Struct<F extends Fields> extends Layout<Values<F>> {
  /** Name in the C header, without `struct`. */
  readonly name: string;
  readonly offsets: { readonly [K in keyof F]: number };
  readonly fields: F;
  /** Fresh bytes with these values; absent fields are zero. */
  encode(values: Partial<Values<F>>): Uint8Array<ArrayBuffer>;
  decode(bytes: Uint8Array): Values<F>;
}

function number(
  size: number,
  read: (view: DataView, at: number) => number,
  write: (view: DataView, at: number, value: number) => void,
): Layout<number> {
  return { size, align: size, read, write };
}

/** `__u8`, `__u16`, `__u32`. */
export const u8 = number(1, (v, at) => v.getUint8(at), (v, at, x) => v.setUint8(at, x));
export const u16 = number(2, (v, at) => v.getUint16(at, true), (v, at, x) => v.setUint16(at, x, true));
export const u32 = number(4, (v, at) => v.getUint32(at, true), (v, at, x) => v.setUint32(at, x, true));
/** `__u64`, as a bigint. */
export const u64: Layout<bigint> = {
  size: 8,
  align: 8,
  read: (view, at) => view.getBigUint64(at, true),
  write: (view, at, value) => view.setBigUint64(at, value, true),
};

const decoder = new TextDecoder();

/** `char[size]`: text that ends with a NUL. */
export function chars(size: number): Layout<string> {
  return {
    size,
    align: 1,
    read(view, at) {
      const bytes = new Uint8Array(view.buffer, view.byteOffset + at, size);
      const end = bytes.indexOf(0);
      return decoder.decode(bytes.slice(0, end < 0 ? size : end));
    },
    write(view, at, value) {
      const bytes = new TextEncoder().encode(value);
      if (bytes.length >= size) throw new RangeError(`"${value}" is longer than ${size - 1} bytes`);
      const to = new Uint8Array(view.buffer, view.byteOffset + at, size);
      to.fill(0);
      to.set(bytes);
    },
  };
}

/** `__u8[size]`. */
export function bytes(size: number): Layout<Uint8Array> {
  return {
    size,
    align: 1,
    read: (view, at) => new Uint8Array(view.buffer, view.byteOffset + at, size).slice(),
    write(view, at, value) {
      if (value.length !== size) throw new RangeError(`${value.length} bytes where ${size} belong`);
      new Uint8Array(view.buffer, view.byteOffset + at, size).set(value);
    },
  };
}

/**
 * `element[count]`; writing fewer leaves the rest zero.
 * @param options `used`: the field before it that says how many there are, if not all are read.
 */
export function array<T>(element: Layout<T>, count: number, { used }: { used?: string } = {}): Layout<T[]> {
  return {
    size: element.size * count,
    align: element.align,
    read(view, at, before) {
      const length = used === undefined ? count : Math.min(Number(before![used]), count);
      return Array.from({ length }, (_, i) => element.read(view, at + i * element.size));
    },
    write(view, at, values) {
      if (values.length > count) throw new RangeError(`${values.length} entries where ${count} fit`);
      values.forEach((value, i) => element.write(view, at + i * element.size, value));
    },
  };
}

/** A member of a union that is `size` bytes with the alignment of `align`. */
export function union<T>(member: Layout<T>, size: number, { align = member.align } = {}): Layout<T> {
  if (member.size > size) throw new RangeError(`a union of ${size} bytes cannot hold ${member.size}`);
  return { ...member, size, align };
}

/** `struct name { … }`. */
export function struct<F extends Fields>(name: string, fields: F): Struct<F> {
  const offsets = {} as { [K in keyof F]: number };
  const entries = Object.entries(fields) as [keyof F, Layout<unknown>][];
  let end = 0;
  let align = 1;
  for (const [key, field] of entries) {
    offsets[key] = Math.ceil(end / field.align) * field.align;
    end = offsets[key] + field.size;
    align = Math.max(align, field.align);
  }
  const size = Math.ceil(end / align) * align;
  const read = (view: DataView, at: number) => {
    const values = {} as Values<F>;
    for (const [key, field] of entries) {
      values[key] = field.read(view, at + offsets[key], values) as Values<F>[typeof key];
    }
    return values;
  };
  const write = (view: DataView, at: number, values: Partial<Values<F>>) => {
    for (const [key, field] of entries) {
      if (values[key] !== undefined) field.write(view, at + offsets[key], values[key]);
    }
  };
  return {
    name,
    size,
    align,
    offsets,
    fields,
    read,
    write,
    encode(values) {
      const out = new Uint8Array(size);
      write(new DataView(out.buffer), 0, values);
      return out;
    },
    decode: (from) => read(new DataView(from.buffer, from.byteOffset, from.byteLength), 0),
  };
}
