/**
 * The TCP half of a check: one connection, one transfer. The inside connects and writes a line of JSON,
 * `{"direction":"out"|"in","bytes":n,"seed":n}`. Out: the inside sends that many bytes and half-closes.
 * In: the outside sends them. Then the outside writes a line of JSON, `{"bytes":n,"sha256":"…"}`: what
 * it received, or sent. Both ends hash as the bytes go by.
 */
import { createHash } from "node:crypto";
import { Words } from "./content.ts";

/** Ways of a transfer, as the inside sees them. */
export const DIRECTIONS = ["out", "in"] as const;
/** One of them. */
export type Direction = (typeof DIRECTIONS)[number];

/** The first line of a transfer. */
export interface TransferRequest {
  direction: Direction;
  bytes: number;
  seed: number;
}

/** One end's account of a transfer. */
export interface Account {
  bytes: number;
  /** Hexadecimal. */
  sha256: string;
}

/** Bytes written at a time. */
const CHUNK = 64 * 1024;

/** Sends pseudo-random bytes and hashes them; `sent` is told how many so far. */
export async function sendContent(
  connection: Deno.Conn,
  request: TransferRequest,
  options: { sent?: (bytes: number) => void } = {},
): Promise<Account> {
  const words = new Words(request.seed);
  const chunk = new Uint32Array(CHUNK / 4);
  const hash = createHash("sha256");
  let bytes = 0;
  while (bytes < request.bytes) {
    words.fill(chunk);
    const part = new Uint8Array(chunk.buffer, 0, Math.min(CHUNK, request.bytes - bytes));
    hash.update(part);
    await writeAll(connection, part);
    bytes += part.length;
    options.sent?.(bytes);
  }
  return { bytes, sha256: hash.digest("hex") };
}

/** Reads a connection as a head line, a body and a tail line. */
export class ContentReader {
  readonly #connection: Deno.Conn;
  readonly #buffer = new Uint8Array(256 * 1024);
  #rest = new Uint8Array();

  constructor(connection: Deno.Conn) {
    this.#connection = connection;
  }

  /** Hashes the next bytes, up to `bytes` or the end of the stream. */
  async content(bytes: number, options: { received?: (bytes: number) => void } = {}): Promise<Account> {
    const hash = createHash("sha256");
    let received = 0;
    while (received < bytes) {
      const part = await this.#next();
      if (part === null) break;
      const wanted = part.subarray(0, bytes - received);
      hash.update(wanted);
      received += wanted.length;
      this.#rest = part.slice(wanted.length);
      options.received?.(received);
    }
    return { bytes: received, sha256: hash.digest("hex") };
  }

  /**
   * The next line as JSON. The caller checks its shape.
   * @throws {Error} if the stream ends before it, or it is longer than a line of this protocol can be.
   */
  async line(): Promise<unknown> {
    let text = "";
    const decoder = new TextDecoder();
    while (text.length < 1024) {
      const part = await this.#next();
      if (part === null) throw new Error("the other end closed the connection early");
      const end = part.indexOf(10);
      text += decoder.decode(end < 0 ? part : part.subarray(0, end), { stream: true });
      if (end >= 0) {
        this.#rest = part.slice(end + 1);
        return JSON.parse(text);
      }
    }
    throw new Error("the other end sent a line that never ends");
  }

  /** What was left over, or what comes next; null at the end of the stream. */
  async #next(): Promise<Uint8Array | null> {
    if (this.#rest.length > 0) {
      const part = this.#rest;
      this.#rest = new Uint8Array();
      return part;
    }
    const count = await this.#connection.read(this.#buffer);
    return count === null ? null : this.#buffer.subarray(0, count);
  }
}

/** Writes a line of JSON. */
export async function writeLine(connection: Deno.Conn, value: TransferRequest | Account): Promise<void> {
  await writeAll(connection, new TextEncoder().encode(`${JSON.stringify(value)}\n`));
}

/** The account in a line of JSON, or undefined if it is none. */
export function parseAccount(line: unknown): Account | undefined {
  if (typeof line !== "object" || line === null) return undefined;
  const { bytes, sha256 } = line as Partial<Account>;
  return typeof bytes === "number" && typeof sha256 === "string" ? { bytes, sha256 } : undefined;
}

/** The request in a line of JSON, or undefined if it is none. */
export function parseRequest(line: unknown): TransferRequest | undefined {
  if (typeof line !== "object" || line === null) return undefined;
  const { direction, bytes, seed } = line as Partial<TransferRequest>;
  const known = DIRECTIONS.some((word) => word === direction);
  return known && Number.isSafeInteger(bytes) && Number.isSafeInteger(seed)
    ? { direction: direction as Direction, bytes: bytes as number, seed: seed as number }
    : undefined;
}

async function writeAll(connection: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
}
