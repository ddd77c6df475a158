/** The dashboard: all drivers, and what happens to them. Without its script it is true, and stands still. */
import { UNMEASURED } from "../../supervisor/meter.ts";
import type { Driver, Event, ReportSummary } from "../../supervisor/schema.ts";
import { isUnsafe, KILLS, overview, visible } from "../assets/words.js";
import { HOW_TO_ENTER } from "../guard.ts";
import { Card } from "./card.tsx";
import { Layout } from "./layout.tsx";
import { EventRow } from "./parts.tsx";

/** What the page shows. */
export interface DashboardProps {
  drivers: Driver[];
  /** Oldest first. */
  events: Event[];
  /** Latest first. */
  reports: ReportSummary[];
  /** The driver whose events are shown, or empty for all. */
  filter: string;
  /** Whether this browser may steer drivers. */
  session: boolean;
  /** Milliseconds since 1970. */
  now: number;
}

/** The card that the script makes others of. */
const BLANK: Driver = {
  name: "",
  description: "",
  file: "",
  address: null,
  state: "starting",
  since: new Date(0).toISOString(),
  uptime: 0,
  reason: null,
  pid: null,
  memory: null,
  version: { id: "", path: "", since: new Date(0).toISOString() },
  fault: null,
  restarts: { total: 0, used: 0, budget: null, window: 0, next: null },
  recoveries: [],
  spare: { state: "none", pid: null, memory: null },
  port: null,
  interface: null,
  addresses: [],
  ...UNMEASURED,
  grant: [],
  walls: null,
  confined: null,
  warnings: [],
};

/** The page. */
export function DashboardPage({ drivers, events, reports, filter, session, now }: DashboardProps) {
  const unsafe = drivers.filter(isUnsafe).length;
  return (
    <Layout
      title="ring3"
      script
      header={
        <>
          <p class="overview" data-overview>{overview(drivers)}</p>
          <p class="unsafe-count" data-unsafe hidden={unsafe === 0}>{unsafe} unsafe</p>
          <p class="live" data-live hidden>live</p>
        </>
      }
    >
      <h1 class="sr-only">Drivers</h1>
      <p class="notice lost" role="alert" data-lost hidden></p>
      <p class="notice" data-read-only hidden={session}>
        You can look and not steer. To restart, stop or kill drivers, {HOW_TO_ENTER}.
      </p>
      <noscript>
        <p class="notice">
          Without JavaScript this page stands still and its buttons do nothing. Reload it to see what is true;
          steer drivers with the ring3 command.
        </p>
      </noscript>
      <div class="columns" data-dashboard data-session={String(session)} data-filter={filter}>
        <div class="cards" data-cards>
          {drivers.map((driver) => (
            <Card
              driver={driver}
              reports={reports.filter((report) => report.driver === driver.name)}
              now={now}
            />
          ))}
          <p class="panel empty" data-empty hidden={drivers.length > 0}>
            No driver is supervised here. <code>ring3 run NAME</code> starts one.
          </p>
        </div>
        <Timeline drivers={drivers} events={events} filter={filter} />
      </div>
      <p class="sr-only" aria-live="polite" data-announce></p>
      <template data-card>
        <Card driver={BLANK} reports={[]} now={0} />
      </template>
      <Confirm />
    </Layout>
  );
}

function Timeline({ drivers, events, filter }: { drivers: Driver[]; events: Event[]; filter: string }) {
  return (
    <section class="panel timeline" aria-labelledby="timeline-title">
      <header>
        <h2 id="timeline-title">Events</h2>
        <form method="get" action="/" data-filter-form>
          <label class="sr-only" for="filter">Of which driver</label>
          <select id="filter" name="driver">
            <option value="">all drivers</option>
            {drivers.map(({ name }) => (
              <option value={name} selected={name === filter}>{visible(name)}</option>
            ))}
          </select>
          <noscript>
            <button type="submit">Show</button>
          </noscript>
        </form>
        <label class="follow" data-follow hidden>
          <input type="checkbox" checked /> Follow
        </label>
      </header>
      <p class="quiet held" data-held hidden></p>
      <p class="quiet" data-zone>Times are UTC, newest first.</p>
      <ol class="events" data-events tabindex={0} aria-label="Events, newest first">
        {events.toReversed().map((event) => <EventRow event={event} of="all" />)}
      </ol>
    </section>
  );
}

/** One dialog for all actions that ask before they act. */
function Confirm() {
  return (
    <dialog data-confirm aria-labelledby="confirm-title" aria-describedby="confirm-text">
      <form method="dialog">
        <h2 id="confirm-title"></h2>
        <p id="confirm-text"></p>
        <fieldset data-ways hidden>
          <legend>How it ends</legend>
          {Object.entries(KILLS).map(([way, words], index) => (
            <label>
              <input type="radio" name="how" value={way} checked={index === 0} /> {words}
            </label>
          ))}
        </fieldset>
        <div class="actions">
          <button type="submit" value="cancel">Cancel</button>
          <button type="submit" value="yes" class="primary" data-yes autofocus>Yes</button>
        </div>
      </form>
    </dialog>
  );
}
