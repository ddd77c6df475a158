/** What a controller and a namespace say of themselves, §5.15.2. */

import { DeviceError } from "../../src/driver/mod.ts";
import { CONTROLLER, NAMESPACE, PAGE } from "./registers.ts";

/** Largest physical block of the port, bytes. */
const MOST_PHYSICAL = 2 ** 20;

/** What matters of a controller. */
export interface ControllerIdentity {
  model: string;
  serial: string;
  /** Bytes of the largest transfer. */
  largest: number;
  /** It has a volatile write cache. */
  cache: boolean;
  discard: boolean;
  zeroes: boolean;
}

/** What matters of a namespace. */
export interface NamespaceIdentity {
  /** Sectors of 512 bytes. */
  sectors: number;
  /** Bytes. */
  block: number;
  physicalBlock: number;
  readOnly: boolean;
}

/** A copy: the controller can write to what it shares. */
function view(bytes: Uint8Array): DataView {
  return new DataView(Uint8Array.from(bytes).buffer);
}

/** Reads IDENTIFY of the controller. */
export function controllerIdentity(bytes: Uint8Array): ControllerIdentity {
  const data = view(bytes);
  const text = ({ at, length }: { at: number; length: number }) =>
    String.fromCharCode(...new Uint8Array(data.buffer, at, length)).trim();
  const mdts = data.getUint8(CONTROLLER.MDTS);
  const oncs = data.getUint16(CONTROLLER.ONCS, true);
  return {
    model: text(CONTROLLER.MODEL),
    serial: text(CONTROLLER.SERIAL),
    largest: mdts === 0 ? Infinity : PAGE * 2 ** mdts,
    cache: (data.getUint8(CONTROLLER.VWC) & 1) !== 0,
    discard: (oncs & CONTROLLER.ONCS_DATASET_MANAGEMENT) !== 0,
    zeroes: (oncs & CONTROLLER.ONCS_WRITE_ZEROES) !== 0,
  };
}

/**
 * Reads IDENTIFY of a namespace.
 * @param name For errors.
 * @throws {DeviceError} if it is formatted in a way that the driver cannot use.
 */
export function namespaceIdentity(bytes: Uint8Array, name: string): NamespaceIdentity {
  const data = view(bytes);
  const format = data.getUint32(
    NAMESPACE.FORMATS + 4 * (data.getUint8(NAMESPACE.FORMAT) & 0xf),
    true,
  );
  const metadata = format & 0xffff;
  const shift = format >>> 16 & 0xff;
  if (shift < 9 || shift > 12) {
    throw new DeviceError(`Cannot use ${name}: its blocks have 2^${shift} bytes, not 512 to 4096`);
  }
  if (metadata !== 0 || (data.getUint8(NAMESPACE.PROTECTION) & 7) !== 0) {
    throw new DeviceError(`Cannot use ${name}: it is formatted with metadata or protection`);
  }
  const blocks = Number(data.getBigUint64(NAMESPACE.SIZE, true));
  const sectors = blocks * 2 ** (shift - 9);
  if (blocks === 0 || sectors > Number.MAX_SAFE_INTEGER) {
    throw new DeviceError(`Cannot use ${name}: it has ${blocks} blocks`);
  }
  const block = 2 ** shift;
  const told = (data.getUint8(NAMESPACE.FEATURES) & NAMESPACE.FEATURES_OPTIMAL) !== 0;
  const granularity = told ? block * (data.getUint16(NAMESPACE.WRITE_GRANULARITY, true) + 1) : block;
  return {
    sectors,
    block,
    // What is no power of two, or more than so many bytes, the kernel has no use for.
    physicalBlock: Number.isInteger(Math.log2(granularity)) && granularity <= MOST_PHYSICAL
      ? granularity
      : block,
    readOnly: (data.getUint8(NAMESPACE.ATTRIBUTES) & 1) !== 0,
  };
}
