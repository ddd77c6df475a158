/** The TypeScript layouts and numbers against the C header, as the compiler sees it. */
import { assertEquals } from "@std/assert";
import * as uapi from "../../src/kernel/uapi.ts";
import * as request from "../../src/block/request.ts";
import * as rings from "../../src/driver/rings.ts";

const ROOT = new URL("../../", import.meta.url);

/** Constants that must agree: name in the header, value here. */
const CONSTANTS: Record<string, number> = {
  R3_ABI_VERSION: uapi.ABI_VERSION,
  R3_MAX_STALL_MS: uapi.MAX_STALL_MS,
  R3_WAIT_FOREVER: uapi.WAIT_FOREVER,
  R3_MAX_HOLD_MS: uapi.MAX_HOLD_MS,
  R3_MAX_PIO: uapi.MAX_PIO,
  R3_WINDOW_IO: uapi.WINDOW_IO,
  ...numbered("R3_IRQ_", {
    NONE: uapi.IRQ_TYPE.none,
    INTX: 1,
    MSI: uapi.IRQ_TYPE.msi,
    MSIX: uapi.IRQ_TYPE.msix,
    IDE: uapi.IRQ_TYPE.ide,
  }),
  ...numbered("R3_END_", {
    NONE: uapi.END.none,
    RELEASED: uapi.END.released,
    REVOKED: uapi.END.revoked,
    DEVICE_LOST: uapi.END.deviceLost,
    PROTOCOL: uapi.END.protocol,
    STALLED: uapi.END.stalled,
  }),
  ...numbered("R3_PORT_KIND_", {
    NONE: uapi.PORT_KIND.none,
    NET: uapi.PORT_KIND.net,
    BLOCK: uapi.PORT_KIND.block,
  }),
  ...numbered("R3_CHANNEL_", {
    NET_TX: uapi.CHANNEL.netTx,
    NET_RX: uapi.CHANNEL.netRx,
    BLOCK: uapi.CHANNEL.block,
  }),
  ...numbered("R3_EVENT_", uapi.EVENT),
  ...numbered("R3_NET_", { ...uapi.NET_FEATURE, ...uapi.NET_FLAG }),
  ...numbered("R3_PIO_", uapi.PIO_FLAG),
  ...numbered("R3_BLOCK_", {
    ...uapi.BLOCK_FEATURE,
    REISSUE: uapi.BLOCK_POLICY.reissue,
    FAIL: uapi.BLOCK_POLICY.fail,
    READ: request.OPERATION.READ,
    WRITE: request.OPERATION.WRITE,
    FLUSH: request.OPERATION.FLUSH,
    DO_DISCARD: request.OPERATION.DISCARD,
    DO_ZEROES: request.OPERATION.ZEROES,
    OPERATION: request.operationOf(0xffffffff),
    FORCE: request.FORCE,
  }),
  ...numbered("R3_BLOCK_E_", request.BLOCK_ERROR),
  ...numbered("R3_ENTRY_", {
    LENGTH: rings.LENGTH_MASK,
    LAST: rings.LAST,
    CONTEXT: rings.CONTEXT,
    CSUM: rings.CSUM,
    TSO: rings.TSO,
    ERROR: rings.ERROR,
    IPV6: rings.IPV6,
  }),
};

function numbered(prefix: string, values: Record<string, number>): Record<string, number> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [prefix + name, value]));
}

/** A C program that prints what the compiler makes of the header. */
function program(): string {
  const lines: string[] = [];
  const print = (key: string, value: string) =>
    lines.push(`\tprintf("${key} %llu\\n", (unsigned long long)(${value}));`);
  for (const { name, offsets } of uapi.STRUCTS) {
    print(`${name}`, `sizeof(struct ${name})`);
    for (const field of Object.keys(offsets)) print(`${name}.${field}`, `offsetof(struct ${name}, ${field})`);
  }
  for (const name of Object.keys(CONSTANTS)) print(name, name);
  for (const [name, number] of Object.entries(uapi.CALL)) {
    print(`CALL ${name}`, `R3_${name} == _IO(R3_IOC, ${number})`);
  }
  return [
    "#include <stddef.h>",
    "#include <stdio.h>",
    '#include "ring3.h"',
    "int main(void)",
    "{",
    ...lines,
    "\treturn 0;",
    "}",
    "",
  ].join("\n");
}

