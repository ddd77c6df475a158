/** Errors as the API gives them: problem details, RFC 9457. */
import { z } from "zod";
import { FleetError } from "../supervisor/contract.ts";

/** Titles of the statuses in use. */
const TITLES = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  409: "Conflict",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  421: "Misdirected Request",
  429: "Too Many Requests",
  500: "Internal Server Error",
  502: "Bad Gateway",
  503: "Service Unavailable",
} as const;

/** A status that an error of the API has. */
export type ProblemStatus = keyof typeof TITLES;

/** A body of problem details. */
export const problemSchema = z.looseObject({
  type: z.string().describe("Always about:blank: the status says what kind of problem it is."),
  title: z.string().describe("The status in words."),
  status: z.number().int(),
  detail: z.string().describe("What is wrong here, and what to do."),
  instance: z.string().describe("Path of the request."),
  errors: z.array(z.object({
    in: z.enum(["body", "query"]),
    pointer: z.string().describe("A JSON pointer to what is wrong; empty for the whole."),
    detail: z.string(),
  })).optional().describe("With 400: everything that is wrong with the request."),
  drivers: z.array(z.object({ name: z.string(), state: z.string() })).optional().describe(
    "With 503 of /readyz: the drivers that should run and do not.",
  ),
}).meta({ id: "Problem" });

/** Members of problem details beside those that every problem has. */
export type Extensions = Pick<z.infer<typeof problemSchema>, "errors" | "drivers">;

/** Ends a request with problem details. */
export class Problem extends Error {
  override readonly name: string = "Problem";
  readonly status: ProblemStatus;
  readonly headers: Record<string, string>;
  readonly extensions: Extensions;

  constructor(
    status: ProblemStatus,
    detail: string,
    options: { headers?: Record<string, string>; extensions?: Extensions; cause?: unknown } = {},
  ) {
    super(detail, { cause: options.cause });
    this.status = status;
    this.headers = options.headers ?? {};
    this.extensions = options.extensions ?? {};
  }

  /** As a response to a request for `instance`, a path. */
  response(instance: string): Response {
    const body: z.infer<typeof problemSchema> = {
      type: "about:blank",
      title: TITLES[this.status],
      status: this.status,
      detail: this.message,
      instance,
      ...this.extensions,
    };
    return new Response(JSON.stringify(body), {
      status: this.status,
      headers: { ...this.headers, "Content-Type": "application/problem+json" },
    });
  }
}

/** Statuses of what a fleet refuses. `failed` is of the driver behind this server, hence 502. */
const FLEET_STATUS: Record<FleetError["kind"], ProblemStatus> = {
  "not-found": 404,
  conflict: 409,
  forbidden: 403,
  invalid: 400,
  failed: 502,
};

/** What went wrong as a problem, or undefined for a defect of ring3, of which a client learns nothing more. */
export function knownProblem(error: unknown): Problem | undefined {
  if (error instanceof Problem) return error;
  if (error instanceof FleetError) {
    return new Problem(FLEET_STATUS[error.kind], error.message, { cause: error });
  }
  return undefined;
}

/** Every issue that zod found in one part of a request. */
export function invalid(part: "body" | "query", error: z.ZodError): Problem {
  const errors = error.issues.map(({ path, message }) => ({
    in: part,
    pointer: path.map((key) => `/${String(key).replaceAll("~", "~0").replaceAll("/", "~1")}`).join(""),
    detail: message,
  }));
  const count = errors.length === 1 ? "one thing" : `${errors.length} things`;
  return new Problem(400, `Wrong with the ${part} of this request: ${count}; see "errors"`, {
    extensions: { errors },
  });
}

/** The title of a status. */
export function titleOf(status: ProblemStatus): string {
  return TITLES[status];
}
