/** PCI devices as sysfs shows them, and handing them from driver to driver. */
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { formatList, listed } from "../../src/cli/list.ts";
import { UserError } from "../../src/error.ts";
import {
  bind,
  className,
  deviceNames,
  idText,
  isConfined,
  isLazy,
  listDevices,
  parseAddress,
  readDevice,
  release,
} from "../../src/pci.ts";
import { warningsOf } from "../../src/supervisor/device.ts";
import { config, E1000, FakeSysfs, MEMORY } from "./fake_sysfs.ts";

const ADDRESS = "0000:00:10.0";
const FOLDER = `/bus/pci/devices/${ADDRESS}`;

Deno.test("a device is read with its BARs, driver, interfaces and IOMMU group", async () => {
  const iommu = { group: 7, type: "DMA-FQ" };
  await using sysfs = await FakeSysfs.create({
    [ADDRESS]: { ...E1000, driver: "e1000", net: { eth1: 0x1003 }, iommu },
  });
  const device = await readDevice("00:10.0", { sysfs });
  assertEquals(device, {
    address: ADDRESS,
    vendor: 0x8086,
    device: 0x100f,
    subsystemVendor: 0x1af4,
    subsystemDevice: 0x1100,
    class: 0x020000,
    revision: 3,
    bars: [
      { index: 0, space: "memory", start: 0xfebc0000, size: 0x20000 },
      { index: 1, space: "io", start: 0xc000, size: 64 },
    ],
    interrupts: { intx: true, msi: 0, msix: 0, msixAreas: [] },
    driver: "e1000",
    driverOverride: null,
    iommu,
    interfaces: [{ name: "eth1", up: true }],
  });
  assertEquals(isConfined(device), true);
  assertEquals(isConfined({ ...device, iommu: { group: 7, type: "identity" } }), false);
  assertEquals(isConfined({ ...device, iommu: null }), false);
});

Deno.test("a device that shares its IOMMU group with another is not confined; bridges do not count", async () => {
  const iommu = { group: 7, type: "DMA" };
  const port = { vendor: 0x1b36, device: 0x000c, class: 0x060400, iommu };
  const other = "0000:00:10.1";
  await using alone = await FakeSysfs.create({ [ADDRESS]: { ...E1000, iommu }, "0000:00:01.0": port });
  const device = await readDevice(ADDRESS, { sysfs: alone });
  assertEquals([device.iommu, isConfined(device)], [iommu, true]);
  await using both = await FakeSysfs.create({
    [ADDRESS]: { ...E1000, iommu },
    [other]: { ...E1000, iommu },
    "0000:00:01.0": port,
    "0000:00:11.0": { ...E1000, iommu: { group: 8, type: "DMA" } },
  });
  const shared = await readDevice(ADDRESS, { sysfs: both });
  assertEquals([shared.iommu, isConfined(shared)], [{ ...iommu, shared: [other] }, false]);
  assertEquals(warningsOf(shared), [
    `${ADDRESS} reaches what ${other} of its IOMMU group can reach: its driver is as trusted (unsafe)`,
  ]);
});

Deno.test("a 64-bit BAR is one BAR, and addresses above 4 GiB are exact", async () => {
  const start = 0x4000000000;
  await using sysfs = await FakeSysfs.create({
    [ADDRESS]: { ...E1000, bars: [[start, 0x80000, MEMORY | 0x140000], null, [0xfe000000, 0x1000, MEMORY]] },
  });
  const { bars } = await readDevice(ADDRESS, { sysfs });
  assertEquals(bars, [
    { index: 0, space: "memory", start, size: 0x80000 },
    { index: 2, space: "memory", start: 0xfe000000, size: 0x1000 },
  ]);
});

Deno.test("interrupt capabilities come from configuration space", async () => {
  const msix = { count: 65, bar: 3, table: 0x2000, pending: 0x3000 };
  const circle = config({ msi: 8 });
  circle[0x51] = 0x40;
  await using sysfs = await FakeSysfs.create({
    "0000:00:01.0": { ...E1000, config: config({ pin: 1, msi: 8, msix }) },
    "0000:00:02.0": { ...E1000, config: config({ msi: 1 }).slice(0, 64) },
    "0000:00:03.0": { ...E1000, config: circle },
    "0000:00:04.0": { ...E1000, config: config({}) },
  });
  const found = (await listDevices({ sysfs })).map(({ interrupts }) => interrupts);
  assertEquals(found[0], {
    intx: true,
    msi: 8,
    msix: 65,
    msixAreas: [{ bar: 3, offset: 0x2000, length: 1040 }, { bar: 3, offset: 0x3000, length: 16 }],
  });
  assertEquals(found[1], undefined, "without root only 64 bytes can be read");
  assertEquals(found[2]?.msi, 8, "a list in a circle ends");
  assertEquals(found[3], { intx: false, msi: 0, msix: 0, msixAreas: [] });
});

