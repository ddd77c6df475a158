/** Bodies and queries of the API beside those of src/supervisor/schema.ts. */
import { z } from "zod";
import type { PciDevice } from "../pci.ts";
import { FAULT_LABEL, KILL_WAYS } from "../supervisor/contract.ts";
import {
  diskSchema,
  driverSchema,
  eventSchema,
  reasonSchema,
  reportSchema,
  reportSummarySchema,
  versionSchema,
} from "../supervisor/schema.ts";
import { problemSchema } from "./problem.ts";

/** A PCI device of the machine. */
export const deviceSchema = z.object({
  address: z.string().describe("As in 0000:00:10.0."),
  vendor: z.int(),
  device: z.int(),
  subsystemVendor: z.int(),
  subsystemDevice: z.int(),
  class: z.int().describe("Class, subclass and programming interface, 24 bits."),
  revision: z.int(),
  bars: z.array(z.object({
    index: z.int(),
    space: z.enum(["memory", "io"]),
    start: z.number().describe("Physical address or first I/O port; 0 if the firmware gave it none."),
    size: z.number().describe("Bytes."),
  })),
  interrupts: z.object({
    intx: z.boolean(),
    msi: z.int().describe("Vectors."),
    msix: z.int().describe("Vectors."),
    msixAreas: z.array(z.object({ bar: z.int(), offset: z.number(), length: z.number() })),
  }).optional().describe("Missing if configuration space could not be read whole."),
  driver: z.string().nullable().describe("The driver that holds it."),
  driverOverride: z.string().nullable().describe("The only driver that may take it."),
  iommu: z.object({ group: z.int(), type: z.string() }).nullable(),
  interfaces: z.array(z.object({ name: z.string(), up: z.boolean() })),
}).meta({ id: "Device" }) satisfies z.ZodType<PciDevice>;

/** All drivers at one moment. */
export const driversSchema = z.object({
  time: z.iso.datetime().describe("Of this moment, UTC."),
  drivers: z.array(driverSchema).describe("By name."),
}).meta({ id: "Drivers" });

/** What one driver may touch. */
export const grantSchema = z.object({
  driver: z.string(),
  address: z.string().nullable().describe("PCI address of its device."),
  confined: z.boolean().nullable().describe("Whether an IOMMU confines the device; null before it has one."),
  lines: z.array(z.string()).describe("In words, a line for each kind of thing."),
}).meta({ id: "Grant" });

/** Schemas that the OpenAPI document names; everything else stands where it is used. */
export const COMPONENTS = {
  Device: deviceSchema,
  Disk: diskSchema,
  Driver: driverSchema,
  Drivers: driversSchema,
  Event: eventSchema,
  Grant: grantSchema,
  Problem: problemSchema,
  Reason: reasonSchema,
  Report: reportSchema,
  ReportSummary: reportSummarySchema,
  Version: versionSchema,
} as const;

/** A number in a query, which is text there. */
function whole({ min, max }: { min: number; max: number }) {
  return z.string().regex(/^\d{1,15}$/, "must be a whole number").transform(Number)
    .pipe(z.int().min(min).max(max));
}

const driver = z.string().describe("Only of this driver.");
const after = whole({ min: 0, max: Number.MAX_SAFE_INTEGER });

/** Query of `GET events`. */
export const eventsQuery = z.strictObject({
  after: after.optional().describe("Only events with an id above this."),
  driver: driver.optional(),
  limit: whole({ min: 1, max: 1000 }).optional().describe("The latest so many."),
});

/** Query of `GET events/stream`. */
export const streamQuery = z.strictObject({
  after: after.optional().describe(
    "First the kept events with an id above this; a Last-Event-ID header comes before it.",
  ),
});

/** Query of `GET reports`. */
export const reportsQuery = z.strictObject({ driver: driver.optional() });

/** Body of `POST drivers/:name/upgrade`. */
export const upgradeBody = z.strictObject({
  path: z.string().min(1).max(4096).optional().describe(
    "The driver's file to take, with the folder it lies in; without it, what the driver's own folder now holds.",
  ),
  source: z.string().min(1).max(4096).optional().describe(
    "The file that it is a copy of: what is shown of the version.",
  ),
});

/** Longest that a fault may be asked to stay, milliseconds. */
const LONGEST_FAULT = 24 * 3_600_000;

/** Body of `POST drivers/:name/faults`. */
export const faultBody = upgradeBody.extend({
  label: z.string().regex(FAULT_LABEL, "must be 1 to 200 characters of printable ASCII").describe(
    "Which fault it is: events and reports of its end say so.",
  ),
  for: z.int().min(1).max(LONGEST_FAULT).optional().describe(
    "Milliseconds that it stays once it is ready; without it, until its process ends.",
  ),
});

/** Body of `POST drivers/:name/kill`. */
export const killBody = z.strictObject({
  how: z.enum(KILL_WAYS).default("kill").describe("How it is to end, as a fault would."),
});

/** No body, or an empty object. */
export const emptyBody = z.strictObject({});
