/** Tells systemd how far the service is, if it was started by it: sd_notify(3). */
import { NOTIFY } from "./permissions.ts";

/** The service manager's ear, or nobody's. */
export class Notifier implements Disposable {
  readonly #socket: Deno.DatagramConn | undefined;
  readonly #to: string;
  #watchdog?: ReturnType<typeof setInterval>;

  private constructor(socket: Deno.DatagramConn | undefined, to: string) {
    this.#socket = socket;
    this.#to = to;
  }

  /** Opens the socket that the environment names; without one, what is told goes nowhere. */
  static open({ own = NOTIFY.own }: { own?: string } = {}): Notifier {
    const to = Deno.env.get("NOTIFY_SOCKET");
    if (!to) return new Notifier(undefined, "");
    try {
      Deno.removeSync(own);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    const notifier = new Notifier(Deno.listenDatagram({ transport: "unixpacket", path: own }), to);
    // Removed at once: it is only spoken from, never to.
    Deno.removeSync(own);
    return notifier;
  }

  /** Says a line or more, like `READY=1`. That nobody hears it is no reason to end: systemd may be starting anew. */
  async tell(state: string): Promise<void> {
    const to = { transport: "unixpacket", path: this.#to } as const;
    await this.#socket?.send(new TextEncoder().encode(state), to).catch(() => {});
  }

  /** Says that it is ready, and from then on that it lives, as often as the watchdog wants. */
  async ready(status: string): Promise<void> {
    await this.tell(`READY=1\nSTATUS=${status}`);
    const microseconds = Number(Deno.env.get("WATCHDOG_USEC") ?? 0);
    if (!this.#socket || !(microseconds > 0) || this.#watchdog) return;
    this.#watchdog = setInterval(() => void this.tell("WATCHDOG=1"), microseconds / 2000);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#watchdog);
    this.#socket?.close();
  }
}
