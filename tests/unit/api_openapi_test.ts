/** The OpenAPI document: its shape, that every reference leads somewhere, and that the server does what it says. */
import { assert, assertEquals } from "@std/assert";
import { z } from "zod";
import { fakeDriver, FakeFleet, fakeReport } from "../fakes/fleet.ts";
import { harness } from "./api_harness.ts";

const JSON_BODY = { "Content-Type": "application/json" };

const reference = z.strictObject({
  $ref: z.string().startsWith("#/components/"),
  summary: z.string().optional(),
});

/** JSON Schema 2020-12, as far as the document uses it; anything else is a mistake. */
const schema: z.ZodType = z.lazy(() =>
  z.strictObject({
    $ref: z.string().startsWith("#/components/schemas/").optional(),
    description: z.string().optional(),
    default: z.unknown().optional(),
    type: z.union([z.string(), z.array(z.string())]).optional(),
    const: z.unknown().optional(),
    enum: z.array(z.unknown()).min(1).optional(),
    format: z.enum(["date-time", "uri"]).optional(),
    minimum: z.number().optional(),
    maximum: z.number().optional(),
    minLength: z.number().optional(),
    maxLength: z.number().optional(),
    pattern: z.string().optional(),
    properties: z.record(z.string(), schema).optional(),
    required: z.array(z.string()).optional(),
    additionalProperties: z.union([z.boolean(), schema]).optional(),
    propertyNames: schema.optional(),
    items: schema.optional(),
    anyOf: z.array(schema).min(2).optional(),
    oneOf: z.array(schema).min(2).optional(),
  }).refine(({ properties = {}, required = [] }) => required.every((name) => name in properties), {
    error: "what is required has to be a property",
  })
);

const content = z.record(z.string().regex(/^\w+\/[\w.+-]+$/), z.strictObject({ schema }));

const operation = z.strictObject({
  operationId: z.string().regex(/^[a-z][A-Za-z]+$/),
  summary: z.string().min(1),
  parameters: z.array(z.strictObject({
    name: z.string(),
    in: z.enum(["path", "query"]),
    required: z.boolean(),
    description: z.string().optional(),
    schema,
  })).optional(),
  requestBody: z.strictObject({ required: z.boolean(), content }).optional(),
  security: z.array(z.record(z.string(), z.tuple([]))).optional(),
  responses: z.record(
    z.string().regex(/^[2-5]\d\d$/),
    z.union([reference, z.strictObject({ description: z.string().min(1), content })]),
  ),
});

const documentSchema = z.strictObject({
  openapi: z.literal("3.1.0"),
  info: z.strictObject({
    title: z.string(),
    version: z.string(),
    description: z.string(),
    license: z.strictObject({ name: z.string(), identifier: z.string() }),
  }),
  paths: z.record(
    z.string().startsWith("/api/v1/"),
    z.strictObject({ get: operation.optional(), post: operation.optional() }),
  ),
  components: z.strictObject({
    schemas: z.record(z.string().regex(/^[A-Z]\w+$/), schema),
    securitySchemes: z.strictObject({
      token: z.strictObject({
        type: z.literal("http"),
        scheme: z.literal("bearer"),
        description: z.string(),
      }),
      session: z.strictObject({
        type: z.literal("apiKey"),
        in: z.literal("cookie"),
        name: z.string(),
        description: z.string(),
      }),
    }),
    responses: z.record(z.string(), z.strictObject({ description: z.string(), content })),
  }),
});

async function published() {
  await using api = await harness();
  const response = await api.ask("/api/v1/openapi.json", { as: "nobody" });
  assertEquals(response.headers.get("Content-Type"), "application/json");
  const json = await response.json();
  return { json, document: documentSchema.parse(json) };
}

/** Every value under a key, wherever it is. */
function valuesOf(key: string, value: unknown): unknown[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => [
    ...(name === key ? [inner] : []),
    ...valuesOf(key, inner),
  ]);
}

Deno.test("openapi: a document of 3.1, whole in itself", async () => {
  const { json, document: { paths, components } } = await published();
  for (const ref of valuesOf("$ref", json) as string[]) {
    const target = ref.slice(2).split("/").reduce(
      (at: unknown, key) => (at as Record<string, unknown>)?.[key],
      json,
    );
    assert(target !== undefined, `${ref} leads nowhere`);
  }
  const used = new Set(valuesOf("$ref", json));
  for (const name of Object.keys(components.schemas)) {
    assert(used.has(`#/components/schemas/${name}`), `${name} is used`);
  }
  const operations = Object.values(paths).flatMap((path) => Object.values(path));
  const ids = operations.map(({ operationId }) => operationId);
  assertEquals(ids.length, new Set(ids).size);
  for (const [path, methods] of Object.entries(paths)) {
    const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    for (const [method, { parameters = [], security, responses }] of Object.entries(methods)) {
      const declared = parameters.filter((each) => each.in === "path");
      assertEquals(
        declared.map(({ name, required }) => [name, required]),
        inPath.map((name) => [name, true]),
      );
      assertEquals(security !== undefined, method === "post", `${method} ${path}`);
      assertEquals("401" in responses, method === "post");
      assert(["405", "421", "500"].every((status) => status in responses));
      assertEquals(Object.keys(responses).filter((status) => status.startsWith("2")).length, 1);
    }
  }
  for (const schemes of valuesOf("security", json) as Record<string, unknown>[][]) {
    for (const name of schemes.flatMap(Object.keys)) assert(name in components.securitySchemes);
  }
});

Deno.test("openapi: has every operation, and the server has each", async () => {
  const { document: { paths } } = await published();
  assertEquals(
    Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method} ${path}`)
    )
      .toSorted(),
    [
      "get /api/v1/devices",
      "get /api/v1/drivers",
      "get /api/v1/drivers/{name}",
      "get /api/v1/drivers/{name}/grant",
      "get /api/v1/events",
      "get /api/v1/events/stream",
      "get /api/v1/grants",
      "get /api/v1/reports",
      "get /api/v1/reports/{id}",
      "post /api/v1/drivers/{name}/faults",
      "post /api/v1/drivers/{name}/kill",
      "post /api/v1/drivers/{name}/restart",
      "post /api/v1/drivers/{name}/start",
      "post /api/v1/drivers/{name}/stop",
      "post /api/v1/drivers/{name}/upgrade",
      "post /api/v1/drivers/{name}/withdraw",
      "post /api/v1/entries",
    ],
  );
  const fleet = new FakeFleet(fakeDriver());
  fleet.keep(fakeReport({ id: "one" }));
  await using api = await harness(fleet);
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, { requestBody, responses }] of Object.entries(methods)) {
      // Of all that change something, one cannot do without a body.
      assertEquals(requestBody?.required ?? false, path.endsWith("/faults"), path);
      const body = requestBody?.required ? { body: '{"label":"x"}', headers: JSON_BODY } : {};
      const [status, described] = Object.entries(responses).find(([status]) => status.startsWith("2"))!;
      const real = path.replace("{name}", "e1000").replace("{id}", "one");
      const response = await api.ask(real, { method: method.toUpperCase(), ...body });
      await response.body?.cancel();
      const type = response.headers.get("Content-Type");
      assertEquals([`${response.status}`, type], [
        status,
        Object.keys((described as { content: object }).content)[0],
      ]);
    }
  }
});
