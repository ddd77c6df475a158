/** A program in real driver processes: it runs where its driver does, and ends as that does. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { Traffic } from "../../src/host/messages.ts";
import { parseHostMessage } from "../../src/supervisor/host_message.ts";
import { Meter } from "../../src/supervisor/meter.ts";
import type { ClaimStatus } from "../../src/supervisor/supervisor.ts";
import { type HostEnd, runHost } from "../fakes/host_run.ts";

/** A driver that completes one buffer as a frame of 60 bytes, and logs what it is given to send. */
const DRIVER = {
  "driver.ts": `import { defineDriver, type Device, LAST, type NetPort } from "RING3";
let log: (message: string) => void;
let received = false;
export default defineDriver<NetPort>({
  class: "net",
  bringUp(device: Device, port: NetPort) {
    log = (message) => device.log(message);
    port.attach({ mac: Uint8Array.of(2, 0, 0, 0, 0, 1), maxMtu: 1500, features: {}, maxSegments: 1 });
    return Promise.resolve(port);
  },
  configure(_, { up, promiscuous, mac, mtu }) {
    log(JSON.stringify([up, promiscuous, [...mac], mtu]));
  },
  interrupt() {},
  poll({ rx, tx }) {
    if (rx.available() > 0 && !received) {
      received = true;
      rx.complete(rx.submissions[rx.take() + 3], LAST | 60);
      rx.publish();
    }
    for (; tx.available() > 0;) log(\`sends \${tx.submissions[tx.take() + 2] & 0xfffff}\`);
    return false;
  },
});
`,
};

function failure({ messages }: HostEnd) {
  return messages.find((message) => message.type === "failed");
}

Deno.test("a program has the driver's frames in a realm that is as empty as the driver's", async () => {
  const end = await runHost(DRIVER, {
    program: `import { defineProgram } from "RING3";
      const lacks = ["Deno", "fetch", "WebAssembly"].every((name) => !(name in globalThis));
      export default defineProgram({
        frame(bytes, at, length) {
          return lacks && Object.isFrozen(Array.prototype) && bytes.length > at ? length + 1 : 0;
        },
      });`,
  });
  assertEquals([end.code, end.stderr, failure(end)], [0, "", undefined]);
  const texts = end.messages.flatMap((message) => message.type === "log" ? [message.text] : []);
  assertEquals(texts, ["[true,true,[2,0,0,0,0,1],1500]", "sends 61"]);
  assert(end.messages.some(({ type }) => type === "ready"));
});

Deno.test("a program that throws ends the process, with a stack of its own lines", async () => {
  const end = await runHost(DRIVER, {
    program: `import { defineProgram } from "RING3";
export default defineProgram({
  frame(): number {
    throw new Error("no room");
  },
});`,
  });
  const { message, stack } = failure(end)!;
  assertEquals([end.code, message], [70, "no room"]);
  assertMatch(stack, /at Object\.frame \(file:\/\/\S*\/program\.ts:4:11\)/);
});

Deno.test("a file that is no program is refused", async () => {
  const end = await runHost(DRIVER, { program: "export {};" });
  assertEquals([end.code, failure(end)?.message], [
    70,
    "Cannot run the program on 0000:00:10.0: its file has no defineProgram(…) as its default export",
  ]);
});

const TRAFFIC: Traffic = {
  link: { up: true, speed: 1000 },
  counters: { rxPackets: 10, rxBytes: 600, rxDropped: 1, txPackets: 9, txBytes: 540, txDropped: 0 },
};

Deno.test("what a process says of its traffic is taken only if it can be so", () => {
  const parse = (changes: Record<string, unknown>) =>
    parseHostMessage(JSON.stringify({ type: "traffic", ...TRAFFIC, ...changes }));
  assertEquals(parse({}), { type: "traffic", ...TRAFFIC });
  for (const rxPackets of [-1, 0.5, "7", null, 2 ** 60]) {
    assertEquals(parse({ counters: { ...TRAFFIC.counters, rxPackets } }), undefined);
  }
  assertEquals(parse({ link: { up: "yes", speed: 1000 } }), undefined);
  assertEquals(parse({ more: 1 }), undefined);
});

Deno.test("a meter tells of a raw port what its process says, and nothing before it has", () => {
  const status = { irqs_total: 5n, waits_total: 7n, wakeups_total: 3n, pio_total: 0n } as ClaimStatus;
  const meter = new Meter("raw");
  meter.read(status, { name: undefined });
  assertEquals([meter.measured.link.up, meter.measured.totals.rxPackets], [false, 0]);
  meter.read(status, { name: undefined, traffic: TRAFFIC });
  const { link, rx, tx, disk, totals } = meter.measured;
  assertEquals([link, disk], [TRAFFIC.link, null]);
  assertEquals(totals, { ...TRAFFIC.counters, interrupts: 5, waits: 7, wakeups: 3, portCalls: 0 });
  assert(rx.packets > tx.packets && tx.packets > 0, `${rx.packets} and ${tx.packets} a second`);
  // Its successor counts from zero.
  meter.read(status, { name: undefined });
  assertEquals([meter.measured.rx, meter.measured.totals.rxPackets], [{ packets: 0, bytes: 0 }, 0]);
});
