/** A driver with a defect: it attaches, and some time later it throws. It touches no register. */
import { defineDriver, type Device, every, type NetPort } from "../../../../src/driver/mod.ts";

/** How long it lives, milliseconds. */
const LIFE = 200;

function bringUp(_device: Device, port: NetPort): Promise<NetPort> {
  const mac = Uint8Array.of(2, 0, 0, 0, 0, 9);
  port.attach({ mac, maxMtu: 1500, features: {}, maxSegments: 18 });
  port.report({ link: true, speed: 1000, fullDuplex: true });
  every(LIFE, fail);
  return Promise.resolve(port);
}

function fail(): never {
  throw new TypeError("a defect of this driver");
}

export default defineDriver<NetPort>({
  class: "net",
  bringUp,
  configure: () => {},
  interrupt: () => {},
  poll({ tx, rx }) {
    tx.available();
    rx.available();
    return false;
  },
});
