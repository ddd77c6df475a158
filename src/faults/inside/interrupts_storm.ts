/** The device interrupts without end: each poll asks it for the next one, through a register that causes it. */
import { type Registers, registers, wo } from "../../driver/mod.ts";
import type { Make } from "./hooks.ts";

export const make: Make<{ bar: number; offset: number; value: number }> = ({ bar, offset, value }, scene) => {
  const map = registers({ CAUSE: wo(offset) });
  let access: Registers | undefined;
  return {
    event(what) {
      if ((what !== "polls" && what !== "ms") || !scene.trigger.hit("the device interrupts without end")) {
        return;
      }
      access ??= scene.device.bar(bar, map);
      access.write(map.CAUSE, value);
    },
  };
};
