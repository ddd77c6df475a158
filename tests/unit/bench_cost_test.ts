import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { AddressMap, type Area, areaOfFunction, AREAS } from "../../bench/areas.ts";
import { BURST_MAC, BurstSender } from "../../bench/bursts.ts";
import { type CostBench, formatCostBench, plotCostBench } from "../../bench/cost.ts";
import type { Side } from "../../bench/instructions.ts";
import { takeMoment } from "../../bench/counts.ts";
import { buildPlugin } from "../../src/build.ts";
import { UserError } from "../../src/error.ts";
import { COMPARISON, one } from "./figures.ts";

/** Makes a directory that goes with the test. */
async function withDirectory(run: (directory: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir();
  try {
    await run(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** Has the plugin count blocks, in a program that stands in for QEMU. */
async function count(directory: string, ...blocks: string[]): Promise<Deno.CommandOutput> {
  const plugin = `${await buildPlugin()}/cost.so`;
  const host = `${directory}/host`;
  const source = new URL("../fakes/plugin_host.c", import.meta.url).pathname;
  const built = await new Deno.Command("cc", { args: ["-rdynamic", "-o", host, source] }).output();
  assert(built.success, new TextDecoder().decode(built.stderr));
  return await new Deno.Command(host, { args: [plugin, ...blocks] }).output();
}

Deno.test("the plugin counts what each block executes, and rounds of string instructions apart", () =>
  withDirectory(async (directory) => {
    const file = `${directory}/counts`;
    const empty = await count(directory, `counts=${file}`);
    assertEquals(empty.code, 0);
    const before = await takeMoment(file);
    assertEquals(before.since(before), []);
    const { code } = await count(
      directory,
      `counts=${file}`,
      ...["ffffffff81000000,90,90,c3", "5"],
      ...["7f0000001000,90", "2"],
      // The first round is part of a block, the others are blocks of their own: rep movsb, rep stosq.
      ...["7f0000002000,90,f3a4", "1"],
      ...["7f0000002001,f3a4", "1023"],
      ...["7f0000002003,f348ab", "7"],
      // A branch with a hint, and a block seen again: neither is one.
      ...["7f0000003000,f3c3", "4"],
      ...["ffffffff81000000,90,90,c3", "1"],
      ...["ffffffff81000000,90", "10"],
    );
    assertEquals(code, 0);
    const kernel = 0xffffffff81000000n;
    assertEquals((await takeMoment(file)).since(before), [
      { address: kernel, executions: 6, instructions: 18, repeats: 0 },
      { address: 0x7f0000001000n, executions: 2, instructions: 2, repeats: 0 },
      { address: 0x7f0000002000n, executions: 1, instructions: 2, repeats: 0 },
      { address: 0x7f0000002001n, executions: 1023, instructions: 1023, repeats: 1023 },
      { address: 0x7f0000002003n, executions: 7, instructions: 7, repeats: 7 },
      { address: 0x7f0000003000n, executions: 4, instructions: 4, repeats: 0 },
      { address: kernel, executions: 10, instructions: 10, repeats: 0 },
    ]);
    const none = await count(directory, "nothing");
    assertEquals([none.code, new TextDecoder().decode(none.stderr)], [1, "cost: no counts=FILE\n"]);
  }));

Deno.test("counters that had no room are refused", () =>
  withDirectory(async (directory) => {
    const file = `${directory}/counts`;
    await Deno.writeFile(file, new Uint8Array(BigUint64Array.of(0n, 3n, 0n, 0n, 0n, 0n, 0n, 0n).buffer));
    const moment = await takeMoment(file);
    await assertRejects(() => Promise.resolve().then(() => moment.since(moment)), UserError, "no room for 3");
  }));

Deno.test("addresses are told by functions of the kernel and files of processes", () => {
  const kallsyms = [
    "ffffffff81000000 T startup_64",
    "ffffffff81000100 t udp_queue_rcv_skb",
    "ffffffff81000180 d some_data",
    "ffffffffc0001000 t r3_net_poll\t[ring3]",
    "ffffffffc0002000 t virtqueue_add\t[virtio_ring]",
  ].join("\n");
  const map = new AddressMap(kallsyms, {
    driver: [
      "55d000000000-55d000100000 r-xp 00000000 08:01 12   /usr/local/bin/deno",
      "7f1000000000-7f1000001000 rw-p 00000000 00:00 0",
      "7f1000002000-7f1000003000 r-xp 00000000 00:00 0",
      "7f1000003000-7f1000004000 r-xp 00000000 08:01 13   /ring3/build/ffi/libring3.so",
    ].join("\n"),
    served: "00401000-00480000 r-xp 00001000 00:12 9   /ring3/build/bench/echo",
    supervisor: "",
  });
  const found = (address: bigint) => {
    const { area, name, begins } = map.placeOf(address);
    return `${area}: ${name}${begins ? ", begins" : ""}`;
  };
  assertEquals(found(0xffffffff81000100n), "IP and sockets: udp_queue_rcv_skb, begins");
  assertEquals(found(0xffffffff81000190n), "IP and sockets: udp_queue_rcv_skb");
  assertEquals(found(0xffffffffc0001010n), "ring3.ko: r3_net_poll [ring3]");
  assertEquals(found(0xffffffffc0002010n), "rest of the kernel: virtqueue_add [virtio_ring]");
  assertEquals(found(0xffffffff80000000n), "rest of the kernel: ?");
  assertEquals(found(0x55d000000010n), "Deno and V8: deno");
  assertEquals(found(0x7f1000002010n), "driver and host: compiled at run time");
  assertEquals(found(0x7f1000003010n), "libraries of the driver's process: libring3.so");
  assertEquals(found(0x401000n), "program that is served: /ring3/build/bench/echo");
  assertEquals(found(0x7f1000000010n), "other processes: other processes");
});

Deno.test("functions of the kernel are told apart by their names", () => {
  const cases: [string, Area][] = [
    ["entry_SYSCALL_64", "entry and exit"],
    ["__schedule", "scheduler and wake-ups"],
    ["common_interrupt", "interrupts and timers"],
    ["hrtimer_start_range_ns", "interrupts and timers"],
    ["pci_check_and_set_intx_mask", "PCI configuration"],
    ["dma_map_page_attrs", "DMA and IOMMU"],
    ["ip_rcv", "IP and sockets"],
    ["copy_user_enhanced_fast_string", "copies and checksums"],
    ["kmem_cache_alloc", "memory and locks"],
    ["e1000_clean [e1000]", "e1000.ko"],
  ];
  for (const [name, area] of cases) assertEquals(areaOfFunction(name), area, name);
});

Deno.test("bursts are sent until all of one are back, whole and with right checksums", () =>
  withDirectory(async (directory) => {
    const sockets = { card: `${directory}/card`, outside: `${directory}/outside` };
    const card = Deno.listenDatagram({ transport: "unixpacket", path: sockets.card });
    let [seen, held] = [0, 0];
    let spoil = false;
    const answering = (async () => {
      for await (const [frame] of card) {
        seen++;
        assertEquals(new TextDecoder("latin1").decode(frame.subarray(0, 6)), "\x52\x54\x00\x12\x34\x56");
        assertEquals(
          [...frame.subarray(6, 12)].map((n) => n.toString(16).padStart(2, "0")).join(":"),
          BURST_MAC,
        );
        const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
        assertEquals([sum(frame.subarray(14, 34)), sum(pseudo(view)) + 0], [0xffff, 0xffff]);
        // The ninth is not answered.
        if (seen === 9 && held === 0) {
          held++;
          continue;
        }
        const [from, to] = [view.getUint16(34), view.getUint16(36)];
        view.setUint16(34, to);
        view.setUint16(36, from);
        if (spoil) frame[60] ^= 1;
        await card.send(frame, { transport: "unixpacket", path: sockets.outside });
      }
    })();
    {
      const ends = { mac: "52:54:00:12:34:56", from: "10.3.0.2", to: "10.3.0.15" };
      await using sender = new BurstSender({ sockets, ...ends, port: 7, size: 1024 });
      assertEquals(await sender.send({ burst: 8, datagrams: 16 }), { echoed: 15, lost: 1, wrong: 0 });
      assertEquals(await sender.send({ burst: 32, datagrams: 64 }), { echoed: 64, lost: 0, wrong: 0 });
      assertEquals(await sender.send({ burst: 1, datagrams: 3 }), { echoed: 3, lost: 0, wrong: 0 });
      spoil = true;
      assertEquals(await sender.send({ burst: 1, datagrams: 1 }), { echoed: 0, lost: 1, wrong: 1 });
    }
    assertEquals(seen, 84);
    card.close();
    await answering;
  }));

/** The folded sum of 16-bit words, 0xffff where a checksum in them is right. */
function sum(bytes: Uint8Array): number {
  let total = 0;
  for (let i = 0; i < bytes.length; i++) total += (i & 1) === 0 ? bytes[i] << 8 : bytes[i];
  while (total > 0xffff) total = (total & 0xffff) + (total >> 16);
  return total;
}

/** The UDP datagram of a frame behind its pseudo header. */
function pseudo(frame: DataView): Uint8Array {
  const length = frame.getUint16(38);
  const bytes = new Uint8Array(12 + length);
  bytes.set(new Uint8Array(frame.buffer, frame.byteOffset + 26, 8));
  bytes[9] = 17;
  new DataView(bytes.buffer).setUint16(10, length);
  bytes.set(new Uint8Array(frame.buffer, frame.byteOffset + 34, length), 12);
  return bytes;
}

function side(total: number, repeats: number, functions: Record<string, number>): Side {
  const areas = Object.fromEntries(AREAS.map((area) => [area, 0])) as Record<Area, number>;
  return {
    user: one(total / 4),
    kernel: one(total * 3 / 4),
    total: one(total),
    repeats: one(repeats),
    areas: { ...areas, "IP and sockets": total },
    functions,
    calls: { try_to_wake_up: total / 10000 },
  };
}

Deno.test("costs are tables of both drivers with their ratios, and of where they differ", () => {
  const result: CostBench = {
    bench: "cost",
    ...COMPARISON,
    iommu: false,
    processors: 1,
    device: "e1000",
    amount: 1024,
    stretches: 5,
    idle: { kernel: side(70_000, 0, {}), ring3: side(9_000_000, 0, {}) },
    points: [{
      size: 1,
      kernel: side(20_000, 4000, { ip_rcv: 300, "e1000_clean [e1000]": 500 }),
      ring3: side(24_000, 4000, { ip_rcv: 300, "r3_net_poll [ring3]": 900 }),
    }],
  };
  const text = formatCostBench(result);
  assertStringIncludes(text, "Linux 6.1 (tcg, 1 processor, IOMMU off): medians of 5 rounds of 5 stretches");
  assertStringIncludes(text, "20000 (19999–20001)");
  assertStringIncludes(text, "a second: kernel 70000 (69999–70001), ring3 9000000 (8999999–9000001); where");
  assertStringIncludes(text, "1.200 |");
  assertStringIncludes(text, "1.250 |");
  assert(text.indexOf("r3_net_poll [ring3]") < text.lastIndexOf("e1000_clean [e1000]"));
  assert(text.endsWith("\nring3's driver ended"));
  assertStringIncludes(plotCostBench(result), "Guest instructions");
});
