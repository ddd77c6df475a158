/** What is refused, with the words that say so: what a manifest leaves out, what is in use, what cannot be. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { boot, type Lab } from "../../src/lab/mod.ts";
import { fails, up } from "./driver_run.ts";
import { assertHealthy, assertNothingLeft, silent } from "./health.ts";

const ROOT = new URL("../../", import.meta.url);

type Grant = Record<string, unknown>;

/** Puts a variant of the e1000's manifest into the lab, beside a link to its driver. */
async function variant(lab: Lab, change: (grant: Grant) => void): Promise<string> {
  const manifest = JSON.parse(await Deno.readTextFile(new URL("manifests/e1000.json", ROOT)));
  change(manifest.grant);
  manifest.driver = "../../ring3/drivers/e1000/driver.ts";
  await lab.exec(["mkdir", "-p", "/tmp/manifests"]);
  await lab.exec(["tee", "/tmp/manifests/variant.json"], { stdin: JSON.stringify(manifest) });
  return "/tmp/manifests/variant.json";
}

/** The command register's bits that let the card use memory and the bus: 0 in bit 2 is no mastering. */
async function mastersBus(lab: Lab): Promise<boolean> {
  const { stdout } = await lab.exec([
    "od",
    "-An",
    "-tu2",
    "-j4",
    "-N2",
    "/sys/bus/pci/devices/0000:01:00.0/config",
  ]);
  return (Number(stdout) & 0x4) !== 0;
}

const CASES: { name: string; change: (grant: Grant) => void; says: string }[] = [
  {
    name: "no BAR",
    change: (grant) => delete grant.bars,
    says: "Cannot use BAR 0 of 0000:01:00.0: the manifest grants no window of it",
  },
  {
    name: "a window that is too small",
    change: (grant) => grant.bars = [{ bar: 0, length: "4KiB" }],
    says: "outside the granted window",
  },
  {
    name: "no interrupt",
    change: (grant) => delete grant.interrupts,
    says: "it needs 1 interrupt, the manifest grants none",
  },
  {
    name: "no DMA memory",
    change: (grant) => delete grant.dma,
    says: "bytes of DMA memory: the manifest grants 0, 0 are used",
  },
  {
    name: "no port",
    change: (grant) => delete grant.port,
    says: "Cannot run a net driver on 0000:01:00.0: the manifest grants no port",
  },
];

Deno.test("what a manifest omits is refused in words, and the device stays quiet", async (t) => {
  await using lab = await boot({}, { progress: silent });
  for (const { name, change, says } of CASES) {
    await t.step(name, async () => {
      const { code, stderr } = await fails(lab, [await variant(lab, change)]);
      assertStringIncludes(stderr, says);
      assertEquals(stderr.trimEnd().split("\n").length, 1, stderr);
      assertEquals(code, 1);
      assert(!await mastersBus(lab), "the card must not master the bus");
    });
  }
  await assertNothingLeft(lab);
  assertHealthy(lab);
});

Deno.test("a device in use is left alone", async () => {
  await using lab = await boot({}, { progress: silent });
  await lab.exec(["modprobe", "e1000"]);
  const { code, stderr } = await fails(lab, ["e1000", "--device", "0000:01:00.0"]);
  assertEquals(code, 1);
  assertStringIncludes(stderr, "ring3: 0000:01:00.0 is in use by e1000 (interface eth1, down); add --take");
  const { stdout } = await lab.exec(["readlink", "/sys/bus/pci/devices/0000:01:00.0/driver"]);
  assertStringIncludes(stdout, "/e1000");

  await using taken = await up(lab, ["e1000", "--device", "0000:01:00.0", "--take"]);
  const second = await fails(lab, ["e1000", "--device", "0000:01:00.0"]);
  assertEquals(second.code, 1);
  assertStringIncludes(second.stderr, "ring3: Cannot claim 0000:01:00.0: in use");
  assertEquals(await taken.stop(), { code: 0, stderr: "" });
  const after = await lab.exec(["readlink", "/sys/bus/pci/devices/0000:01:00.0/driver"]);
  assertStringIncludes(after.stdout, "/e1000", "the card is given back");
  await assertNothingLeft(lab);
  assertHealthy(lab);
});

Deno.test("whoever may not, or has no module that loads, is told in a line", async () => {
  await using lab = await boot({}, { progress: silent });
  const user = await lab.exec([
    "setpriv",
    "--reuid",
    "1000",
    "--clear-groups",
    "ring3",
    "run",
    "e1000",
    "--native",
  ]);
  assertEquals(user, {
    code: 1,
    signal: undefined,
    stdout: "",
    stderr: "ring3: Running a driver on this machine takes root: it loads a module and binds a device\n",
  });

  const { stdout: release } = await lab.exec(["uname", "-r"]);
  const module = `/ring3/build/module/${release.trim()}/ring3.ko`;
  await lab.exec(["mount", "--bind", "/etc/hostname", module]);
  const broken = await lab.exec(["ring3", "run", "e1000", "--native"]);
  assertEquals(broken.code, 1);
  assertStringIncludes(broken.stderr, `ring3: Cannot load the module: could not insert module ${module}: `);
  assertEquals(broken.stderr.trimEnd().split("\n").length, 1, broken.stderr);
  await lab.exec(["umount", module]);
  assertHealthy(lab);
});
