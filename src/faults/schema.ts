/** What a fault and a campaign may say: their shape, from it the types, and what is wrong with one that is not right. */
import { z } from "zod";
import { UserError } from "../error.ts";
import { ACTS, isAct } from "./acts.ts";
import { MODELS } from "./models/mod.ts";
import { whenSchema } from "./when.ts";

/** The schemas of a list, in its order. */
type SchemasOf<List extends readonly { schema: unknown }[]> = {
  -readonly [Key in keyof List]: List[Key]["schema"];
};

const inFolder = MODELS.map(({ schema }) => schema) as unknown as SchemasOf<typeof MODELS>;

/** Names of all faults. */
const NAMES: readonly string[] = [...inFolder, ...ACTS].map(({ shape }) => shape.model.value);

const unknownModel = {
  error: ({ input }: { input?: unknown }) => {
    const given = (input as { model?: unknown } | undefined)?.model;
    return given === undefined
      ? 'expected a fault: a model by name, as in { "model": "code.throw" }'
      : `there is no model ${JSON.stringify(given)}; there are ${NAMES.join(", ")}`;
  },
};

/** A fault that lives in a driver's folder. */
export const driverFaultSchema = z.discriminatedUnion("model", inFolder, unknownModel);

/** Any fault: also one that is done to a process or to the machine. */
export const faultSchema = z.discriminatedUnion("model", [...inFolder, ...ACTS], unknownModel);

/** A fault that lives in a driver's folder, as it is written. */
export type DriverFault = z.input<typeof driverFaultSchema>;

/** A fault, as it is written. */
export type Fault = z.input<typeof faultSchema>;

/** Traffic that a driver is under when a fault comes. */
export const WORKLOADS = ["udp", "tcp", "http", "fio", "sqlite"] as const;

/** What may have to hold when a fault is over. */
export const CONDITIONS = ["machine", "kernel", "content", "recovered", "twin"] as const;

/** One of these. */
export type Condition = (typeof CONDITIONS)[number];

/** How many faults an injection has: one, two, five or ten at once, or a second one during recovery. */
export const TOGETHER = ["one", "two", "five", "ten", "recovery"] as const;

/** One of these. */
export type Together = (typeof TOGETHER)[number];

/** Those of which all are in one version of the driver: what a process has only once is not done to it so often. */
export const IN_ONE_DRIVER = ["five", "ten"] as const satisfies readonly Together[];

/** When faults of a campaign come: `after` is drawn from a range. */
const rangeSchema = whenSchema.extend({
  after: z.tuple([z.int().min(0), z.int().min(0)]).refine(([least, most]) => least <= most, {
    error: "expected [least, most]",
  }).describe("Least and most that pass before the fault: the seed draws."),
}).describe("When faults come that do not say so themselves.");

/** A fault with how often it is drawn beside the others. */
const weightedSchema = z.strictObject({
  weight: z.number().positive().default(1).describe("How often, beside the weights of the others."),
  fault: faultSchema,
});

/** A campaign: many faults of one driver under one workload. */
export const campaignSchema = z.strictObject({
  $schema: z.string().optional().describe('"./schema.json": completion and checks in editors.'),
  driver: z.string().min(1).describe("Name of the manifest."),
  workload: z.enum(WORKLOADS).describe("What the driver carries meanwhile."),
  faults: z.array(weightedSchema).min(1).describe("What is drawn from."),
  when: rangeSchema.optional(),
  count: z.int().min(1).optional().describe("How many faults, unless --count says so."),
  together: z.partialRecord(z.enum(TOGETHER), z.number().positive()).default({ one: 1 }).describe(
    "How often, by weight, there is one fault, are two at once, are five or ten in one version of the driver, or " +
      "comes a second one while the driver recovers from the first; that one is from outside the driver.",
  ),
  holds: z.array(z.enum(CONDITIONS)).default([...CONDITIONS]).describe(
    "What must hold after each: the machine runs, the kernel has no warning, content is what was sent or written, " +
      "the driver serves again, and an undisturbed twin has noticed nothing.",
  ),
}).refine(
  ({ together, faults }) => !together.recovery || faults.some(({ fault }) => isAct(fault)),
  { path: ["together", "recovery"], error: "no fault from outside the driver is among the faults" },
).superRefine(({ together, faults }, context) => {
  if (faults.some(({ fault }) => !isAct(fault))) return;
  for (const kind of IN_ONE_DRIVER.filter((kind) => together[kind])) {
    context.addIssue({
      code: "custom",
      path: ["together", kind],
      message: "no fault in the driver is among the faults",
    });
  }
});

/** A campaign, all said. */
export type Campaign = z.output<typeof campaignSchema>;

/** The published JSON Schema of campaigns, as text. */
export function campaignJsonSchema(): string {
  return JSON.stringify(z.toJSONSchema(campaignSchema, { io: "input", reused: "ref" }), null, 2) + "\n";
}

/** What is wrong, a line for each problem. */
function problems(error: z.ZodError, what: string): string {
  return error.issues.map(({ path, message }) =>
    `Cannot use the ${what}: ${path.length > 0 ? `${path.join(".")}: ` : ""}${message}`
  ).join("\n");
}

/** Reads a fault. @throws {UserError} a line for each thing that is wrong with it. */
export function parseFault(value: unknown): z.output<typeof faultSchema> {
  const { success, data, error } = faultSchema.safeParse(value);
  if (!success) throw new UserError(problems(error, "fault"));
  return data;
}

/** Reads a campaign. @throws {UserError} a line for each thing that is wrong with it. */
export function parseCampaign(value: unknown): Campaign {
  const { success, data, error } = campaignSchema.safeParse(value);
  if (!success) throw new UserError(problems(error, "campaign"));
  return data;
}
