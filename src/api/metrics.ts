/** Metrics in Prometheus' text exposition format 0.0.4. Their names are stable; docs/api.md lists them. */
import config from "../../deno.json" with { type: "json" };
import type { Fleet } from "../supervisor/contract.ts";
import { type Driver, STATES } from "../supervisor/schema.ts";
import type { EventStreams } from "./stream.ts";

/** Upper bounds of the recovery histogram, seconds. */
export const RECOVERY_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const;

/** The media type of the format. */
export const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

type Labels = Record<string, string>;

/** One line: a suffix of the metric's name, labels, and a value; left out where the value is null. */
type Sample = { suffix?: string; labels: Labels; value: number | null };

/** A metric with a value for each driver. */
interface DriverMetric {
  name: string;
  type: "gauge" | "counter";
  help: string;
  of(driver: Driver): number | null;
}

const flag = (value: boolean) => value ? 1 : 0;

const DRIVER_METRICS: readonly DriverMetric[] = [
  gauge("uptime_seconds", "Since the present process became ready; 0 if none is.", (d) => d.uptime),
  counter("restarts_total", "Processes that took over from one that had failed.", (d) => d.restarts.total),
  gauge(
    "restart_budget_left",
    "Restarts left in the budget's window; absent without a limit.",
    ({ restarts: { budget, used } }) => budget === null ? null : Math.max(0, budget - used),
  ),
  counter("received_packets_total", "Packets received.", (d) => d.totals.rxPackets),
  counter("received_bytes_total", "Bytes received.", (d) => d.totals.rxBytes),
  counter("received_dropped_total", "Received packets dropped.", (d) => d.totals.rxDropped),
  counter("transmitted_packets_total", "Packets transmitted.", (d) => d.totals.txPackets),
  counter("transmitted_bytes_total", "Bytes transmitted.", (d) => d.totals.txBytes),
  counter("transmitted_dropped_total", "Packets to transmit dropped.", (d) => d.totals.txDropped),
  counter("interrupts_total", "Interrupts of the device.", (d) => d.totals.interrupts),
  counter("waits_total", "Times the driver called the kernel to wait.", (d) => d.totals.waits),
  counter(
    "port_calls_total",
    "Batches of accesses to I/O ports, each a system call.",
    (d) => d.totals.portCalls,
  ),
  counter("wakeups_total", "Times the driver slept and was woken.", (d) => d.totals.wakeups),
  counter("disk_reads_total", "Reads of its disk; absent without one.", (d) => d.disk && d.disk.totals.reads),
  counter("disk_read_bytes_total", "Bytes read.", (d) => d.disk && d.disk.totals.readBytes),
  counter("disk_writes_total", "Writes to its disk.", (d) => d.disk && d.disk.totals.writes),
  counter("disk_written_bytes_total", "Bytes written.", (d) => d.disk && d.disk.totals.writtenBytes),
  counter("disk_discards_total", "Discards.", (d) => d.disk && d.disk.totals.discards),
  counter("disk_flushes_total", "Flushes of its cache.", (d) => d.disk && d.disk.totals.flushes),
  gauge("disk_depth", "Requests at a time, over the last reading.", (d) => d.disk && d.disk.depth),
  gauge("memory_bytes", "Private memory of the driver's process; absent without one.", (d) => d.memory),
  gauge("spare_ready", "1 if a spare process waits to take over.", (d) => flag(d.spare.state === "ready")),
  gauge(
    "spare_memory_bytes",
    "Private memory of the spare process; absent without one.",
    (d) => d.spare.memory,
  ),
  gauge("link_up", "1 if the device has a link.", (d) => flag(d.link.up)),
  gauge(
    "walls_missing",
    "Parts of its process's sandbox that do not stand; absent without a process.",
    (d) => d.walls && Object.values(d.walls).filter((standing) => standing !== "stands").length,
  ),
  gauge(
    "confined",
    "1 if an IOMMU confines the device, 0 if it can reach all memory; absent without a device.",
    (d) => d.confined === null ? null : flag(d.confined),
  ),
];

