/** What more than one page shows. */
import type { Child } from "hono/jsx";
import type { Event } from "../../supervisor/schema.ts";
import { clock, eventOf, reportPath, visible } from "../assets/words.js";

/** One of a list of facts. */
export function Fact({ name, children }: { name: Child; children: Child }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** An event in a list; `of`: among those of which drivers. Those of one driver do not name it, nor its report. */
export function EventRow({ event, of }: { event: Event; of: "all" | "one" }) {
  const { word, tone, text, report } = eventOf(event);
  return (
    <li data-tone={tone}>
      <time datetime={event.time}>{clock(event.time, { utc: true })}</time>
      {of === "all" && <bdi class="who">{visible(event.driver)}</bdi>}
      <span class="word">{word}</span>
      <span class="what">
        <bdi>{text}</bdi> {of === "all" && report !== null && <a href={reportPath(report)}>Report</a>}
      </span>
    </li>
  );
}
