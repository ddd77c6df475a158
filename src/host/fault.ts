/** Faults that the supervisor has a driver process commit, to see that it is replaced. */
import type { ControlMessage } from "./messages.ts";

/** How to fail. */
export type Fault = Extract<ControlMessage, { type: "fault" }>["how"];

/** Taken before a driver can replace it. */
const exit: (code?: number) => never = Deno.exit;

/** Exit status of a driver that was told to exit. */
const EXIT_STATUS = 3;

/** Fails in that way, as a defect of the driver would. Returns from none of them. */
export function commitFault(how: Fault): never {
  switch (how) {
    case "stall":
      for (;;);
    case "exception":
      throw new Error("this exception was asked for");
    case "exit":
      return exit(EXIT_STATUS);
    case "out-of-memory": {
      const kept: unknown[] = [];
      for (;;) kept.push(new Array(1024).fill(kept.length));
    }
  }
}
