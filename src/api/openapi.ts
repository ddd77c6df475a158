/** The OpenAPI 3.1 document, made from the operations and their schemas. */
import { z } from "zod";
import config from "../../deno.json" with { type: "json" };
import { type Operation, OPERATIONS } from "./operations.ts";
import { type ProblemStatus, titleOf } from "./problem.ts";
import { COMPONENTS } from "./schema.ts";

/** Where the operations are. */
export const PREFIX = "/api/v1";

type Json = Record<string, unknown>;

/** Statuses that every operation may fail with. */
const ALWAYS: readonly ProblemStatus[] = [405, 421, 500];
/** Those of operations that change something. */
const CHANGING: readonly ProblemStatus[] = [400, 401, 403, 413, 415, 429];

const components = z.registry<{ id: string }>();
for (const [id, schema] of Object.entries(COMPONENTS)) components.add(schema, { id });

/** The whole document. */
export function openApi(): Json {
  const paths: Record<string, Json> = {};
  for (const operation of OPERATIONS) {
    const path = operation.path.replace(/:(\w+)/g, "{$1}");
    (paths[`${PREFIX}${path}`] ??= {})[operation.method] = described(operation);
  }
  const { schemas } = z.toJSONSchema(components, { ...OPTIONS, uri: reference });
  return {
    openapi: "3.1.0",
    info: {
      title: "ring3",
      version: config.version,
      license: { name: "MIT", identifier: "MIT" },
      description: "Status and control of drivers that run outside the kernel.",
    },
    paths,
    components: {
      schemas: Object.fromEntries(
        Object.entries(schemas).map(([id, { $schema: _, $id: __, ...schema }]) => [id, schema]),
      ),
      securitySchemes: {
        token: { type: "http", scheme: "bearer", description: "The token in the state directory." },
        session: {
          type: "apiKey",
          in: "cookie",
          name: "ring3_session_{port}",
          description: "Set by a one-time URL; {port} is the server's. Needs Origin or Sec-Fetch-Site.",
        },
      },
      responses: {
        Problem: {
          description: "Problem details, RFC 9457.",
          content: { "application/problem+json": { schema: { $ref: reference("Problem") } } },
        },
      },
    },
  };
}

/** The types are those of what is sent: more members may come, and `default` is for what may be left out. */
const OPTIONS = {
  io: "input",
  // The format says it, and says it shorter.
  override({ jsonSchema }) {
    if (jsonSchema.format === "date-time") delete jsonSchema.pattern;
  },
} as const satisfies Parameters<typeof z.toJSONSchema>[1];

function reference(id: string): string {
  return `#/components/schemas/${id}`;
}

function described({ id, path, method, summary, query, body, answer, problems }: Operation): Json {
  const inPath = /:(\w+)/.exec(path)?.[1];
  const parameters = [
    ...(inPath ? [{ name: inPath, in: "path", required: true, schema: { type: "string" } }] : []),
    ...(query ? queryParameters(query) : []),
  ];
  const changes = method === "post";
  const statuses = [...ALWAYS, ...(changes ? CHANGING : query ? [400 as const] : []), ...problems];
  return {
    operationId: id,
    summary,
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(body
      ? {
        requestBody: {
          required: !body.safeParse({}).success,
          content: { "application/json": { schema: inPlace(body) } },
        },
      }
      : {}),
    ...(changes ? { security: [{ token: [] }, { session: [] }] } : {}),
    responses: {
      [answer.status]: {
        description: answer.description,
        content: answer.schema
          ? { "application/json": { schema: inPlace(answer.schema) } }
          : { [answer.type!]: { schema: { type: "string" } } },
      },
      ...Object.fromEntries(
        [...new Set(statuses)].sort((a, b) => a - b).map((status) => [
          status,
          { $ref: "#/components/responses/Problem", summary: titleOf(status) },
        ]),
      ),
    },
  };
}

function queryParameters(query: z.ZodType): Json[] {
  // As parsed: numbers, where the query itself is text.
  const { properties = {}, required = [] } = z.toJSONSchema(query, { ...OPTIONS, io: "output" });
  return Object.entries(properties).map(([name, schema]) => {
    const { description, ...rest } = schema as Json;
    return { name, in: "query", required: required.includes(name), description, schema: rest };
  });
}

/** A schema where it is used, with what is named only referred to. */
function inPlace(schema: z.ZodType): Json {
  const id = Object.entries(COMPONENTS).find(([, component]) => component === schema)?.[0];
  if (id !== undefined) return { $ref: reference(id) };
  const { $schema: _, $defs: __, ...json } = z.toJSONSchema(schema, OPTIONS);
  return JSON.parse(JSON.stringify(json).replaceAll('"$ref":"#/$defs/', '"$ref":"#/components/schemas/'));
}
