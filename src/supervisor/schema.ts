/**
 * What a supervisor tells of its drivers: their state, what happens to them, and what is left of the dead.
 * The types of the program, the bodies of the API and its OpenAPI document are all made of these schemas.
 */
import { z } from "zod";
import { STANDINGS } from "./sandbox.ts";

const time = z.iso.datetime().describe("When, UTC.");
const ms = z.number().nonnegative();

/** Every way in which a driver ends. */
export const END_KINDS = [
  "exit",
  "exception",
  "signal",
  "out-of-memory",
  "stall",
  "protocol",
  "failing",
  "dma-fault",
  "device-lost",
  "refused",
  "forbidden",
  "operator",
  "upgrade",
] as const;

/** Why a driver ended, for machines and in words. */
export const reasonSchema = z.object({
  kind: z.enum(END_KINDS).describe(
    "exit: its process ended by itself; exception: it threw; signal: its process was killed; " +
      "out-of-memory: its heap was full; stall: work was pending and it made no progress, or it was not " +
      "ready in time; protocol: it broke the ring protocol; " +
      "failing: it failed one request after the other; " +
      "dma-fault: its device reached outside its memory, and the IOMMU stopped it; device-lost: the device was removed; " +
      "refused: the kernel did not grant what its manifest asks for; " +
      "forbidden: it made a system call that no driver may make; " +
      "operator: somebody asked for it; upgrade: another version took over.",
  ),
  text: z.string().describe("In words. What a driver said is in it: not to be trusted."),
  stack: z.string().optional().describe("Where in the driver, if it threw: lines of its TypeScript source."),
  fault: z.string().optional().describe("Label of the fault that was injected, if the process ran with one."),
}).meta({ id: "Reason" });

/** States of a driver. */
export const STATES = ["starting", "running", "restarting", "waiting", "stopped", "failed"] as const;

const rate = z.object({
  packets: z.number().describe("Packets per second."),
  bytes: z.number().describe("Bytes per second."),
});

const requests = z.object({
  requests: z.number().describe("Requests per second."),
  bytes: z.number().describe("Bytes per second."),
});

/** A disk that a driver serves. */
export const diskSchema = z.object({
  name: z.string().nullable().describe("Its name, as in /dev; null before there is one."),
  size: z.number().describe("Bytes; 0 before there is one."),
  read: requests,
  write: requests,
  depth: z.number().describe("Requests at a time, over the last reading."),
  latency: z.object({ mean: ms, p50: ms, p99: ms }).describe(
    "Milliseconds that a request took, over the last reading: on average, and no longer than half of them and 99 % of them took; 0 without one.",
  ),
  requestsPerWakeup: z.number().describe(
    "Requests of all kinds each time the driver was woken; 0 while idle.",
  ),
  portCallsPerRequest: z.number().describe(
    "Batches of accesses to I/O ports for each request; 0 while idle, and without such ports.",
  ),
  totals: z.object({
    reads: z.number(),
    readBytes: z.number(),
    writes: z.number(),
    writtenBytes: z.number(),
    discards: z.number(),
    flushes: z.number(),
  }).describe("Counted by the kernel since the disk was made."),
}).meta({ id: "Disk" });

/** What a driver was taken from. */
export const versionSchema = z.object({
  id: z.string().describe("Names the content of the driver's folder: the start of its SHA-256."),
  path: z.string().describe("The driver's file that it was taken from."),
  since: time,
}).meta({ id: "Version" });

const standing = z.enum(STANDINGS);

