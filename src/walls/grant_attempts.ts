/** What a hostile manifest asks for: grants that the module makes for nobody. */
import type { GrantRequest } from "../kernel/mod.ts";
import type { Attempt } from "./attempt.ts";

/** A grant to be refused. */
export interface GrantAttempt extends Attempt {
  request: Pick<GrantRequest, "windows">;
}

/** A window of an 82574L, and the words of its refusal. */
function refused(name: string, what: string, parts: {
  window: GrantRequest["windows"][number];
  words: RegExp;
}): GrantAttempt {
  return {
    name,
    what,
    request: { windows: [parts.window] },
    stops: [{ wall: "module", evidence: parts.words }],
  };
}

/** All of them; the card is an 82574L, whose BAR 3 holds the MSI-X table. */
export const GRANT_ATTEMPTS: readonly GrantAttempt[] = [
  refused("be granted an MSI-X table", "interrupts of its choice", {
    window: { bar: 3, offset: 0, length: 4096 },
    words: /^refused: .*the window covers the MSI-X table/,
  }),
  refused("be granted more than a BAR", "what follows it", {
    window: { bar: 0, offset: 0, length: 2 ** 30 },
    words: /^refused: .*BAR 0 is 131072 bytes, the window ends at 1073741824/,
  }),
  refused("be granted part of a page", "the rest of it", {
    window: { bar: 0, offset: 2048, length: 2048 },
    words: /^refused: .*a window is whole pages/,
  }),
];
