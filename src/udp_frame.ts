/** Frames of UDP over IPv4 (RFC 791, RFC 768), for programs at the other end of a card's wire. */

/** Bytes before the payload: Ethernet, IPv4 without options, and UDP. */
export const UDP_HEADERS = 14 + 20 + 8;

/** Where the UDP header begins. */
export const UDP_AT = 14 + 20;

/** One end of it. */
export interface UdpEnd {
  /** MAC address, `52:54:00:12:34:56`. */
  mac: string;
  /** IPv4 address. */
  address: string;
  port: number;
}

/** The headers of a datagram of `size` bytes; without a UDP checksum, which says that there is none. */
export function udpHeaders(from: UdpEnd, to: UdpEnd, size: number): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(UDP_HEADERS);
  const view = new DataView(header.buffer);
  header.set(numbers(to.mac, ":", 16), 0);
  header.set(numbers(from.mac, ":", 16), 6);
  view.setUint16(12, 0x0800);
  view.setUint16(14, 0x4500);
  view.setUint16(16, 20 + 8 + size);
  view.setUint16(20, 0x4000); // not to be fragmented
  view.setUint16(22, 64 << 8 | 17); // time to live, and UDP
  header.set(numbers(from.address, ".", 10), 26);
  header.set(numbers(to.address, ".", 10), 30);
  view.setUint16(24, foldSum(sumWords(header.subarray(14, UDP_AT))));
  view.setUint16(UDP_AT, from.port);
  view.setUint16(UDP_AT + 2, to.port);
  view.setUint16(UDP_AT + 4, 8 + size);
  return header;
}

function numbers(text: string, separator: string, radix: number): number[] {
  return text.split(separator).map((part) => parseInt(part, radix));
}

/** Sum of words of 16 bits, for the Internet checksum (RFC 1071). */
export function sumWords(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i++) sum += (i & 1) === 0 ? bytes[i] << 8 : bytes[i];
  return sum;
}

/** The checksum that a sum of such words comes to. */
export function foldSum(sum: number): number {
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return ~sum & 0xffff;
}