/** One driver and its device at one moment. */
export const driverSchema = z.object({
  name: z.string().describe("The manifest's name."),
  description: z.string(),
  file: z.string().describe(
    "The driver's file that its manifest names; in the folder of another version it has the same path.",
  ),
  address: z.string().nullable().describe("PCI address of its device; null before it has one."),
  state: z.enum(STATES).describe(
    "starting: not ready for the first time; running; restarting: another takes over; waiting: for its " +
      "back-off to pass; stopped: on request, or as its policy says; failed: given up.",
  ),
  since: time.describe("Since when it is in this state."),
  uptime: z.number().describe("Seconds since the present process became ready; 0 if none is."),
  reason: reasonSchema.nullable().describe("Why the last process ended; null if none has."),
  pid: z.number().int().nullable(),
  memory: z.number().nullable().describe("Private memory of its process, bytes."),
  version: versionSchema,
  fault: z.object({
    label: z.string().describe("Which, as whoever injected it calls it."),
    version: z.string().describe("The version that brought it in; the next process is of `version` again."),
  }).nullable().describe("The injected fault that the present process runs with; null without one."),
  restarts: z.object({
    total: z.number().int().describe("Processes that took over from one that had failed."),
    used: z.number().int().describe("Of these, how many count against the budget now."),
    budget: z.number().int().nullable().describe("How many may, within `window`; null: no limit."),
    window: ms.describe("Milliseconds."),
    next: time.nullable().describe("When the next process starts, while waiting."),
  }),
  recoveries: z.array(ms).describe(
    "The latest recovery times, oldest first, at most 100: from the kernel's word of death to the first " +
      "frame through the next driver, milliseconds.",
  ),
  spare: z.object({
    state: z.enum(["none", "starting", "ready"]),
    pid: z.number().int().nullable(),
    memory: z.number().nullable().describe("Private memory it costs, bytes."),
  }),
  port: z.enum(["net", "block", "raw"]).nullable().describe(
    "What its device serves: an interface, a disk, or a program in its own process; null: nobody.",
  ),
  interface: z.string().nullable().describe("Name of the network interface; null before there is one."),
  addresses: z.array(z.string()).describe("Its addresses, with prefix lengths."),
  disk: diskSchema.nullable().describe(
    "Its disk, if it serves one: what is told of packets then stays zero.",
  ),
  link: z.object({ up: z.boolean(), speed: z.number().describe("Mb/s, meaningful while up.") }),
  rx: rate,
  tx: rate,
  interruptsPerSecond: z.number(),
  packetsPerWakeup: z.number().describe("Packets of both directions each time it was woken; 0 while idle."),
  totals: z.object({
    rxPackets: z.number(),
    rxBytes: z.number(),
    rxDropped: z.number(),
    txPackets: z.number(),
    txBytes: z.number(),
    txDropped: z.number(),
    interrupts: z.number(),
    waits: z.number(),
    portCalls: z.number().describe("Batches of accesses to I/O ports, each a system call."),
    wakeups: z.number(),
  }).describe(
    "Counted by the kernel since the device was claimed; frames of a raw port by its present process.",
  ),
  grant: z.array(z.string()).describe("What it may touch, in words, a line each."),
  walls: z.object({
    namespaces: standing,
    landlock: standing,
    seccomp: standing,
    cgroup: standing,
  }).nullable().describe(
    "Which parts of its sandbox stand; missing: this system has no such thing, and its manifest goes on without; " +
      "off: its manifest leaves it out; null if it has no process.",
  ),
  confined: z.boolean().nullable().describe("Whether an IOMMU confines its device; null before it has one."),
  warnings: z.array(z.string()).describe("What its user should know, a line each."),
}).meta({ id: "Driver" });

const base = { id: z.number().int().describe("Rises by one with each event."), time, driver: z.string() };

