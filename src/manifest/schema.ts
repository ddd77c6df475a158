/** The manifest's shape: what a manifest may say, and from it the types and the published JSON Schema. */
import { z } from "zod";
import { DURATION_PATTERN, parseDuration, writtenDuration } from "../duration.ts";
import { parseSize, SIZE_PATTERN } from "../size.ts";

/** Limits of the kernel's contract, `kernel-module/uapi/ring3.h`. */
export const LIMITS = {
  /** R3_MAX_WINDOWS. */
  windows: 8,
  /** R3_MAX_IRQS. */
  interrupts: 32,
  /** The highest BAR of a PCI function. */
  bar: 5,
  /** Bounds of `ring_size` of a port. */
  ring: { min: 64, max: 4096 },
  /** The name of a port, without its NUL. */
  name: 15,
  /** R3_MAX_CHANNELS. */
  queues: 16,
  /** R3_MAX_HOLD_MS. */
  holdMs: 86_400_000,
} as const;

/** `npm:`, a name with or without a scope, and a whole version. */
const PACKAGE = /^npm:(@[a-z0-9][\w.\-]*\/)?[a-z0-9][\w.\-]*@\d+\.\d+\.\d+(-[\w.\-]+)?$/;

/** Says why a value is refused, from within `reading`. */
class Refusal extends Error {}

function refuse(reason: string): never {
  throw new Refusal(reason);
}

/** A field whose value is what `read` makes of what is written; it calls `refuse` for what it cannot take. */
function reading<In extends z.ZodType, Out>(input: In, read: (value: z.output<In>) => Out) {
  return input.transform((value, context): Out => {
    try {
      return read(value);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      context.issues.push({ code: "custom", message: error.message, input: value });
      return z.NEVER;
    }
  });
}

/** Bytes: an integer, or a text with a binary unit. */
function bytes(description: string, least: number) {
  const written = z.union([
    z.number().meta({ type: "integer", minimum: least }),
    z.string().meta({ pattern: SIZE_PATTERN }),
  ], { error: 'expected a size: bytes as a whole number, or a text like "128KiB"' });
  return reading(written, (value) => {
    const size = typeof value === "string" ? parseSize(value) : value;
    if (typeof size === "string") refuse(size);
    if (!Number.isSafeInteger(size) || size < least) {
      refuse(`expected a whole number of bytes, at least ${least}, found ${size}`);
    }
    return size;
  }).describe(description);
}

/** A span of time, in milliseconds once read. */
function duration(description: string, { least = 0, most }: { least?: number; most: number }) {
  const text = z.string().meta({ pattern: DURATION_PATTERN });
  return reading(text, (value) => {
    const ms = parseDuration(value);
    if (typeof ms === "string") refuse(ms);
    if (ms < least || ms > most) {
      refuse(`expected ${writtenDuration(least)} to ${writtenDuration(most)}, found "${value}"`);
    }
    return ms;
  }).describe(description);
}

/** A 16-bit PCI id in hexadecimal. */
function id(description: string) {
  const text = z.string({ error: 'expected an id in quotes like "0x8086"' }).meta({
    pattern: "^0x[0-9a-fA-F]{4}$",
  });
  return reading(text, (value) => {
    if (!/^0x[0-9a-fA-F]{4}$/.test(value)) {
      refuse(`"${value}" is not an id of four hexadecimal digits like "0x8086"`);
    }
    return parseInt(value, 16);
  }).describe(description);
}

/** A list with a bound that does not hide the problems of its elements, as a bound on the array would. */
function upTo<T extends z.ZodType>(element: T, limits: { most: number; least: number; what: string }) {
  const { most, least, what } = limits;
  const when = ({ value }: { value: unknown }) => Array.isArray(value);
  return z.array(element).meta({ maxItems: most, minItems: least })
    .refine((value) => value.length <= most, {
      when,
      error: ({ input }) => `at most ${most} ${what}, found ${(input as unknown[]).length}`,
    })
    .refine((value) => value.length >= least, { when, error: `at least ${least} ${what}, found none` });
}

/** A window of a BAR. */
const window = z.strictObject({
  bar: z.int().min(0).max(LIMITS.bar).describe("Which base address register of the device, 0 to 5."),
  offset: bytes(
    "Where the window begins, in bytes from the start of the BAR. Whole pages, but for I/O ports; default 0.",
    0,
  )
    .optional(),
  length: bytes("How much of the BAR the driver may touch. Whole pages, but for I/O ports.", 1),
});

const INTERRUPT_TYPES = ["intx", "msi", "msix", "ide"] as const;

/** Interrupt vectors: a number, or a number with the way they are signalled. */
const count = z.int().min(0).max(LIMITS.interrupts);
const interrupts = z.union([
  count,
  z.strictObject({
    count: count.describe(`How many vectors, at most ${LIMITS.interrupts}.`),
    type: z.enum(INTERRUPT_TYPES).optional().describe(
      "How the device signals them; default: the best that the device has (msix, msi, intx). " +
        '"ide": as an IDE controller in compatibility mode, ISA interrupt 14 and then 15.',
    ),
  }),
]).transform((value) => typeof value === "number" ? { count: value } : value);

