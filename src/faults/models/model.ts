/** What a model of a fault is: one that lives in a driver's folder. */
import { z } from "zod";
import type { Words } from "../../check/content.ts";
import type { Mutate } from "../edit.ts";
import { type Times, timesSchema, whenSchema } from "../when.ts";

/** What a driver must call of its device for a model to have anything to do. */
export type Need = "bar" | "ports" | "dma";

/** What all models have. */
interface Common {
  /** `registers.stuck` */
  name: string;
  /** What goes wrong, in a sentence. */
  about: string;
  /** Which faults of published experiments it carries over, as the page has them. */
  published?: string;
}

/** A fault that is made by changing the driver's source. */
export interface SourceModel extends Common {
  kind: "source";
  mutate: Mutate;
}

/** A fault between an unchanged driver and what it is given. */
export interface WrappedModel extends Common {
  kind: "wrapped";
  /** The file of `inside/` that commits it. */
  file: string;
  /** The driver must call one of these; none: any driver will do. */
  needs: readonly Need[];
  /** How often it is committed unless said. */
  times: Times;
  /** Draws the parameters that a fault leaves open. */
  draw(given: Readonly<Record<string, unknown>>, words: Words): Record<string, unknown>;
}

/** Any model. */
export type Model = SourceModel | WrappedModel;

/** What a fault made by a change of source may say. */
const sourceShape = {
  file: z.string().optional().describe("The file of the folder to change; default: any."),
  site: z.int().min(0).optional().describe(
    "Which of the places there are, from 0; default: the seed chooses.",
  ),
};

/** Describes a model that changes source. Its fault is there from the start, and needs no `when`. */
export function sourceModel<const Name extends string>(
  model: Omit<SourceModel, "kind" | "name"> & { name: Name },
) {
  const schema = z.strictObject({ model: z.literal(model.name), ...sourceShape }).describe(model.about);
  return { ...model, kind: "source" as const, schema };
}

/** Describes a model that stands between the driver and what it is given. */
export function wrappedModel<const Name extends string, Shape extends z.ZodRawShape>(
  model: Omit<WrappedModel, "kind" | "name" | "file" | "needs" | "draw"> & {
    name: Name;
    /** Parameters. */
    shape: Shape;
    needs?: readonly Need[];
    draw?: (given: Readonly<Record<string, unknown>>, words: Words) => Record<string, unknown>;
  },
) {
  const { shape, needs = [], draw = () => ({}), ...rest } = model;
  const schema = z.strictObject({
    model: z.literal(model.name),
    when: whenSchema.optional(),
    times: timesSchema.optional(),
    ...shape,
  }).describe(model.about);
  const file = `${model.name.replace(".", "_")}.ts`;
  return { ...rest, kind: "wrapped" as const, file, needs, draw, schema };
}

/** A register by name, for models of registers. */
export const registerShape = {
  register: z.string().optional().describe(
    "Name of a register or port, or of a row, as the driver's registers.ts has it; default: whichever comes first.",
  ),
};

/** What of the device's memory a fault is in, for models of DMA. */
export const memoryShape = {
  memory: z.int().min(0).optional().describe(
    "Which memory, counted as the driver asks for it with device.dma(), from 0; default: any.",
  ),
};

/** Bytes of a descriptor, for models that tell one from the next. */
export const descriptorShape = {
  ...memoryShape,
  words: z.int().min(1).default(4).describe("32-bit words of a descriptor."),
};

/** How long a descriptor is, for models of what the driver writes into a part of one: that part has to be said too. */
export const writtenShape = {
  ...memoryShape,
  words: z.int().min(1).describe("32-bit words of a descriptor: 4 for the 8254x, 2 for IDE, 16 for NVMe."),
};

/** Which channel a fault is in, for models of rings. */
export const channelShape = {
  channel: z.int().min(0).optional().describe(
    "Which channel of the port: 0 sends and 1 receives frames, or the number of a queue of requests; default: any.",
  ),
};
