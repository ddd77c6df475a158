/** The kernel's log as it grows: `/dev/kmsg`, one record at each read (Linux, Documentation/ABI/testing/dev-kmsg). */
import { KMSG } from "../machine.ts";
import { paced } from "./paced.ts";

/** What is used of an open `/dev/kmsg`; replaced in tests. */
export interface LogFile {
  /** Reads one record, and waits for one. */
  read(into: Uint8Array): Promise<number | null>;
  seek(offset: number, whence: Deno.SeekMode): Promise<number>;
  close(): void;
}

/** Larger than any record: a shorter buffer is refused. */
const LARGEST_RECORD = 16 * 1024;

/** Most records a second that are looked at. Of more the kernel keeps some, and the rest is lost to us. */
const RECORDS_PER_SECOND = 2000;

/** Whether a record's prefix says that the kernel itself wrote it, and not a program. */
const BY_KERNEL = /^(\d+),[^;]*;/;

/** The kernel's log from now on. Its reads wait on a thread of their own, so that nothing else does. */
export class KernelLog implements Disposable {
  readonly #file: LogFile;
  #closed = false;

  private constructor(file: LogFile) {
    this.#file = file;
  }

  /** Opens it at its end. @throws {Error} if it cannot be read. */
  static async open(
    open: () => Promise<LogFile> = () => Deno.open(KMSG, { read: true }),
  ): Promise<KernelLog> {
    const file = await open();
    try {
      await file.seek(0, Deno.SeekMode.End);
    } catch (error) {
      file.close();
      throw error;
    }
    return new KernelLog(file);
  }

  /** Texts of the kernel's own records, until it is disposed of. @throws {Error} if it cannot be read any more. */
  records(): AsyncGenerator<string> {
    return paced(this.#read(), { perSecond: RECORDS_PER_SECOND });
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#file.close();
  }

  async *#read(): AsyncGenerator<string> {
    const buffer = new Uint8Array(LARGEST_RECORD);
    const decoder = new TextDecoder();
    while (!this.#closed) {
      let length;
      try {
        length = await this.#file.read(buffer);
      } catch (error) {
        if (this.#closed) return;
        // What was next is overwritten: the read after this one goes on at the oldest record that is kept.
        if (error instanceof Deno.errors.BrokenPipe) continue;
        throw error;
      }
      if (this.#closed) return;
      if (length === null) throw new Error("it ends, and is no log");
      const record = decoder.decode(buffer.subarray(0, length));
      const prefix = BY_KERNEL.exec(record);
      // The facility is above the level's three bits; programs cannot write with the kernel's, 0.
      if (!prefix || Number(prefix[1]) >> 3 !== 0) continue;
      // Lines after the first are properties.
      yield record.slice(prefix[0].length).split("\n", 1)[0];
    }
  }
}