/** What happens to drivers. */
export const eventSchema = z.discriminatedUnion("type", [
  z.object({
    ...base,
    type: z.literal("starting"),
    pid: z.number().int(),
    spare: z.boolean(),
    version: z.string(),
  })
    .describe("A process gets its grant; `spare`: it was already waiting."),
  z.object({ ...base, type: z.literal("ready"), ms }).describe("It carries traffic; since it got its grant."),
  z.object({ ...base, type: z.literal("log"), text: z.string() }).describe("What the driver says."),
  z.object({
    ...base,
    type: z.literal("ended"),
    pid: z.number().int(),
    reason: reasonSchema,
    next: z.enum(["restart", "stop", "give-up"]),
    delay: ms.describe("Until the next process starts, milliseconds."),
    waited: ms.optional().describe(
      "For a stall: how long work had waited when the kernel ended it, milliseconds.",
    ),
    report: z.string().nullable().describe(
      "Id of its black box, which is written in the background; null if no process could be started.",
    ),
  }),
  z.object({
    ...base,
    type: z.literal("recovered"),
    ms,
    handed: ms.describe("Of it, until the next process was given the device."),
    frame: z.boolean(),
  }).describe(
    "Since the kernel's word of the last driver's death: until the first frame went through the new one, or it did the first request of its disk, or, " +
      "if there was none within a second, or no kernel to see it (`frame` is false), until it had attached or was ready.",
  ),
  z.object({
    ...base,
    type: z.literal("spare"),
    state: z.enum(["starting", "ready", "lost"]),
    pid: z.number().int(),
  }),
  z.object({ ...base, type: z.literal("interface"), interface: z.string() }),
  z.object({ ...base, type: z.literal("disk"), disk: z.string() }),
  z.object({ ...base, type: z.literal("address"), addresses: z.array(z.string()) }),
  z.object({
    ...base,
    type: z.literal("upgrade"),
    state: z.enum(["started", "done", "refused", "reverted"]),
    from: z.string().describe("Version."),
    to: z.string().describe("Version."),
    text: z.string().describe("Why it was refused or reverted; else empty."),
  }),
  z.object({
    ...base,
    type: z.literal("fault"),
    state: z.enum(["injected", "refused"]),
    label: z.string(),
    version: z.string(),
    text: z.string().describe("Why it was refused; else empty."),
  }).describe(
    "A version with a fault has the device, for the life of one process, or did not get as far as that.",
  ),
  z.object({ ...base, type: z.literal("dma-fault"), text: z.string() }).describe(
    "Its device reached outside its memory while no process ran, or it may have been another's: nobody is ended.",
  ),
  z.object({ ...base, type: z.literal("manifest"), text: z.string() }).describe(
    "Its manifest was read again.",
  ),
]).meta({ id: "Event" });

/** Rings of one channel as the kernel sees them; counters run freely modulo 2^32. */
const channelSchema = z.object({
  kind: z.enum(["transmit", "receive", "request"]),
  size: z.number().int(),
  submitted: z.number().int().describe("By the kernel."),
  seen: z.number().int().describe("By the driver, as it wrote it."),
  completed: z.number().int().describe("By the driver, as it wrote it."),
  reaped: z.number().int().describe("By the kernel."),
});

const accessSchema = z.object({
  sequence: z.number().int().describe("Rises by one with each access."),
  bar: z.number().int(),
  offset: z.number().int().describe("Into the BAR, bytes."),
  write: z.boolean(),
  value: z.number().int(),
});

/** What is known of a driver's death at a glance. */
export const reportSummarySchema = z.object({
  id: z.string(),
  time,
  driver: z.string(),
  address: z.string(),
  version: z.string(),
  pid: z.number().int(),
  reason: reasonSchema,
  ran: ms.describe("How long it had been ready, milliseconds; 0 if it never was."),
}).meta({ id: "ReportSummary" });

/** The black box of one death. */
export const reportSchema = reportSummarySchema.extend({
  exit: z.object({ code: z.number().int(), signal: z.string().nullable() }).nullable().describe(
    "How its process ended; null if it had not yet.",
  ),
  stderr: z.array(z.string()).describe("The last lines on its standard error."),
  events: z.array(eventSchema).describe("The last events before, oldest first."),
  registers: z.array(accessSchema).describe(
    "The last register accesses, oldest first, at most 4,096; empty unless the manifest records them.",
  ),
  channels: z.array(channelSchema).describe("Its rings when the grant ended."),
  counters: z.record(z.string(), z.number()).describe("What the kernel held and had counted for the device."),
}).meta({ id: "Report" });

/** Why a driver ended. */
export type Reason = z.infer<typeof reasonSchema>;
/** A kind of end. */
export type EndKind = (typeof END_KINDS)[number];
/** A state of a driver. */
export type State = (typeof STATES)[number];
/** A driver at one moment. */
export type Driver = z.infer<typeof driverSchema>;
/** A disk at one moment. */
export type Disk = z.infer<typeof diskSchema>;
/** Something that happened to a driver. */
export type Event = z.infer<typeof eventSchema>;
/** An event before it is numbered and dated. */
export type EventDetail = Event extends infer E ? E extends Event ? Omit<E, "id" | "time" | "driver"> : never
  : never;
/** A death at a glance. */
export type ReportSummary = z.infer<typeof reportSummarySchema>;
/** The black box of a death. */
export type Report = z.infer<typeof reportSchema>;
/** One access to a register. */
export type RegisterAccess = z.infer<typeof accessSchema>;
/** Rings of one channel. */
export type ChannelState = z.infer<typeof channelSchema>;
