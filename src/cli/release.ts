/** `ring3 release`: a device that no supervisor holds goes back to the kernel. */
import { UserError } from "../error.ts";
import { ERRNO, KernelError, openLibrary, Ring3 } from "../kernel/mod.ts";
import { readDevice, release } from "../pci.ts";
import { builtFiles } from "../run/files.ts";
import { forgetPrevious, previousDriver } from "../supervisor/held_devices.ts";
import { type Command, defineCommand, flag } from "./args.ts";

/**
 * Gives a device back to the driver it was taken from.
 * @returns the driver that has it now, or null.
 * @throws {UserError} if it is not bound to ring3, or somebody has claimed it.
 */
async function giveBack(address: string): Promise<string | null> {
  const device = await readDevice(address);
  if (device.driver !== "ring3") {
    throw new UserError(`${device.address} is not bound to ring3; its driver is ${device.driver ?? "none"}`);
  }
  try {
    using ring3 = new Ring3(openLibrary(builtFiles().library));
    // Whether somebody holds it is known by trying to.
    ring3.claim(device.address)[Symbol.dispose]();
    const previous = await previousDriver(device.address);
    const { driver } = await release(device.address, { previous, probe: true, madeStrict: true });
    await forgetPrevious(device.address);
    return driver;
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    if (error.errno !== ERRNO.EBUSY) throw new UserError(error.message, { cause: error });
    throw new UserError(
      `${device.address} is in use: a supervisor holds it and gives it back when it ends; see ring3 status`,
      { cause: error },
    );
  }
}

/** The command. */
export const releaseCommand: Command = defineCommand({
  name: "ring3 release",
  summary: "Give a device back to the kernel that a killed supervisor has left",
  positionals: [{ name: "address", description: "its PCI address, as ring3 list shows it" }],
  options: { json: flag("print the driver that has it now, as JSON") },
  examples: [{
    line: "ring3 release 0000:01:00.0",
    does: "unbind it from ring3, and offer it to the kernel's drivers",
  }],
  async main({ positionals: [address], options: { json } }) {
    if (Deno.uid() !== 0) throw new UserError("Giving a device back takes root: run it with sudo");
    const driver = await giveBack(address);
    console.log(json ? JSON.stringify({ driver }) : `${address} is back with ${driver ?? "no driver"}`);
    return 0;
  },
});