async function run(command: string, args: string[], stdin?: string): Promise<string> {
  const child = new Deno.Command(command, {
    args,
    stdin: stdin === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  if (stdin !== undefined) {
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(stdin));
    await writer.close();
  }
  const { code, stdout } = await child.output();
  assertEquals(code, 0, `${command} failed`);
  return new TextDecoder().decode(stdout);
}

Deno.test("every structure, offset, constant and call number is as in ring3.h", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const include = new URL("kernel-module/uapi", ROOT).pathname;
    await run("cc", ["-Wall", "-Werror", "-I", include, "-x", "c", "-o", `${dir}/offsets`, "-"], program());
    const inC = Object.fromEntries(
      (await run(`${dir}/offsets`, [])).trim().split("\n").map((line) => {
        const at = line.lastIndexOf(" ");
        return [line.slice(0, at), Number(line.slice(at + 1))];
      }),
    );
    const here: Record<string, number> = { ...CONSTANTS };
    for (const { name, size, offsets } of uapi.STRUCTS) {
      here[name] = size;
      for (const [field, offset] of Object.entries(offsets)) here[`${name}.${field}`] = offset;
    }
    for (const name of Object.keys(uapi.CALL)) here[`CALL ${name}`] = 1;
    assertEquals(here, inC);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("no structure of the header is missing here", async () => {
  const header = await Deno.readTextFile(new URL("kernel-module/uapi/ring3.h", ROOT));
  const declared = [...header.matchAll(/^struct (\w+) \{/gm)].map(([, name]) => name);
  assertEquals(declared.sort(), uapi.STRUCTS.map(({ name }) => name).sort());
});

Deno.test("the driver's entries and control blocks lie where the header puts them", () => {
  assertEquals(rings.ENTRY.ADDRESS_LOW * 4, uapi.ENTRY.offsets.address_low);
  assertEquals(rings.ENTRY.ADDRESS_HIGH * 4, uapi.ENTRY.offsets.address_high);
  assertEquals(rings.ENTRY.LENGTH_FLAGS * 4, uapi.ENTRY.offsets.length_flags);
  assertEquals(rings.ENTRY.TOKEN * 4, uapi.ENTRY.offsets.token);
  assertEquals(rings.CONTROL.SUBMITTED * 4, uapi.CHANNEL_CONTROL.offsets.submitted);
  assertEquals(rings.CONTROL.SEEN * 4, uapi.CHANNEL_CONTROL.offsets.seen);
  assertEquals(rings.CONTROL.COMPLETED * 4, uapi.CHANNEL_CONTROL.offsets.completed);
  assertEquals(rings.CONTROL.REAPED * 4, uapi.CHANNEL_CONTROL.offsets.reaped);
});

Deno.test("attaching is one structure, whatever the kind of port", () => {
  const { size, offsets } = uapi.PORT_ATTACH_NET;
  assertEquals(uapi.PORT_ATTACH_BLOCK.size, size);
  assertEquals(uapi.PORT_ATTACH_BLOCK.offsets.block, offsets.net);
});

Deno.test("values come back from encode and decode as they went in", () => {
  const values = {
    argsz: uapi.PORT_CONFIG_NET.size,
    flags: 0,
    kind: 1,
    sequence: 0xffffffff,
    net: {
      mac: new Uint8Array([1, 2, 3, 4, 5, 6]),
      multicasts: 64,
      flags: 5,
      mtu: 9000,
      features: 3,
      multicast: Array.from({ length: 64 }, (_, i) => new Uint8Array([1, 0, 0x5e, 0, 0, i])),
    },
  };
  assertEquals(uapi.PORT_CONFIG_NET.decode(uapi.PORT_CONFIG_NET.encode(values)), values);
});

Deno.test("of a list only what is used comes back, and never more than fits", () => {
  const multicast = Array.from({ length: 64 }, (_, i) => new Uint8Array([1, 0, 0x5e, 0, 0, i]));
  const used = (multicasts: number) =>
    uapi.NET_CONFIG.decode(uapi.NET_CONFIG.encode({ multicasts, multicast })).multicast;
  assertEquals(used(0), []);
  assertEquals(used(2), multicast.slice(0, 2));
  assertEquals(used(0xffff), multicast);
});
