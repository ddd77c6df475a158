/** `ring3 events`: what has happened to drivers, and what happens. */
import { findTargets, onlyTarget, type Target, targetOf } from "../client/target.ts";
import { type Event, eventSchema } from "../supervisor/schema.ts";
import { UserError } from "../error.ts";
import { eventText } from "../view/event.ts";
import { plain } from "../view/render.ts";
import { type Command, defineCommand, flag, integer, text } from "./args.ts";

/** An event as lines for a terminal, with its local time. */
function shown(event: Event): string[] {
  const time = new Date(event.time).toTimeString().slice(0, 8);
  return eventText(event).map((line, index) =>
    plain(index === 0 ? `${time} ${event.driver} ${line}` : `         ${line}`)
  );
}

/** The command. */
export const eventsCommand: Command = defineCommand({
  name: "ring3 events",
  summary: "Show what has happened to drivers",
  options: {
    follow: flag("go on with what happens, until Ctrl-C", { short: "f" }),
    driver: text("of this driver only", { value: "NAME" }),
    limit: integer("of those before, the latest so many", { value: "N", min: 0, max: 1000, default: 100 }),
    json: flag("print JSON, an event a line"),
  },
  examples: [{ line: "ring3 events -f --driver e1000", does: "the latest, and those to come" }],
  async main({ options: { follow, driver, limit, json } }) {
    await using targets = await findTargets();
    const target = driver === undefined ? onlyTarget(targets) : targetOf(targets, driver);
    const print = (event: Event) => {
      for (const line of json ? [JSON.stringify(event)] : shown(event)) console.log(line);
    };
    const query = new URLSearchParams({ limit: `${limit}`, ...(driver === undefined ? {} : { driver }) });
    const { events } = await target.client.get<{ events: Event[] }>(`events?${query}`);
    for (const event of events) print(event);
    if (follow) await followFrom(target, { after: await latest(target, events), driver, print });
    return 0;
  },
});

/** Id of the last event that there is, which is not always among those that were asked for. */
async function latest(target: Target, shown: Event[]): Promise<number> {
  const { events } = await target.client.get<{ events: Event[] }>("events?limit=1");
  return Math.max(0, ...[...shown.slice(-1), ...(shown.length > 0 ? [] : events)].map(({ id }) => id));
}

/** Prints events until the user or the supervisor ends it. */
async function followFrom(
  target: Target,
  { after, driver, print }: { after: number; driver?: string; print: (event: Event) => void },
): Promise<void> {
  const over = new AbortController();
  const stop = () => over.abort();
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, stop);
  try {
    for await (
      const { data } of target.client.stream(`events/stream?after=${after}`, { signal: over.signal })
    ) {
      const { success, data: event } = eventSchema.safeParse(JSON.parse(data));
      if (success && (driver === undefined || event.driver === driver)) print(event);
    }
    throw new UserError("The supervisor has ended, or let go of this reader");
  } catch (error) {
    if (!over.signal.aborted) throw error;
  } finally {
    for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.removeSignalListener(signal, stop);
  }
}
