/** The control socket between supervisor and driver process: whole messages, and the grant with one of them. */
import { check, ERRNO } from "./errors.ts";
import type { Library } from "./library_unsafe.ts";

/** Largest message, bytes of JSON. */
const MAX_MESSAGE = 64 * 1024;

/** One end of the control socket. */
export class ControlSocket implements Disposable {
  readonly #library: Library;
  /** -1 once it is closed: its number may be another file's by then, and a grant is sent over it. */
  #fd: number;

  constructor(library: Library, fd: number) {
    this.#library = library;
    this.#fd = fd;
  }

  /** Both ends: ours, and the descriptor that a child process inherits, for the caller to close. */
  static pair(library: Library): { ours: ControlSocket; theirs: number } {
    const fds = new Int32Array(2);
    check(library.r3_socketpair(fds), "Cannot make the control socket");
    return { ours: new ControlSocket(library, fds[0]), theirs: fds[1] };
  }

  /**
   * Sends a message, with a descriptor if there is one to pass. Never waits.
   * @throws {KernelError} if the other side has closed, or this one.
   */
  send(message: unknown, { fd = -1 } = {}): void {
    const bytes = new TextEncoder().encode(JSON.stringify(message));
    check(this.#library.r3_send(this.#fd, bytes, bytes.length, fd), "Cannot send to the driver process");
  }

  /**
   * Receives a message, and the descriptor that came with it or -1. Without `nonblock` it waits.
   * Undefined if there is none yet; null if the other side has closed.
   */
  receive({ nonblock = false } = {}): { message: unknown; fd: number } | null | undefined {
    const bytes = new Uint8Array(MAX_MESSAGE);
    const passed = new Int32Array(1);
    const got = this.#library.r3_receive(this.#fd, bytes, bytes.length, passed, Number(nonblock));
    if (got === -ERRNO.EAGAIN) return undefined;
    check(got, "Cannot receive from the supervisor");
    if (got === 0) return null;
    return { message: JSON.parse(new TextDecoder().decode(bytes.subarray(0, got))), fd: passed[0] };
  }

  [Symbol.dispose](): void {
    if (this.#fd >= 0) this.#library.r3_close(this.#fd);
    this.#fd = -1;
  }
}
