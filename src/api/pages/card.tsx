/** One driver on the dashboard. The script finds the parts by their data attributes and keeps them up to date. */
import type { Child } from "hono/jsx";
import type { Driver, ReportSummary } from "../../supervisor/schema.ts";
import { cardOf, clock, ENDS, reportPath, reportsPath, visible } from "../assets/words.js";
import { Fact } from "./parts.tsx";

/** Reports that a card links to; a page has the rest. */
const LINKED_REPORTS = 3;

/** Buttons, in their order. Those that ask before they act have an ellipsis. */
const ACTIONS = [["restart", "Restart…"], ["stop", "Stop…"], ["start", "Start"], ["kill", "Kill…"]] as const;

/** The texts of a card, by the names that they have in the page. */
type Texts = ReturnType<typeof cardOf>["text"];

/** What a card is rendered from. */
export interface CardProps {
  driver: Driver;
  /** Of this driver, latest first. */
  reports: ReportSummary[];
  /** Milliseconds since 1970. */
  now: number;
}

/** A card. */
export function Card({ driver, reports, now }: CardProps) {
  const { tone, text, lists, shown, budget, actions } = cardOf(driver, now);
  const Field = ({ of }: { of: keyof Texts }) => <span data-field={of}>{text[of]}</span>;
  const label = text.name;
  return (
    <article class="card panel" data-driver={driver.name} data-tone={tone} aria-label={label}>
      <header class="card-head">
        <div>
          <h2>
            <bdi data-field="name">{text.name}</bdi>
          </h2>
          <p class="state">
            <span class="pill">
              <Field of="state" />
            </span>{" "}
            <span class="quiet">
              <Field of="since" />
              <span data-show="next" hidden={!shown.next}>
                , <Field of="next" />
              </span>
            </span>
          </p>
        </div>
        <div class="actions" role="group" aria-label={`Actions on ${label}`}>
          {ACTIONS.map(([action, words]) => (
            <button type="button" data-action={action} disabled hidden={!actions.includes(action)}>
              {words}
            </button>
          ))}
        </div>
      </header>
      <p class="quiet about">
        <bdi data-field="description">{text.description}</bdi> ·{" "}
        <span class="mono" data-field="address">{text.address}</span>
      </p>
      <p class="outcome" role="status" data-outcome></p>

      <p class="band unsafe" data-show="unsafe" hidden={!shown.unsafe}>
        <strong>Unsafe: no IOMMU.</strong>{" "}
        Nothing confines this device: it can reach all memory of this machine.
      </p>
      <p class="band unsafe" data-show="weak" hidden={!shown.weak}>
        <strong>Unsafe: part of its sandbox is missing.</strong> <Field of="holes" />
      </p>
      <p class="band unsafe" data-show="fault" hidden={!shown.fault}>
        <strong>It runs with an injected fault:</strong> <Field of="fault" />
      </p>
      <div class="band end" data-show="end" hidden={!shown.end}>
        <p>
          <strong>
            Last end: <Field of="end" />.
          </strong>{" "}
          <bdi data-field="why">{text.why}</bdi>
        </p>
        <details data-show="stack" hidden={!shown.stack}>
          <summary>Stack</summary>
          <pre tabindex={0} data-field="stack">{text.stack}</pre>
        </details>
      </div>
      <ul class="band warning" data-show="warnings" data-list="warnings" hidden={!shown.warnings}>
        {lists.warnings.map((line) => <li>{line}</li>)}
      </ul>

      <dl class="facts">
        <Fact name={<Field of="linkName" />}>
          <Field of="link" />
        </Fact>
        <Fact name={<Field of="interfaceName" />}>
          <span class="mono" data-field="interface">{text.interface}</span>
          <ul class="mono addresses" data-list="addresses">
            {lists.addresses.map((line) => <li>{line}</li>)}
          </ul>
        </Fact>
        <Fact name="Process">
          <Field of="process" />
          <span class="quiet" data-field="memory">{text.memory}</span>
        </Fact>
        <Fact name="Spare">
          <Field of="spare" />
        </Fact>
        <Fact name="Version">
          <span class="mono" data-field="version">{text.version}</span>
        </Fact>
        <Fact name="Walls">
          <Field of="walls" />
        </Fact>
        <Fact name="Restarts">
          <Field of="used" />
          <span class="quiet">
            , <Field of="total" />
          </span>
          <meter
            data-show="budget"
            data-budget
            hidden={!shown.budget}
            min={0}
            max={budget.max}
            low={budget.max * 0.5}
            high={budget.max * 0.8}
            optimum={0}
            value={budget.used}
            aria-label="Restarts that count against the budget"
          >
          </meter>
        </Fact>
      </dl>

      <div class="charts">
        <Chart name="packets" label="Packets or requests" title={<Field of="packetsName" />}>
          <Series index={0} label={<Field of="inName" />} field="packetsIn" text={text.packetsIn} />
          <Series index={1} label={<Field of="outName" />} field="packetsOut" text={text.packetsOut} />
        </Chart>
        <Chart name="bytes" title="Bytes">
          <Series index={0} label={<Field of="inName" />} field="bytesIn" text={text.bytesIn} />
          <Series index={1} label={<Field of="outName" />} field="bytesOut" text={text.bytesOut} />
        </Chart>
        <Chart name="interrupts" title="Interrupts">
          <Series index={0} field="interrupts" text={text.interrupts} />
        </Chart>
        <Chart name="wakeups" label="Packets or requests per wake-up" title={<Field of="wakeupsName" />}>
          <Series index={0} field="perWakeup" text={text.perWakeup} />
        </Chart>
        <Chart name="recoveries" title="Recoveries" wide>
          <Field of="recoveries" />
        </Chart>
      </div>

      <div class="card-foot">
        <details>
          <summary>What it may touch</summary>
          <ul data-list="grant">{lists.grant.map((line) => <li>{line}</li>)}</ul>
        </details>
        <nav class="reports" aria-label={`Reports of ${label}`}>
          <ul data-reports>
            {reports.slice(0, LINKED_REPORTS).map(({ id, time, reason }) => (
              <li>
                <a href={reportPath(id)}>
                  <time datetime={time}>{clock(time, { utc: true })}</time> {ENDS[reason.kind]}
                </a>
              </li>
            ))}
          </ul>
          <a data-all-reports href={reportsPath(driver.name)}>All reports</a>
        </nav>
      </div>
    </article>
  );
}

/** A chart is drawn by the script; without it, the numbers stand alone. */
function Chart(
  { name, title, label = String(title), wide = false, children }: {
    name: string;
    title: Child;
    /** The title, if it is not a text. */
    label?: string;
    wide?: boolean;
    children: Child;
  },
) {
  return (
    <figure class={wide ? "chart wide" : "chart"}>
      <figcaption>
        <span class="chart-title">{title}</span>
        <span class="numbers">{children}</span>
      </figcaption>
      <div class="plot">
        <span class="scale" data-scale={name} aria-hidden="true"></span>
        <svg data-chart={name} role="img" aria-label={label} viewBox="0 0 240 60" preserveAspectRatio="none">
        </svg>
      </div>
    </figure>
  );
}

function Series(
  { index, label, field, text }: { index: number; label?: Child; field: keyof Texts; text: string },
) {
  return (
    <span class={`series series-${index}`}>
      {label && <span class="quiet">{label}</span>}
      <span data-field={field}>{visible(text)}</span>
    </span>
  );
}
