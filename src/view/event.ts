/** An event as text for people. What drivers say is in it: show it with `plain`. */
import { writtenDuration } from "../duration.ts";
import type { Event } from "../supervisor/schema.ts";

/** What happened, in a line, or more if there is a stack. */
export function eventText(event: Event): string[] {
  switch (event.type) {
    case "starting":
      return [`process ${event.pid} starts${event.spare ? ", a spare that was waiting" : ""}`];
    case "ready":
      return [`ready after ${event.ms.toFixed(0)} ms`];
    case "log":
      return [`says: ${event.text}`];
    case "ended":
      return [
        `ended (${event.reason.kind}): ${event.reason.text}${nextText(event)}${
          event.report ? `; report ${event.report}` : ""
        }`,
        ...(event.reason.stack ? event.reason.stack.split("\n") : []),
      ];
    case "recovered":
      return [
        `recovered: ${event.frame ? "first frame" : "attached"} ${event.ms.toFixed(1)} ms after the death`,
      ];
    case "spare":
      return [`spare ${event.pid} ${event.state === "starting" ? "starts" : `is ${event.state}`}`];
    case "interface":
      return [`has interface ${event.interface}`];
    case "disk":
      return [`has disk ${event.disk}`];
    case "address":
      return [`has address ${event.addresses.join(", ")}`];
    case "upgrade":
      return [
        `upgrade from ${event.from} to ${event.to} ${event.state}${
          event.text === "" ? "" : `: ${event.text}`
        }`,
      ];
    case "fault":
      return [
        event.state === "injected"
          ? `has an injected fault (${event.label}), version ${event.version}`
          : `fault (${event.label}), version ${event.version}, not injected: ${event.text}`,
      ];
    case "dma-fault":
      return [`DMA fault: ${event.text}`];
    case "manifest":
      return [`manifest read again: ${event.text}`];
  }
}

function nextText({ reason, next, delay }: Extract<Event, { type: "ended" }>): string {
  // That says itself who comes next.
  if (reason.kind === "upgrade") return "";
  if (next === "stop") return "; stays stopped";
  if (next === "give-up") return "; given up";
  return delay === 0
    ? "; another takes over"
    : `; another takes over in ${writtenDuration(Math.round(delay))}`;
}
