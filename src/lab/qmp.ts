// The QEMU machine protocol: JSON lines over a Unix socket (QEMU documentation, "QMP specification").

/** A QEMU that is gone, or a command that it refuses. */
export class QmpError extends Error {
  override name = "QmpError";
}

/** Something QEMU tells of its own accord. */
export interface QmpEvent {
  event: string;
  data?: Record<string, unknown>;
}

interface Message extends Partial<QmpEvent> {
  id?: number;
  return?: unknown;
  error?: { class: string; desc: string };
}

/** One connection. Commands may be sent without waiting for each other. */
export class Qmp {
  readonly #connection: Deno.Conn;
  readonly #pending = new Map<number, PromiseWithResolvers<unknown>>();
  readonly #events: QmpEvent[] = [];
  readonly #ended = Promise.withResolvers<void>();
  #over = false;
  #next = 1;

  private constructor(connection: Deno.Conn) {
    this.#connection = connection;
  }

  /** Takes the connection of a QEMU that has just started. */
  static async open(connection: Deno.Conn): Promise<Qmp> {
    const qmp = new Qmp(connection);
    qmp.#read();
    await qmp.command("qmp_capabilities");
    return qmp;
  }

  /** Fulfilled when QEMU has gone. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** What QEMU has told so far. */
  get events(): readonly QmpEvent[] {
    return this.#events;
  }

  /**
   * Runs a command and returns its answer.
   * @throws {QmpError} with QEMU's description, or if QEMU ends before it answers.
   */
  async command(name: string, args: Record<string, unknown> = {}): Promise<unknown> {
    if (this.#over) throw new QmpError(`Cannot send ${name}: QEMU has ended`);
    const id = this.#next++;
    const answer = Promise.withResolvers<unknown>();
    this.#pending.set(id, answer);
    const line = new TextEncoder().encode(JSON.stringify({ execute: name, arguments: args, id }) + "\n");
    try {
      for (let at = 0; at < line.length;) at += await this.#connection.write(line.subarray(at));
    } catch {
      // The reader sees the end too and fails what is pending.
    }
    return await answer.promise;
  }

  /** Closes the connection; QEMU runs on. */
  close(): void {
    try {
      this.#connection.close();
    } catch {
      // It was closed by its end.
    }
  }

  async #read(): Promise<void> {
    let rest = "";
    try {
      for await (const text of this.#connection.readable.pipeThrough(new TextDecoderStream())) {
        const lines = (rest + text).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) this.#take(JSON.parse(line));
      }
    } catch {
      // Broken or closed by us: the end either way.
    }
    this.#over = true;
    for (const answer of this.#pending.values()) answer.reject(new QmpError("QEMU ended without an answer"));
    this.#pending.clear();
    this.#ended.resolve();
  }

  #take(message: Message): void {
    if (message.event !== undefined) {
      this.#events.push({ event: message.event, data: message.data });
      return;
    }
    const answer = message.id === undefined ? undefined : this.#pending.get(message.id);
    if (!answer) return;
    this.#pending.delete(message.id!);
    if (message.error) answer.reject(new QmpError(`QEMU refuses: ${message.error.desc}`));
    else answer.resolve(message.return);
  }
}
