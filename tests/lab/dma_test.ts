/** What an IOMMU is for: a card that is told to reach a page of another process, with one and without. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { parsePing } from "../../src/check/ping.ts";
import { boot, DEFAULT_HARDWARE, type Lab } from "../../src/lab/mod.ts";
import { sh } from "../../src/soak/lab.ts";
import { DEVICE, PEER } from "../../src/soak/wire.ts";
import { DMA_MACHINE, overwriteSecret, prepareDma, readSecret } from "../../src/walls/dma_attempts.ts";
import { ready } from "./driver_run.ts";
import { assertHealthy, assertNothingLeft, silent } from "./health.ts";

/** The card of somebody who is not to be disturbed. */
const BYSTANDER = "0000:02:00.0";

/** Pings from the bystander's card until told to end; then how many there were and how many were answered. */
async function disturbed(lab: Lab, work: () => Promise<void>): Promise<{ sent: number; received: number }> {
  const ping = lab.spawn(["ping", "-q", "-i", "0.1", "-I", "r3n0", PEER], {
    stdout: "piped",
    stderr: "null",
  });
  const said = new Response(ping.stdout).text();
  await work();
  await sh(lab, "pkill -INT ping");
  return parsePing(await said)!;
}

/** How the IOMMU translates for the card. */
async function typeOf(lab: Lab): Promise<string> {
  return (await sh(lab, `cat /sys/bus/pci/devices/${DEVICE}/iommu_group/type`)).trim();
}

/** Debian's, or the one to be tried. */
const KERNELS = DEFAULT_HARDWARE.kernel === "6.1" ? ["6.1", "6.12"] : [DEFAULT_HARDWARE.kernel];

for (const kernel of KERNELS) {
  Deno.test(`with an IOMMU a card reaches no other page, and its driver is ended, on ${kernel}`, async () => {
    await using lab = await boot({ ...DMA_MACHINE, kernel }, { progress: silent });
    await using bystander = await ready(lab, ["e1000", "--device", BYSTANDER]);
    await prepareDma(lab);
    await sh(lab, `ip address add 10.9.0.3/24 dev r3n0; ping -q -c 1 -w 20 ${PEER}`);
    const { sent, received } = await disturbed(lab, async () => {
      const read = await readSecret(lab, { iommu: "required" });
      assertEquals([read.leaked, read.changed, read.warnings], [false, false, []]);
      assertEquals(read.reason?.kind, "dma-fault", read.reason?.text);
      assertEquals(
        read.reason?.text,
        `the device tried to read ${read.address}, which is not its memory; given up: ` +
          "its manifest says to restart it never",
      );
      const write = await overwriteSecret(lab, { iommu: "required" });
      assertEquals([write.leaked, write.changed, write.overwritten], [false, false, false]);
      assertEquals(write.reason?.kind, "dma-fault", write.reason?.text);
      assertMatch(write.reason!.text, RegExp(`^the device tried to write ${write.address}, which is not`));

      // The same card serves an honest driver as before.
      await using honest = await ready(lab, ["e1000", "--device", DEVICE]);
      const { interface: name } = await honest.next("interface");
      await sh(lab, `ip netns add ours; ip link set ${name} netns ours`);
      await sh(lab, `ip netns exec ours ip address add 10.9.0.4/24 dev ${name}`);
      await sh(lab, `ip netns exec ours ip link set ${name} up`);
      await sh(lab, `ip netns exec ours ping -q -c 20 -i 0.05 -w 20 ${PEER}`);
      assertEquals(await typeOf(lab), "DMA", "what is unmapped is forgotten at once");
      assertEquals(await honest.stop(), { code: 0, stderr: "" });
      assertEquals(await typeOf(lab), "DMA-FQ", "as the kernel's own drivers have it");
    });
    assert(sent > 50, `${sent} pings`);
    // The last one may have been on its way.
    assert(received >= sent - 1, `the bystander: ${received} of ${sent} pings were answered`);
    assertEquals(bystander.events.filter(({ type }) => type === "ended"), []);
    assertEquals(await bystander.stop(), { code: 0, stderr: "" });
    await assertNothingLeft(lab);
    const fault = (access: string) =>
      RegExp(`DMAR: \\[DMA ${access} NO_PASID\\] Request device \\[(0x)?01:(0x)?00\\.0\\] fault addr`);
    assertHealthy(lab, { expected: [fault("Read"), fault("Write")] });
  });
}

Deno.test("without an IOMMU the same driver reads and overwrites a page of another process", async () => {
  await using lab = await boot({ ...DMA_MACHINE, iommu: false }, { progress: silent });
  await using bystander = await ready(lab, ["e1000", "--device", BYSTANDER]);
  await prepareDma(lab);
  const read = await readSecret(lab, { iommu: "preferred" });
  assertEquals([read.leaked, read.reason], [true, null]);
  assertEquals(read.warnings, [`${DEVICE} has no IOMMU: its driver is as trusted as the kernel (unsafe)`]);
  const write = await overwriteSecret(lab, { iommu: "preferred" });
  assertEquals([write.changed, write.overwritten, write.reason], [true, true, null]);
  assertEquals(await bystander.stop(), { code: 0, stderr: "" });
  await assertNothingLeft(lab);
  assertHealthy(lab);
});
