/** What has happened to drivers lately, and who wants to know of what happens next. */
import type { Event, EventDetail } from "./schema.ts";

/** Events that are kept. */
const KEPT = 1000;

/** The latest events, numbered and dated. */
export class EventLog {
  readonly #events: Event[] = [];
  readonly #listeners = new Set<(event: Event) => void>();
  #last = 0;

  /** Adds an event and tells the listeners. */
  add(driver: string, detail: EventDetail): Event {
    const event = { id: ++this.#last, time: new Date().toISOString(), driver, ...detail } as Event;
    this.#events.push(event);
    if (this.#events.length > KEPT) this.#events.shift();
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        // Somebody who watches must not keep a driver from being replaced.
        console.error(error);
      }
    }
    return event;
  }

  /** Events with an id above `after`, oldest first, at most `limit` of the latest. */
  list(
    { after = 0, driver, limit = KEPT }: { after?: number; driver?: string; limit?: number } = {},
  ): Event[] {
    const found = this.#events.filter((event) =>
      event.id > after && (driver === undefined || event.driver === driver)
    );
    return limit > 0 ? found.slice(-limit) : [];
  }

  /** Calls `listener` with every event from now on, until the function that is returned is called. */
  subscribe(listener: (event: Event) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