Deno.test("addresses are completed and checked", () => {
  assertEquals(parseAddress("00:1F.3"), "0000:00:1f.3");
  assertEquals(parseAddress("0001:00:10.0"), "0001:00:10.0");
  for (const bad of ["", "eth0", "00:10", "00:10.8", "../0000:00:10.0", "0000:00:10.0/driver"]) {
    assertThrows(() => parseAddress(bad), UserError, "is not a PCI address; write one like");
  }
});

Deno.test("an absent device and a machine without PCI", async () => {
  await using sysfs = await FakeSysfs.create({});
  assertEquals(await listDevices({ sysfs }), []);
  const none = { root: `${sysfs.root}/none`, write: () => Promise.reject(new Error("nothing to write")) };
  assertEquals(await listDevices({ sysfs: none }), []);
  const said = 'There is no PCI device 0000:00:10.0; "ring3 list --all" shows those there are';
  await assertRejects(() => readDevice(ADDRESS, { sysfs }), UserError, said);
  assertEquals(await release(ADDRESS, { sysfs }), { driver: null });
});

Deno.test("a free device is bound through its override, and released to nobody", async () => {
  await using sysfs = await FakeSysfs.create({ [ADDRESS]: E1000 }, { drivers: ["ring3"] });
  assertEquals(await bind(ADDRESS, "ring3", { sysfs }), { previous: null, madeStrict: false });
  assertEquals((await readDevice(ADDRESS, { sysfs })).driver, "ring3");
  assertEquals(sysfs.writes, [
    `${FOLDER}/driver_override=ring3`,
    `/bus/pci/drivers/ring3/bind=${ADDRESS}`,
  ]);
  assertEquals(await bind(ADDRESS, "ring3", { sysfs }), { previous: null, madeStrict: false });
  assertEquals(sysfs.writes.length, 2, "bound already: nothing is written");

  assertEquals(await release(ADDRESS, { sysfs, previous: null }), { driver: null });
  const after = await readDevice(ADDRESS, { sysfs });
  assertEquals([after.driver, after.driverOverride], [null, null]);
  const writes = sysfs.writes.length;
  assertEquals(await release(ADDRESS, { sysfs }), { driver: null });
  assertEquals(sysfs.writes.length, writes, "released already: nothing is written");
});

Deno.test("a device in use is left alone unless its driver is named", async () => {
  await using sysfs = await FakeSysfs.create({
    [ADDRESS]: { ...E1000, driver: "e1000", net: { eth1: 0x1003, eth2: 0x1002 } },
  }, { drivers: ["ring3"] });
  const said = `${ADDRESS} is in use by e1000 (interface eth1, up; interface eth2, down); ` +
    "add --take to take it from that driver";
  for (const options of [{ sysfs }, { sysfs, from: "igb" }, { sysfs, take: false }]) {
    const error = await assertRejects(() => bind(ADDRESS, "ring3", options), UserError);
    assertEquals(error.message, said);
  }
  assertEquals(sysfs.writes, []);

  const { previous } = await bind(ADDRESS, "ring3", { sysfs, from: "e1000" });
  assertEquals(previous, "e1000");
  assertEquals(sysfs.writes, [
    `${FOLDER}/driver_override=ring3`,
    `${FOLDER}/driver/unbind=${ADDRESS}`,
    `/bus/pci/drivers/ring3/bind=${ADDRESS}`,
  ]);
  assertEquals(await release(ADDRESS, { sysfs, previous: "e1000" }), { driver: "e1000" });
  assertEquals((await readDevice(ADDRESS, { sysfs })).driverOverride, null);
  assertEquals((await bind(ADDRESS, "ring3", { sysfs, take: true })).previous, "e1000");
});

Deno.test("a lazy IOMMU is made strict while no driver has the device, and is left as it was", async () => {
  const lazy = { ...E1000, driver: "e1000", iommu: { group: 7, type: "DMA-FQ" } };
  const TYPE = "/kernel/iommu_groups/7/type";
  await using sysfs = await FakeSysfs.create({ [ADDRESS]: lazy }, { drivers: ["ring3"] });
  const bound = await bind(ADDRESS, "ring3", { sysfs, take: true, strict: true });
  assertEquals(bound, { previous: "e1000", madeStrict: true });
  assertEquals(sysfs.writes.slice(1), [
    `${FOLDER}/driver/unbind=${ADDRESS}`,
    `${TYPE}=DMA`,
    `/bus/pci/drivers/ring3/bind=${ADDRESS}`,
  ]);
  const device = await readDevice(ADDRESS, { sysfs });
  assertEquals([device.iommu?.type, isLazy(device), isConfined(device)], ["DMA", false, true]);
  assertEquals(await release(ADDRESS, { sysfs, ...bound }), { driver: "e1000" });
  assertEquals((await readDevice(ADDRESS, { sysfs })).iommu?.type, "DMA-FQ");

  sysfs.refusing.add("ring3");
  await assertRejects(() => bind(ADDRESS, "ring3", { sysfs, take: true, strict: true }), UserError);
  const after = await readDevice(ADDRESS, { sysfs });
  assertEquals([after.driver, after.iommu?.type], ["e1000", "DMA-FQ"]);
});

