/** ring3.ko through its own interface: each program in inside/ is run in a lab, each of its cases is a step. */
import { assertEquals } from "@std/assert";
import { checkout } from "../../src/lab/checkout.ts";
import { run } from "../../src/lab/command.ts";
import { boot, DEFAULT_HARDWARE, type Lab } from "../../src/lab/mod.ts";
import { buildFfi, buildModule } from "../../src/build.ts";
import type { ListedDevice } from "../../src/cli/list.ts";
import { assertHealthy, assertNothingLeft, silent } from "./health.ts";
import type { CaseResult } from "./inside/harness.ts";

/** One program for each area of the interface. */
const AREAS = [
  "calls",
  "claim",
  "grant",
  "mmap",
  "irq",
  "wait",
  "dma",
  "net",
  "remains",
  "recovery",
  "stall",
];

/** Those about disks and I/O ports. */
const DISK_AREAS = ["block", "pio"];

/** Cards of the lab: so many that two of them share an interrupt line. */
const CARDS = 5;

/** Builds the C parts of the tests, where the lab finds them. */
async function buildPrograms(): Promise<void> {
  const directory = `${checkout()}/build/tests`;
  await Deno.mkdir(directory, { recursive: true });
  const common = ["gcc", "-O2", "-std=c11", "-Wall", "-Wextra", "-Werror", "-Wshadow", "-D_GNU_SOURCE"];
  const sources = `${checkout()}/tests/lab/inside`;
  const include = `-I${checkout()}/kernel-module/uapi`;
  for (
    const args of [
      [include, "-static", "-o", `${directory}/child`, `${sources}/child.c`],
      [include, "-shared", "-fPIC", "-o", `${directory}/libcalls.so`, `${sources}/calls.c`],
    ]
  ) await run([...common, ...args], { what: "build the tests' programs" });
}

/** Addresses of the lab's devices with such an id. */
async function devices(lab: Lab, wanted: string): Promise<string[]> {
  const { stdout } = await lab.exec(["ring3", "list", "--json"]);
  const listed = JSON.parse(stdout) as ListedDevice[];
  return listed.filter(({ id }) => id === wanted).map(({ address }) => address);
}

/** Runs one program in the lab; the results of its cases. */
async function runArea(lab: Lab, area: string, addresses: string[]): Promise<CaseResult[]> {
  const program = `tests/lab/inside/${area}.ts`;
  const { code, stdout, stderr } = await lab.exec(
    ["deno", "run", "-A", "--no-check", "--cached-only", program, ...addresses],
  );
  assertEquals(code, 0, `${program} ended with ${code}\n${stdout}${stderr}`);
  return JSON.parse(stdout.trim().split("\n").at(-1)!);
}

/** Debian's, or the one to be tried. */
const KERNELS = DEFAULT_HARDWARE.kernel === "6.1" ? ["6.1", "6.12"] : [DEFAULT_HARDWARE.kernel];

for (const kernel of KERNELS) {
  Deno.test(`ring3.ko through its own interface, on ${kernel}`, async (t) => {
    const hardware = { kernel, nic: Array(CARDS).fill("e1000"), disk: ["ide"] as const };
    await using lab = await boot(hardware, { progress: silent });
    await buildModule(lab.kernel);
    await buildFfi();
    await buildPrograms();
    const cards = await devices(lab, "8086:100f");
    const disks = await devices(lab, "8086:7111");
    assertEquals([cards.length, disks.length], [CARDS, 1]);
    const areas = [
      ...AREAS.map((area) => ({ area, addresses: cards })),
      ...DISK_AREAS.map((area) => ({ area, addresses: [...disks, ...cards] })),
    ];
    // The first IDE disk reads once in a second, so that a transfer can be under way.
    const throttle = { bps: 0, bps_rd: 0, bps_wr: 0, iops: 0, iops_rd: 1, iops_wr: 0 };
    await lab.qmp("block_set_io_throttle", { id: "disk0", ...throttle });
    for (const { area, addresses } of areas) {
      await t.step(area, async (t) => {
        for (const { name, ok, detail } of await runArea(lab, area, addresses)) {
          await t.step(name, () => {
            if (!ok) throw new Error(detail);
          });
        }
      });
      await t.step(`${area}: the kernel is well`, () => assertHealthy(lab));
    }
    await t.step("nothing is left, and the module unloads", async () => {
      await assertNothingLeft(lab);
      assertHealthy(lab);
    });
  });
}
