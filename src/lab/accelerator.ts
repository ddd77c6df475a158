// KVM where a guest really runs on it, emulation elsewhere: /dev/kvm may be there and still hang every guest.
import { sendSignal } from "../child.ts";
import { cacheKey, cacheRoot } from "./cache.ts";
import { PROBE, PROBED } from "./guest.ts";

/** QEMU's arguments for one way of running the guest's instructions. */
export type Accelerator = "kvm" | "tcg";

/** What a kernel of this size takes to boot on KVM, several times over. */
const PATIENCE_MS = 6000;

/** The arguments that choose an accelerator, and with emulation whether processors share a thread. */
export function acceleratorArguments(
  accelerator: Accelerator,
  { thread = "multi" }: { thread?: "single" | "multi" } = {},
): string[] {
  return accelerator === "kvm"
    // The emulated IOMMU cannot remap interrupts of an interrupt controller inside the kernel.
    ? ["-M", "q35,kernel-irqchip=split", "-accel", "kvm", "-cpu", "host"]
    : ["-M", "q35", "-accel", `tcg,thread=${thread}`, "-cpu", "max"];
}

/** The accelerator that works here, found by booting on it once per kernel of this machine. */
export async function chooseAccelerator(boot: { image: string; initramfs: string }): Promise<Accelerator> {
  if (!await usable("/dev/kvm")) return "tcg";
  const host = await cacheKey({ release: Deno.osRelease(), boot: await bootId() });
  const path = `${cacheRoot()}/kvm-${host}`;
  try {
    return await Deno.readTextFile(path) === "kvm" ? "kvm" : "tcg";
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  const accelerator = await probe(boot) ? "kvm" : "tcg";
  await Deno.writeTextFile(path, accelerator);
  return accelerator;
}

async function probe(boot: { image: string; initramfs: string }): Promise<boolean> {
  const guest = new Deno.Command("setsid", {
    // deno-fmt-ignore
    args: [
      "setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none",
      ...acceleratorArguments("kvm"), "-no-reboot", "-m", "512", "-serial", "stdio",
      "-kernel", boot.image, "-initrd", boot.initramfs, "-append", `console=ttyS0 quiet panic=-1 ${PROBE}`,
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const stop = () => sendSignal(guest, "SIGKILL");
  const timer = setTimeout(stop, PATIENCE_MS);
  try {
    let said = "";
    for await (const text of guest.stdout.pipeThrough(new TextDecoderStream())) {
      said += text;
      if (said.includes(PROBED)) return true;
    }
    return false;
  } finally {
    clearTimeout(timer);
    stop();
    await guest.status;
  }
}

async function usable(path: string): Promise<boolean> {
  try {
    (await Deno.open(path, { read: true, write: true })).close();
    return true;
  } catch {
    return false;
  }
}

/** Virtual machines move between hosts when they are restored, and keep their kernel's release. */
async function bootId(): Promise<string> {
  return await Deno.readTextFile("/proc/sys/kernel/random/boot_id").catch(() => "");
}
