/** A program on a raw port: what goes into the card's wire comes back with its addresses swapped. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { CHECKOUT } from "../../src/lab/guest.ts";
import { boot, type FrameSockets } from "../../src/lab/mod.ts";
import { DriverRun } from "../../src/soak/driver_run.ts";
import { within } from "../../src/within.ts";
import { assertHealthy, assertNothingLeft, silent } from "./health.ts";

const MANIFEST = `${CHECKOUT}/bench/forward/e1000-macswap.json`;

/** How long a frame may take there and back on a loaded lab, milliseconds. */
const LOST_MS = 20_000;

/** Frames that are under way at a time. */
const BURST = 100;

/** Where the number of a frame is, after the header. */
const SERIAL = 14;

/** The other end of the card's wire. */
class Wire implements Disposable {
  /** Of its own: Deno does not send on a socket while it waits for something to receive there. */
  readonly #outgoing: Deno.DatagramConn;
  readonly #incoming: Deno.DatagramConn;
  readonly #card: Deno.UnixAddr;
  #serial = 0;

  constructor({ card, outside }: FrameSockets) {
    this.#card = { transport: "unixpacket", path: card };
    this.#incoming = Deno.listenDatagram({ transport: "unixpacket", path: outside });
    this.#outgoing = Deno.listenDatagram({ transport: "unixpacket", path: `${outside}-out` });
  }

  /** Sends until one comes back: the emulated card is deaf for a second after it was brought up. */
  async hear(): Promise<void> {
    let heard = false;
    const answer = this.#incoming.receive().then(() => heard = true);
    for (const end = performance.now() + LOST_MS; !heard && performance.now() < end;) {
      await this.#send(60);
      await Promise.race([answer, new Promise((resolve) => setTimeout(resolve, 200))]);
    }
    assert(heard, "no frame came back");
  }

  /** Sends frames of all lengths and asserts that they come back, in order; what came late of `hear` is passed over. */
  async exchange(frames: number): Promise<void> {
    for (let left = frames; left > 0; left -= BURST) {
      const first = this.#serial + 1;
      const count = Math.min(BURST, left);
      // Beside each other: what nobody receives blocks who sends.
      const [sent, back] = await Promise.all([this.#sendMany(count), this.#receiveMany(count, first)]);
      for (const [i, frame] of sent.entries()) {
        const expected = frame.slice();
        expected.set(frame.subarray(6, 12), 0);
        expected.set(frame.subarray(0, 6), 6);
        assertEquals(back[i], expected);
      }
    }
  }

  [Symbol.dispose](): void {
    this.#incoming.close();
    this.#outgoing.close();
  }

  async #sendMany(count: number): Promise<Uint8Array[]> {
    const sent: Uint8Array[] = [];
    while (sent.length < count) sent.push(await this.#send(60 + this.#serial * 37 % 1455));
    return sent;
  }

  /** The next frames whose number is `first` or above. */
  async #receiveMany(count: number, first: number): Promise<Uint8Array[]> {
    const back: Uint8Array[] = [];
    while (back.length < count) {
      const message = `frame ${first + back.length} did not come back`;
      const [frame] = await within(this.#incoming.receive(), LOST_MS, { message });
      if (serialOf(frame) >= first) back.push(frame);
    }
    return back;
  }

  /** Sends a frame like no other, to an address that is not the card's. */
  async #send(length: number): Promise<Uint8Array> {
    const serial = ++this.#serial;
    const frame = Uint8Array.from({ length }, (_, i) => (i * 7 + serial) & 0xff);
    frame.set([2, 1, 1, 1, 1, serial & 0xff, 2, 2, 2, 2, 2, serial & 0xff, 0x88, 0xb5]);
    new DataView(frame.buffer).setUint32(SERIAL, serial);
    await this.#outgoing.send(frame, this.#card);
    return frame;
  }
}

function serialOf(frame: Uint8Array): number {
  return new DataView(frame.buffer, frame.byteOffset).getUint32(SERIAL);
}

Deno.test("frames are forwarded on a raw port, also after the driver has died, and an idle one is not woken", async () => {
  const folder = await Deno.makeTempDir();
  await using cleaning = new AsyncDisposableStack();
  cleaning.defer(() => Deno.remove(folder, { recursive: true }));
  const sockets = { card: `${folder}/card`, outside: `${folder}/outside` };
  const lab = cleaning.use(await boot({ sockets: { 0: sockets } }, { progress: silent }));
  const wire = cleaning.use(new Wire(sockets));
  const run = cleaning.use(DriverRun.start(lab, [MANIFEST]));
  await run.next("ready");
  await wire.hear();
  await wire.exchange(1000);

  const driver = await run.status(
    ({ totals: { rxPackets, txPackets } }) => txPackets > 1000 && txPackets === rxPackets,
    { what: "frames to be counted" },
  );
  assertEquals([driver.port, driver.interface, driver.link], ["raw", null, { up: true, speed: 1000 }]);
  assertEquals(driver.totals.rxDropped, 0);
  assert(driver.grant.some((line) => line.endsWith("macswap.ts, 256 each way, in the driver's process")));

  // Its clock for counters ends after a second without a frame.
  await run.status(({ interruptsPerSecond }) => interruptsPerSecond === 0, { what: "quiet" });
  await new Promise((resolve) => setTimeout(resolve, 3000));
  const { waits } = run.driver!.totals;
  await new Promise((resolve) => setTimeout(resolve, 5000));
  assertEquals(run.driver!.totals.waits, waits, "an idle driver waits, and is not woken");

  for (const [how, says] of [["kill", /^killed by SIGKILL$/], ["stall", /^no WAIT for 1000 ms/]] as const) {
    await run.status(({ spare }) => spare.state === "ready", { what: "a spare" });
    const before = run.lastId;
    await run.kill(how);
    assertMatch((await run.next("ended", { after: before })).reason.text, says);
    const { ms, frame } = await run.next("recovered", { after: before });
    assert(!frame && ms > 0 && ms < 20_000, `recovered after ${ms} ms`);
    await wire.hear();
    await wire.exchange(300);
  }

  assertEquals(await run.stop(), { code: 0, stderr: "" });
  await assertNothingLeft(lab);
  assertHealthy(lab);
});