/** Counts recoveries from the moment it is made, and writes all metrics of a fleet. */
export class Metrics implements Disposable {
  readonly #fleet: Fleet;
  readonly #streams: EventStreams;
  readonly #recoveries = new Map<string, Histogram>();
  readonly #unsubscribe: () => void;

  constructor(fleet: Fleet, streams: EventStreams) {
    this.#fleet = fleet;
    this.#streams = streams;
    this.#unsubscribe = fleet.subscribe((event) => {
      if (event.type === "recovered") this.#histogram(event.driver).add(event.ms / 1000);
    });
  }

  [Symbol.dispose](): void {
    this.#unsubscribe();
  }

  /** The whole exposition. */
  text(): string {
    const drivers = this.#fleet.drivers();
    const lines = [
      ...family("ring3_build_info", "gauge", "What runs; always 1.", [
        { labels: { version: config.version, deno: Deno.version.deno }, value: 1 },
      ]),
      ...family(
        "ring3_driver_state",
        "gauge",
        "1 for the state a driver is in, 0 for the others.",
        drivers.flatMap(({ name, state }) =>
          STATES.map((each) => ({ labels: { driver: name, state: each }, value: flag(each === state) }))
        ),
      ),
      ...DRIVER_METRICS.flatMap(({ name, type, help, of }) =>
        family(
          name,
          type,
          help,
          drivers.map((driver) => ({ labels: { driver: driver.name }, value: of(driver) })),
        )
      ),
      ...family(
        "ring3_driver_recovery_seconds",
        "histogram",
        "From the kernel's word of a driver's death to the first frame or request through the next, or its readiness for one.",
        drivers.flatMap(({ name }) => this.#histogram(name).samples({ driver: name })),
      ),
      ...family("ring3_event_stream_clients", "gauge", "Clients that listen to the event stream.", [
        { labels: {}, value: this.#streams.clients },
      ]),
      ...family("ring3_event_stream_lost_total", "counter", "Clients dropped because they did not read.", [
        { labels: {}, value: this.#streams.lost },
      ]),
    ];
    return `${lines.join("\n")}\n`;
  }

  #histogram(driver: string): Histogram {
    const known = this.#recoveries.get(driver);
    if (known) return known;
    const made = new Histogram();
    this.#recoveries.set(driver, made);
    return made;
  }
}

class Histogram {
  readonly #counts = RECOVERY_BUCKETS.map(() => 0);
  #sum = 0;
  #count = 0;

  add(value: number): void {
    this.#sum += value;
    this.#count++;
    for (const [index, bound] of RECOVERY_BUCKETS.entries()) {
      if (value <= bound) this.#counts[index]++;
    }
  }

  samples(labels: Labels): Sample[] {
    return [
      ...RECOVERY_BUCKETS.map((bound, index) => ({
        suffix: "_bucket",
        labels: { ...labels, le: `${bound}` },
        value: this.#counts[index],
      })),
      { suffix: "_bucket", labels: { ...labels, le: "+Inf" }, value: this.#count },
      { suffix: "_sum", labels, value: this.#sum },
      { suffix: "_count", labels, value: this.#count },
    ];
  }
}

function gauge(name: string, help: string, of: DriverMetric["of"]): DriverMetric {
  return { name: `ring3_driver_${name}`, type: "gauge", help, of };
}

function counter(name: string, help: string, of: DriverMetric["of"]): DriverMetric {
  return { name: `ring3_driver_${name}`, type: "counter", help, of };
}

function family(
  name: string,
  type: "gauge" | "counter" | "histogram",
  help: string,
  samples: Sample[],
): string[] {
  const lines = samples.filter(({ value }) => value !== null).map(({ suffix = "", labels, value }) => {
    const pairs = Object.entries(labels).map(([key, text]) => `${key}="${escaped(text)}"`);
    return `${name}${suffix}${pairs.length > 0 ? `{${pairs.join(",")}}` : ""} ${value}`;
  });
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines];
}

/** A label's value as the format wants it; it knows no other escapes. */
function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