Deno.test("an IOMMU that is strict, unasked, or cannot be made so is left alone", async () => {
  for (
    const [type, strict, fixed] of [["DMA", true, false], ["DMA-FQ", false, false], [
      "DMA-FQ",
      true,
      true,
    ]] as const
  ) {
    await using sysfs = await FakeSysfs.create(
      { [ADDRESS]: { ...E1000, iommu: { group: 7, type, fixed } } },
      { drivers: ["ring3"] },
    );
    assertEquals(await bind(ADDRESS, "ring3", { sysfs, strict }), { previous: null, madeStrict: false });
    assertEquals((await readDevice(ADDRESS, { sysfs })).iommu?.type, type);
  }
});

Deno.test("a device that ring3 does not take goes back to its driver", async () => {
  await using sysfs = await FakeSysfs.create({ [ADDRESS]: { ...E1000, driver: "e1000" } }, {
    drivers: ["ring3"],
  });
  sysfs.refusing.add("ring3");
  await assertRejects(
    () => bind(ADDRESS, "ring3", { sysfs, take: true }),
    UserError,
    `Cannot write "${ADDRESS}" to /sys/bus/pci/drivers/ring3/bind: No such device`,
  );
  const after = await readDevice(ADDRESS, { sysfs });
  assertEquals([after.driver, after.driverOverride], ["e1000", null]);
});

Deno.test("binding says what is missing: the module, or root", async () => {
  await using sysfs = await FakeSysfs.create({ [ADDRESS]: E1000 });
  await assertRejects(() => bind(ADDRESS, "ring3", { sysfs }), UserError, 'The kernel has no driver "ring3"');
  await using denied = await FakeSysfs.create({ [ADDRESS]: E1000 }, { drivers: ["ring3"] });
  denied.denied = true;
  await assertRejects(
    () => bind(ADDRESS, "ring3", { sysfs: denied }),
    UserError,
    "needs root; run it with sudo",
  );
});

Deno.test("devices have names with and without pci.ids", async () => {
  await using sysfs = await FakeSysfs.create({
    [ADDRESS]: E1000,
    "0000:00:11.0": { ...E1000, device: 0xbeef },
  });
  const [known, unknown] = await listDevices({ sysfs });
  const file = `${sysfs.root}/pci.ids`;
  await Deno.writeTextFile(
    file,
    "# list\n1af4  Red Hat, Inc.\n\t100f  wrong vendor\n" +
      "8086  Intel Corporation\n\t100e  82540EM\n# between\n\t100f  82545EM\n\t\t8086 1001  board\n9000  Other\n\tbeef  x\n",
  );
  const named = await deviceNames({ file });
  assertEquals(named(known), "Intel Corporation 82545EM");
  assertEquals(named(unknown), "Intel Corporation Ethernet controller");
  const bare = await deviceNames({ file: `${sysfs.root}/none` });
  assertEquals([bare(known), idText(known)], ["Ethernet controller", "8086:100f"]);
  assertEquals(className(0x010802), "NVMe controller");
  assertEquals(className(0x02ff00), "network controller");
  assertEquals(className(0x550000), "class 5500");
});

Deno.test("the list shows what ring3 could drive or holds, and on demand everything", async () => {
  await using sysfs = await FakeSysfs.create({
    "0000:00:01.0": {
      ...E1000,
      vendor: 0x1af4,
      device: 0x1041,
      driver: "virtio-pci",
      virtioNet: { eth0: 1 },
    },
    "0000:00:02.0": { ...E1000, vendor: 0x1234, device: 0x1111, driver: "ring3" },
    [ADDRESS]: { ...E1000, driver: "e1000", iommu: { group: 7, type: "identity" } },
  });
  const root = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${root}/drivers/e1000`, { recursive: true });
    await Deno.mkdir(`${root}/manifests`);
    await Deno.writeTextFile(`${root}/drivers/e1000/driver.ts`, "");
    const shipped = new URL("../../manifests/e1000.json", import.meta.url);
    await Deno.copyFile(shipped, `${root}/manifests/e1000.json`);
    await Deno.writeTextFile(`${root}/manifests/broken.json`, "{");

    const some = await listed({ sysfs, manifests: `${root}/manifests` });
    assertEquals(some.devices.map(({ address, manifest }) => [address, manifest]), [
      ["0000:00:02.0", null],
      [ADDRESS, "e1000"],
    ]);
    assertEquals(some.warnings.length, 1);
    const all = await listed({ sysfs, manifests: `${root}/manifests`, all: true });
    assertEquals(all.devices[0].interfaces, ["eth0"]);
    const lines = formatList(all.devices.map((device) => ({ ...device, name: "NAME" }))).split("\n");
    assertEquals(lines, [
      "ADDRESS       ID         DRIVER             IOMMU GROUP         MANIFEST  DEVICE",
      "0000:00:01.0  1af4:1041  virtio-pci (eth0)  -                   -         NAME",
      "0000:00:02.0  1234:1111  ring3              -                   -         NAME",
      "0000:00:10.0  8086:100f  e1000              7 (passed through)  e1000     NAME",
    ]);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});
