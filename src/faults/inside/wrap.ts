/** A driver with a fault around it. */
import {
  type BlockDriver,
  type BlockPort,
  defineDriver,
  type Device,
  type Driver,
  LAST,
  type NetDriver,
  type NetPort,
} from "../../driver/mod.ts";
import { faultyChannel } from "./channel.ts";
import type { Hooks, Make } from "./hooks.ts";
import { faultyDevice, type Passing } from "./registers.ts";
import { type Counted, type Plan, Trigger } from "./trigger.ts";

/** Number of the channel that frames are received in. */
const RX = 1;

/** The driver as it is, but for the fault. @param make What the model does. @param plan When, with the model's parameters. */
export function withFault<Parameters>(
  driver: Driver<unknown>,
  make: Make<Parameters>,
  plan: Plan & Parameters,
): Driver<unknown> {
  const life = new Life(driver, make, plan);
  return driver.class === "net" ? life.net(driver) : life.block(driver);
}

/** One driver from bring-up on. */
class Life<Parameters> {
  readonly #hooks: Hooks;
  readonly #trigger: Trigger;
  readonly #interrupt: (vectors: number) => void;
  #device: Device | undefined;
  #state: unknown;

  constructor(driver: Driver<unknown>, make: Make<Parameters>, plan: Plan & Parameters) {
    this.#interrupt = (vectors) => driver.interrupt(this.#state, vectors);
    this.#trigger = new Trigger(plan, {
      tell: (line) => this.#device!.log(line),
      onTime: () => this.#hooks.event?.("ms"),
    });
    const device = () => this.#device!;
    this.#hooks = make(plan, {
      trigger: this.#trigger,
      get device() {
        return device();
      },
      interrupt: this.#interrupt,
    });
  }

  net(driver: NetDriver<unknown>): Driver<unknown> {
    return defineDriver<unknown>({
      ...driver,
      ...this.#verbs(driver),
      bringUp: async (device: Device, port: NetPort) => {
        const [tx, rx] = [port.tx, port.rx].map((channel, index) =>
          faultyChannel(channel, {
            index,
            hooks: this.#hooks,
            onComplete: (lengthFlags) => {
              if (index !== RX || (lengthFlags & LAST) !== 0) this.#happens("frames");
            },
          })
        );
        const faulty: NetPort = {
          tx,
          rx,
          rxBufferSize: port.rxBufferSize,
          attach: (info) => port.attach(info),
          report: (report) => port.report(report),
        };
        return this.#state = await driver.bringUp(this.#start(device), faulty);
      },
      configure: (state, config) => driver.configure(state, config),
    });
  }

  block(driver: BlockDriver<unknown>): Driver<unknown> {
    return defineDriver<unknown>({
      ...driver,
      ...this.#verbs(driver),
      bringUp: async (device: Device, port: BlockPort) => {
        const queues = port.queues.map((channel, index) =>
          faultyChannel(channel, {
            index,
            hooks: this.#hooks,
            onComplete: () => this.#happens("requests"),
          })
        );
        const faulty: BlockPort = { queues, attach: (info) => port.attach(info) };
        return this.#state = await driver.bringUp(this.#start(device), faulty);
      },
    });
  }

  #start(device: Device): Device {
    this.#device = device;
    this.#trigger.begin("start");
    const passing: Passing = { hooks: this.#hooks, access: () => this.#happens("accesses") };
    return faultyDevice(device, passing);
  }

  #verbs(driver: Driver<unknown>) {
    const { poll } = this.#hooks;
    const interrupt = this.#hooks.interrupt ?? ((vectors, call) => call(vectors));
    return {
      interrupt: (_state: unknown, vectors: number) => {
        this.#happens("interrupts");
        interrupt(vectors, this.#interrupt);
      },
      poll: (state: unknown, budget: number) => {
        this.#trigger.begin("ready");
        this.#happens("polls");
        const call = () => driver.poll(state, budget);
        return poll ? poll(call) : call();
      },
    };
  }

  #happens(what: Counted): void {
    this.#trigger.note(what);
    if (this.#trigger.armed) this.#hooks.event?.(what);
  }
}
