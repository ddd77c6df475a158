/** The one error that drivers and what they import throw: the device, or its grant, is not what it must be. */

/**
 * A device that does not work, or that its manifest does not let work. The message is one line for the
 * person who runs the driver: the action, a colon, what was found.
 */
export class DeviceError extends Error {
  override readonly name = "DeviceError";
}
