/** A raw port: no interface of the kernel's, but a program in the driver's own process. */

/** Bytes of each buffer that frames lie in: no frame is longer. */
export const RAW_BUFFER = 2048;

/** Shortest frame that can be sent: an Ethernet header. */
export const SHORTEST_FRAME = 14;

/** Buffers for each entry of a ring: one to receive in, and one that is being sent. */
const PER_ENTRY = 2;

/** Buffers that a raw port has. @param ring Entries of each of its rings. */
export function rawBuffers(ring: number): number {
  return ring * PER_ENTRY;
}

/** DMA memory that a raw port takes for them, bytes; the driver's own comes on top. */
export function rawMemory(ring: number): number {
  return rawBuffers(ring) * RAW_BUFFER;
}

/** What is done with the frames that a driver receives on a raw port. */
export interface Program {
  /**
   * Called for each frame, in the order in which they came. It may change the frame where it lies, and must not
   * keep `bytes`: once it has returned, the device reads there, and later writes.
   * @param bytes Memory that holds the frame, from `at` on, with room for 2,048 bytes; other frames lie beside it.
   * @param length Bytes of the frame, without its checksum (FCS).
   * @returns How many bytes from `at` on to send back, 14 to 2,048; or 0 to drop the frame.
   */
  frame(bytes: Uint8Array, at: number, length: number): number;
}
