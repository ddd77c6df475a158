/** Faulty versions of a driver in the sandbox, on its card: as good as the real one until their time comes. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type DriverFault, faulty } from "../../src/faults/mod.ts";
import { boot } from "../../src/lab/mod.ts";
import { sh } from "../../src/soak/lab.ts";
import { transfer } from "../../src/soak/tcp.ts";
import { DEVICE, FarEnd, keepQuiet, layWire, PEER, WIRE } from "../../src/soak/wire.ts";
import { newFolder } from "../fakes/faulty_rig.ts";
import { ready } from "./driver_run.ts";
import { assertHealthy, assertNothingLeft, silent } from "./health.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

/** Where a lab has the checkout. */
const CHECKOUT = "/ring3/";

/** Faults that hook into registers, memory, rings and verbs, and never come. */
const NEVER: DriverFault[] = [
  { model: "dma.early", when: { after: 1e9, of: "polls" } },
  { model: "registers.stale", when: { after: 1e9, of: "polls" } },
  { model: "rings.id", when: { after: 1e9, of: "polls" } },
  { model: "interrupts.lost", when: { after: 1e9, of: "polls" } },
];

Deno.test("faulty versions of a driver run in its sandbox, and are found out", async (t) => {
  await using folders = new AsyncDisposableStack();
  const make = async (fault: DriverFault | DriverFault[]) => {
    const to = folders.use(newFolder());
    const folder = `${to.path}/drivers/e1000`;
    await faulty(`${ROOT}drivers/e1000`, fault, { seed: 1, to: folder });
    return folder.replace(ROOT, CHECKOUT);
  };
  const never = await make(NEVER);
  const throwing = await make({ model: "code.throw", when: { after: 300, of: "ms" } });
  const gone = await make({ model: "registers.gone", when: { after: 300, of: "ms" } });

  await using lab = await boot(WIRE, { progress: silent });
  await keepQuiet(lab);
  await using run = await ready(lab, ["e1000", "--device", DEVICE]);
  await layWire(lab);
  await using far = await FarEnd.start(lab);
  const first = run.last("starting")!.version;
  const upgrade = async (folder: string) => {
    const { code, stdout, stderr } = await lab.exec(["ring3", "upgrade", "e1000", "--to", folder]);
    return { code, said: stdout + stderr };
  };
  const told = () =>
    run.events.flatMap((event) =>
      event.type === "log" && event.text.startsWith("fault ") ? [event.text] : []
    );

  await t.step("until its time comes it is as good as any", async () => {
    const { code, said } = await upgrade(never);
    assertEquals(code, 0, said);
    const problems: string[] = [];
    for (const direction of ["in", "out"] as const) {
      const { received, sent } = await transfer(lab, far, { direction, bytes: 2 ** 22, problems });
      assertEquals(received, sent);
    }
    assertEquals([problems, told()], [[], []]);
  });

  const second = run.last("starting")!.version;
  assert(first !== second);
  await t.step("an exception, and a device that is gone, end it", async () => {
    // A driver that nothing is asked of looks at no register.
    const load = lab.spawn(["ping", "-q", "-i", "0.02", PEER], { stdout: "null", stderr: "null" });
    for (
      const [folder, why, line] of [
        [throwing, "Error: this exception was asked for", "fault code.throw: throws, at one of its "],
        [gone, "the device is gone, ", "fault registers.gone: the device is gone, "],
      ]
    ) {
      const before = told().length;
      const { code, said } = await upgrade(folder);
      assertEquals(code, 1, said);
      assertStringIncludes(said, `e1000 is back at version ${second}: `);
      assertStringIncludes(said, why);
      assertEquals(told().length, before + 1);
      assertStringIncludes(told().at(-1)!, line);
    }
    await sh(lab, "pkill -x ping");
    await load.status;
  });

  assertEquals(await run.stop(), { code: 0, stderr: "" });
  await assertNothingLeft(lab);
  assertHealthy(lab);
});
