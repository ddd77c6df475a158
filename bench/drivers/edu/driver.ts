/**
 * QEMU's edu device, for the benchmark of wake-ups: the first line that an interrupt runs is seen by whoever raised
 * it. The device is no network card: its interface carries nothing, and is there because a driver is of a class.
 */
import { defineDriver, type Device, every, type NetPort, type Registers } from "../../../src/driver/mod.ts";
import { REG, SHARED, WORD } from "./registers.ts";

// Constants of this module's own are compiled in.
const { ANSWER, GARBAGE, BUSY, LOTS, TOOK, LONGEST } = WORD;

/** Objects of a lot, and lots that are kept: some outlive several collections, as what a control path keeps does. */
const OBJECTS = 100;
const KEPT = 64;

interface State {
  registers: Registers;
  port: NetPort;
  /** Shared with whoever raises. */
  words: Uint32Array;
  /** Milliseconds between two lots; 0: none are made. */
  period: number;
  timer?: Disposable;
  kept: unknown[];
}

/** Quiets the device, as nothing is known of what was before, and lets it write: its interrupts are messages. */
function bringUp(device: Device, port: NetPort): Promise<State> {
  const registers = device.bar(0, REG);
  registers.write(REG.ACKNOWLEDGE, registers.read(REG.STATUS));
  device.busMaster(true);
  const { words } = device.dma(SHARED, { align: 64 });
  const mac = Uint8Array.of(2, 0, 0, 0, 0, 9);
  port.attach({ mac, maxMtu: 1500, features: {}, maxSegments: 1 });
  port.report({ link: true, speed: 1000, fullDuplex: true });
  return Promise.resolve({ registers, port, words, period: 0, kept: [] });
}

function interrupt(state: State): void {
  const { words, registers } = state;
  words[ANSWER] = 1;
  registers.write(REG.ACKNOWLEDGE, registers.read(REG.STATUS));
  if (words[GARBAGE] !== state.period) setGarbage(state, words[GARBAGE]);
}

/** Makes garbage every so many milliseconds, or no more. */
function setGarbage(state: State, period: number): void {
  state.timer?.[Symbol.dispose]();
  state.timer = period > 0 ? every(period, () => makeGarbage(state)) : undefined;
  state.period = period;
}

/** What a control path does that takes no care: objects, strings and lists, soon forgotten. */
function makeGarbage({ words, kept }: State): void {
  const start = performance.now();
  words[BUSY] = 1;
  kept[words[LOTS] % KEPT] = Array.from(
    { length: OBJECTS },
    (_, index) => ({ index, name: `entry ${index}`, parts: new Array(32).fill(index) }),
  );
  words[LOTS]++;
  words[BUSY] = 0;
  const took = Math.round((performance.now() - start) * 1000);
  words[TOOK] += took;
  words[LONGEST] = Math.max(words[LONGEST], took);
}

/** What the interface would send is left to lie: nobody sends, and buffers wait for ever. */
function poll({ port }: State): boolean {
  port.tx.available();
  port.rx.available();
  return false;
}

export default defineDriver<State>({
  class: "net",
  bringUp,
  configure: () => {},
  interrupt,
  poll,
});