/** Entries of a ring. */
const ring = reading(
  z.int().meta({ enum: [64, 128, 256, 512, 1024, 2048, 4096] }),
  (value) => {
    const { min, max } = LIMITS.ring;
    if (value < min || value > max || (value & (value - 1)) !== 0) {
      refuse(`expected a power of two from ${min} to ${max}, found ${value}`);
    }
    return value;
  },
);

/** A name that the kernel gives, with or without a number of its choice. */
function kernelName({ pattern, like }: { pattern: string; like: string }) {
  return reading(
    z.string().meta({ pattern, maxLength: LIMITS.name }),
    (value) => {
      if (!new RegExp(pattern).test(value) || value === "." || value === "..") {
        refuse(`"${value}" is not ${like} (%d becomes the next free number)`);
      }
      if (new TextEncoder().encode(value).length > LIMITS.name) {
        refuse(`"${value}" is longer than the ${LIMITS.name} bytes of a name`);
      }
      return value;
    },
  );
}

const interfaceName = kernelName({
  pattern: "^[^/:\\s%]+(%d)?$",
  like: 'a name for an interface; write a word like "r3n%d"',
});

/** No disk of another driver begins so, and no partition can be called so. */
const diskName = kernelName({
  pattern: "^r3[a-z]+(%d|[0-9]+)$",
  like: 'a name for a disk; write r3, lower case letters, and a number, like "r3b%d"',
});

const netPort = z.strictObject({
  kind: z.literal("net").describe("A network interface."),
  queues: z.literal(1).optional().describe("Pairs of receive and transmit rings. One, for now."),
  ring: ring.optional().describe(
    "Frames that each ring holds: a power of two from 64 to 4096; default 256.",
  ),
  name: interfaceName.optional().describe(
    'Name of the interface; "%d" becomes the next free number. Default "r3n%d".',
  ),
});

const blockPort = z.strictObject({
  kind: z.literal("block").describe("A disk."),
  queues: z.int().min(1).max(LIMITS.queues).optional().describe(
    "Queues of requests, a pair of rings each; the driver serves as many of them as its device has. Default 1.",
  ),
  ring: ring.optional().describe(
    "Requests and their segments that each ring holds: a power of two from 64 to 4096; default 1024.",
  ),
  name: diskName.optional().describe(
    'Name of the disk; "%d" becomes the next free number. Default "r3b%d".',
  ),
  onDeath: z.enum(["reissue", "fail"]).optional().describe(
    'What becomes of requests in flight when the driver ends: "reissue" (default): the next one gets them again; ' +
      '"fail": they fail. New ones wait for the next driver.',
  ),
  hold: duration("How long requests wait for a driver before they fail; default 1min.", {
    least: 1,
    most: LIMITS.holdMs,
  }).optional(),
  request: duration("How long a driver may keep a request before it is replaced; default 30s.", {
    least: 1,
    most: LIMITS.holdMs,
  }).optional(),
});

const rawPort = z.strictObject({
  kind: z.literal("raw").describe("A program in the driver's process, and no interface of the kernel's."),
  ring: ring.optional().describe(
    "Frames that each ring holds: a power of two from 64 to 4096; default 256. Each takes 4 KiB of `dma`.",
  ),
  program: z.string().min(1).describe("The program's file, relative to this one: all that it consists of."),
});

const port = z.discriminatedUnion("kind", [netPort, blockPort, rawPort], {
  error: 'expected "net", "block" or "raw"',
});

const grant = z.strictObject({
  bars: upTo(window, { most: LIMITS.windows, least: 0, what: "windows" }).optional().describe(
    "Windows of the device's registers. Whatever is not named cannot be touched.",
  ),
  interrupts: interrupts.optional().describe("Interrupts that the driver may wait for; default none."),
  dma: bytes("Memory that the device and the driver may share, in all; default none.", 1).optional(),
  addressBits: z.int().min(24).max(64).optional().describe(
    "Bits of an address that the device drives: no memory beyond is given to it; default 64.",
  ),
  port: port.optional().describe(
    "The other side of the device, in the kernel or beside the driver; without it the driver serves nobody.",
  ),
});

/** An npm package in one version, so that what runs is what was tried. */
const npmPackage = reading(
  z.string().meta({ pattern: PACKAGE.source }),
  (value) => {
    if (!PACKAGE.test(value)) {
      refuse(`"${value}" is not a package with its exact version like "npm:zod@4.6.7"`);
    }
    return value;
  },
);

const HOUR = 3_600_000;

