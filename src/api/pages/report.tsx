/** Reports: the list, and the black box of one death. */
import type { Child } from "hono/jsx";
import type { Report, ReportSummary } from "../../supervisor/schema.ts";
import { clock, count, ENDS, milliseconds, reportPath, reportsPath, visible } from "../assets/words.js";
import { PREFIX } from "../openapi.ts";
import { Layout } from "./layout.tsx";
import { EventRow, Fact } from "./parts.tsx";

/** All reports, or those of one driver. */
export function ReportsPage({ reports, driver }: { reports: ReportSummary[]; driver?: string }) {
  const title = driver === undefined ? "Reports" : `Reports of ${visible(driver)}`;
  return (
    <Layout title={`${title} · ring3`}>
      <section class="panel page">
        <h1>{title}</h1>
        {driver !== undefined && (
          <p>
            <a href="/reports">Of all drivers</a>
          </p>
        )}
        {reports.length === 0
          ? <p class="quiet">No driver has died, as far as is kept.</p>
          : (
            <Table label={title} columns={["When (UTC)", "Driver", "Why", "In words", "Had run"]}>
              {reports.map(({ id, time, driver, reason, ran }) => (
                <tr>
                  <td>
                    <a href={reportPath(id)}>
                      <time datetime={time}>{moment(time)}</time>
                    </a>
                  </td>
                  <td>
                    <bdi>{visible(driver)}</bdi>
                  </td>
                  <td>{ENDS[reason.kind]}</td>
                  <td class="wrap">
                    <bdi>{visible(reason.text)}</bdi>
                  </td>
                  <td>{milliseconds(ran)}</td>
                </tr>
              ))}
            </Table>
          )}
      </section>
    </Layout>
  );
}

/** One report. */
export function ReportPage({ report }: { report: Report }) {
  const { id, time, driver, address, version, pid, reason, ran, exit, stderr } = report;
  const name = visible(driver);
  return (
    <Layout title={`${name}: ${ENDS[reason.kind]} · ring3`}>
      <article class="panel page">
        <p class="quiet">
          <a href={reportsPath(driver)}>Reports of {name}</a> ·{" "}
          <a href={`${PREFIX}${reportPath(id)}`}>This report as JSON</a>
        </p>
        <h1>
          <bdi>{name}</bdi>: {ENDS[reason.kind]}
        </h1>
        <p class="lead">
          <bdi>{visible(reason.text)}</bdi>
        </p>
        <dl class="facts">
          <Fact name="When">
            <time datetime={time}>{moment(time)} UTC</time>
          </Fact>
          <Fact name="Had run">{ran === 0 ? "was never ready" : milliseconds(ran)}</Fact>
          <Fact name="Device">{visible(address)}</Fact>
          <Fact name="Version">{visible(version)}</Fact>
          <Fact name="Process">{pid}</Fact>
          <Fact name="Exit">
            {exit === null
              ? "had not ended yet"
              : exit.signal === null
              ? `status ${exit.code}`
              : visible(exit.signal)}
          </Fact>
        </dl>
        {reason.stack !== undefined && (
          <Section title="Stack">
            <pre tabindex={0}>{visible(reason.stack, { lines: true })}</pre>
          </Section>
        )}
        {stderr.length > 0 && (
          <Section title="Last lines on its standard error">
            <pre tabindex={0}>{stderr.map((line) => visible(line)).join("\n")}</pre>
          </Section>
        )}
        <Events report={report} />
        <Channels report={report} />
        <Counters report={report} />
        <Registers report={report} />
      </article>
    </Layout>
  );
}

function Events({ report: { events } }: { report: Report }) {
  if (events.length === 0) return null;
  return (
    <Section title="What happened before">
      <ol class="events plain">
        {events.map((event) => <EventRow event={event} of="one" />)}
      </ol>
    </Section>
  );
}

function Channels({ report: { channels } }: { report: Report }) {
  if (channels.length === 0) return null;
  return (
    <Section title="Rings when the grant ended">
      <Table
        label="Rings"
        class="numeric"
        columns={["Ring", "Size", "Submitted", "Seen", "Completed", "Reaped"]}
      >
        {channels.map(({ kind, size, submitted, seen, completed, reaped }) => (
          <tr>
            <th scope="row">{kind}</th>
            {[size, submitted, seen, completed, reaped].map((value) => <td>{count(value)}</td>)}
          </tr>
        ))}
      </Table>
    </Section>
  );
}

function Counters({ report: { counters } }: { report: Report }) {
  const entries = Object.entries(counters);
  if (entries.length === 0) return null;
  return (
    <Section title="The kernel's counters">
      <dl class="facts">
        {entries.map(([name, value]) => <Fact name={visible(name)}>{count(value)}</Fact>)}
      </dl>
    </Section>
  );
}

function Registers({ report: { registers } }: { report: Report }) {
  if (registers.length === 0) return null;
  return (
    <Section title={`Last ${count(registers.length)} register accesses, latest last`}>
      <Table
        label="Register accesses"
        tall
        class="numeric mono"
        columns={["No.", "BAR", "Offset", "Access", "Value"]}
      >
        {registers.map(({ sequence, bar, offset, write, value }) => (
          <tr>
            <td>{sequence}</td>
            <td>{bar}</td>
            <td>{hex(offset, 5)}</td>
            <td>{write ? "write" : "read"}</td>
            <td>{hex(value, 8)}</td>
          </tr>
        ))}
      </Table>
    </Section>
  );
}

function Section({ title, children }: { title: string; children: Child }) {
  return (
    <section>
      <h2>{title}</h2>
      {children}
    </section>
  );
}

/** A table; it may be wider than the page, and scrolls by itself. */
function Table(
  { label, tall = false, class: kind, columns, children }: {
    label: string;
    tall?: boolean;
    class?: string;
    columns: string[];
    children: Child;
  },
) {
  return (
    <div class={tall ? "scroll tall" : "scroll"} role="region" aria-label={label} tabindex={0}>
      <table class={kind}>
        <thead>
          <tr>{columns.map((column) => <th scope="col">{column}</th>)}</tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

function hex(value: number, digits: number): string {
  return `0x${(value >>> 0).toString(16).padStart(digits, "0")}`;
}

function moment(time: string): string {
  return `${time.slice(0, 10)} ${clock(time, { utc: true })}`;
}