const restart = z.strictObject({
  on: z.enum(["never", "crash", "always"]).optional().describe(
    'When another process takes over: "crash" (default): after every end but exit status 0; "always"; "never".',
  ),
  budget: z.union([z.int().min(0).max(1_000_000), z.literal("unlimited")]).optional().describe(
    "Restarts within `window` after which the driver is given up; default 5. Those that somebody asked for do not count.",
  ),
  window: duration("Default 30min.", { least: 1000, most: 24 * HOUR }).optional(),
  quiet: duration(
    "A driver that has run this long without an end starts with a full budget and no back-off; default 10min.",
    { least: 1000, most: 24 * HOUR },
  ).optional(),
  backoff: z.strictObject({
    from: duration("Wait before the second restart; it doubles with each one.", { most: HOUR }),
    to: duration("Longest wait.", { most: HOUR }),
  }).optional().describe(
    'The first restart comes at once. Default { "from": "100ms", "to": "30s" }; waits vary by a quarter.',
  ),
  fallback: z.enum(["none", "kernel"]).optional().describe(
    'What becomes of the device when the driver is given up: "kernel" hands it to the kernel\'s own driver; default "none".',
  ),
});

const limits = z.strictObject({
  start: duration("How long a process may take from its grant until it is ready; default 30s.", {
    least: 100,
    most: 600_000,
  }).optional(),
  stall: duration(
    "How long work may wait without the driver making progress, before it is replaced; 0s: for ever; default 1s.",
    { most: 600_000 },
  ).optional(),
  heap: bytes("Most memory for its JavaScript objects; default 64MiB.", 16 * 2 ** 20).optional(),
  memory: bytes("Most memory in all, before it is killed; default 192MiB more than `heap`.", 64 * 2 ** 20)
    .optional(),
  threads: z.int().min(16).max(4096).optional().describe("Most threads; default 64."),
  cpu: z.number().min(0.1).max(1024).optional().describe(
    "Most processors that it may keep busy; default 2: one for the driver, one for what V8 does beside it.",
  ),
});

/** Parts of the sandbox that a system may lack. */
export const WALLS = ["namespaces", "landlock", "seccomp", "cgroup"] as const;

/** One of them. */
export type Wall = (typeof WALLS)[number];

/** What is asked of it. */
export type Demand = "required" | "preferred" | "off";

const demand = (description: string) =>
  z.enum(["required", "preferred", "off"]).optional().describe(description);

const walls = z.strictObject({
  namespaces: demand("A file system, process numbers, network, IPC, host name and cgroups of its own."),
  landlock: demand("No file can be opened but those that it was started from."),
  seccomp: demand("No system call but those that a running V8 needs."),
  cgroup: demand("Limits of memory, threads and processor time."),
});

/** The schema of a manifest file. Its input is what is written, its output what the rest of ring3 uses. */
export const manifestSchema = z.strictObject({
  $schema: z.string().optional().describe('"./schema.json": completion and checks in editors.'),
  name: reading(z.string().meta({ pattern: "^[a-z][a-z0-9-]{0,31}$" }), (value) => {
    if (!/^[a-z][a-z0-9-]{0,31}$/.test(value)) {
      refuse(`"${value}" is not a name: a letter, then up to 31 of a-z, 0-9 and "-"`);
    }
    return value;
  }).describe("What the driver is called on the command line."),
  description: z.string().min(1).describe("What it drives, in a line."),
  driver: z.string().min(1).describe(
    "The driver's file, relative to this one, in a folder of its own below `drivers`.",
  ),
  match: upTo(
    z.strictObject({ vendor: id("PCI vendor id."), device: id("PCI device id.") }),
    { most: 1024, least: 1, what: "entries" },
  ).describe("The devices that it drives."),
  packages: upTo(npmPackage, { most: 16, least: 0, what: "packages" }).optional().describe(
    "npm packages that the driver may import besides its own files; default none.",
  ),
  grant: grant.describe("All that the driver may touch."),
  iommu: z.enum(["required", "preferred"]).optional().describe(
    '"required" (default) refuses a device that no IOMMU confines; "preferred" warns and goes on.',
  ),
  spare: z.boolean().optional().describe(
    "Keep a second process started and waiting, which takes over at once; it costs memory. Default false.",
  ),
  restart: restart.optional().describe("What happens when the driver ends."),
  limits: limits.optional().describe("What its process may use before it is replaced."),
  walls: walls.optional().describe(
    'Parts of the sandbox. "required" (default): without it the driver does not start; "preferred": it goes on ' +
      'without; "off": it is left out (unsafe).',
  ),
  jit: z.boolean().optional().describe(
    "False: V8 interprets, and no memory can become code; much slower. Default true.",
  ),
  recordRegisters: z.boolean().optional().describe(
    "Keep the last 4,096 register accesses for the report of its death; each access then costs more. Default false.",
  ),
  options: z.record(z.string(), z.unknown()).optional().describe(
    "Settings for the driver, not interpreted by ring3.",
  ),
}).meta({ title: "ring3 manifest", description: "What a ring3 driver drives, and all that it may touch." });

/** Names of the ways that interrupts are signalled. */
export type InterruptType = (typeof INTERRUPT_TYPES)[number];

/** A manifest as written and checked, before defaults. */
export type ManifestFile = z.output<typeof manifestSchema>;

/** The published JSON Schema, as text. */
export function jsonSchema(): string {
  return JSON.stringify(z.toJSONSchema(manifestSchema, { io: "input" }), null, 2) + "\n";
}
