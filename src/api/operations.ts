/** The operations of the API under /api/v1: what each takes, gives and does. The OpenAPI document is made of this. */
import type { Context } from "hono";
import { z } from "zod";
import { type Fleet, FleetError } from "../supervisor/contract.ts";
import { driverSchema, eventSchema, reportSchema, reportSummarySchema } from "../supervisor/schema.ts";
import type { Auth } from "./auth.ts";
import type { ProblemStatus } from "./problem.ts";
import {
  deviceSchema,
  driversSchema,
  emptyBody,
  eventsQuery,
  faultBody,
  grantSchema,
  killBody,
  reportsQuery,
  streamQuery,
  upgradeBody,
} from "./schema.ts";
import { driversNow, type EventStreams } from "./stream.ts";

/** What operations work on. */
export interface Services {
  fleet: Fleet;
  streams: EventStreams;
  auth: Auth;
}

/** A checked request. */
export interface Call<Query, Body> extends Services {
  c: Context;
  /** The parameter in the path, if it has one; otherwise empty. */
  param: string;
  query: Query;
  body: Body;
}

/** One operation. What is sent is checked before it is handled. */
export interface Operation {
  /** `operationId` in the OpenAPI document. */
  id: string;
  method: "get" | "post";
  /** Below /api/v1, as hono writes it: `/drivers/:name`. */
  path: string;
  summary: string;
  query?: z.ZodType;
  body?: z.ZodType;
  answer: {
    status: 200 | 201 | 202;
    description: string;
    /** Body as JSON; without it `handle` makes the response itself, of media type `type`. */
    schema?: z.ZodType;
    type?: string;
  };
  /** Statuses that it fails with, beside those that every operation of its kind has. */
  problems: readonly ProblemStatus[];
  /** Gives the body, or a whole response. */
  handle(call: Call<unknown, unknown>): unknown;
}

/** An operation with its query, body and answer typed by their schemas. */
function operation<Q extends z.ZodType = z.ZodUndefined, B extends z.ZodType = z.ZodUndefined, A = Response>(
  definition: Omit<Operation, "query" | "body" | "answer" | "handle" | "problems"> & {
    problems?: readonly ProblemStatus[];
    query?: Q;
    body?: B;
    answer: Operation["answer"] & { schema?: z.ZodType<A> };
    handle(call: Call<z.infer<Q>, z.infer<B>>): A | Promise<A>;
  },
): Operation {
  return {
    problems: [],
    ...definition,
    // The dispatcher has parsed query and body with the schemas above.
    handle: (call) => definition.handle(call as Call<z.infer<Q>, z.infer<B>>),
  };
}

const ok = <S extends z.ZodType>(schema: S, description: string) => ({
  status: 200 as const,
  description,
  schema,
});

function grantOf(fleet: Fleet, name: string): z.infer<typeof grantSchema> {
  const { address, confined, grant } = fleet.driver(name);
  return { driver: name, address, confined, lines: grant };
}

/** What a report's id may look like: it names a file. */
const REPORT_ID = /^(?!.*\.\.)[A-Za-z0-9][\w.:+-]{0,199}$/;

/** A report by an id from outside. */
export async function findReport(fleet: Fleet, id: string): ReturnType<Fleet["report"]> {
  if (!REPORT_ID.test(id)) throw new FleetError("not-found", "There is no report of that name");
  return await fleet.report(id);
}

/** An action on a driver that ends when the driver has come where it should, and answers with the driver. */
function steer(id: "start" | "stop" | "restart", summary: string, description: string): Operation {
  return operation({
    id: `${id}Driver`,
    method: "post",
    path: `/drivers/:name/${id}`,
    summary,
    body: emptyBody,
    answer: ok(driverSchema, description),
    problems: [404, 409, 502],
    async handle({ fleet, param }) {
      await fleet[id](param);
      return fleet.driver(param);
    },
  });
}

/** All of them. */
export const OPERATIONS: readonly Operation[] = [
  operation({
    id: "listDrivers",
    method: "get",
    path: "/drivers",
    summary: "All drivers as they are now",
    answer: ok(driversSchema, "The drivers."),
    handle: ({ fleet }) => driversNow(fleet),
  }),
  operation({
    id: "getDriver",
    method: "get",
    path: "/drivers/:name",
    summary: "One driver as it is now",
    answer: ok(driverSchema, "The driver."),
    problems: [404],
    handle: ({ fleet, param }) => fleet.driver(param),
  }),
  operation({
    id: "getGrant",
    method: "get",
    path: "/drivers/:name/grant",
    summary: "What a driver may touch, in words",
    answer: ok(grantSchema, "Its grant."),
    problems: [404],
    handle: ({ fleet, param }) => grantOf(fleet, param),
  }),
  operation({
    id: "listGrants",
    method: "get",
    path: "/grants",
    summary: "What each driver may touch, in words",
    answer: ok(z.object({ grants: z.array(grantSchema) }), "By driver."),
    handle: ({ fleet }) => ({ grants: fleet.drivers().map(({ name }) => grantOf(fleet, name)) }),
  }),
  operation({
    id: "listDevices",
    method: "get",
    path: "/devices",
    summary: "The PCI devices of this machine",
    answer: ok(z.object({ devices: z.array(deviceSchema) }), "By address."),
    handle: async ({ fleet }) => ({ devices: await fleet.devices() }),
  }),
  operation({
    id: "listEvents",
    method: "get",
    path: "/events",
    summary: "Events that are kept (the last 1,000), oldest first",
    query: eventsQuery,
    answer: ok(z.object({ events: z.array(eventSchema) }), "The events asked for."),
    problems: [404],
    handle: ({ fleet, query }) => ({ events: fleet.events(query) }),
  }),
  operation({
    id: "streamEvents",
    method: "get",
    path: "/events/stream",
    summary: "Events and drivers, live",
    query: streamQuery,
    answer: {
      status: 200,
      type: "text/event-stream",
      description: "Server-sent events: each event under its type, with its id; `drivers` once a second, " +
        "with the body of listDrivers; `gap` if events between those known and those kept are lost; `lost` " +
        "as the last one to a client that does not read.",
    },
    problems: [503],
    handle({ c, query, streams }) {
      const headers = { "Content-Type": "text/event-stream" };
      // There would be nobody to read it.
      if (c.req.method === "HEAD") return new Response(null, { headers });
      const last = c.req.header("Last-Event-ID");
      const after = last !== undefined && /^\d{1,15}$/.test(last) ? Number(last) : query.after;
      return new Response(streams.open(after), { headers });
    },
  }),
  operation({
    id: "listReports",
    method: "get",
    path: "/reports",
    summary: "Reports of deaths that are kept, latest first",
    query: reportsQuery,
    answer: ok(z.object({ reports: z.array(reportSummarySchema) }), "Each at a glance."),
    problems: [404],
    handle: async ({ fleet, query }) => ({ reports: await fleet.reports(query) }),
  }),
  operation({
    id: "getReport",
    method: "get",
    path: "/reports/:id",
    summary: "The black box of one death",
    answer: ok(reportSchema, "The report."),
    problems: [404],
    handle: ({ fleet, param }) => findReport(fleet, param),
  }),
  steer(
    "start",
    "Start a driver that was stopped or given up, with a full budget",
    "The driver, ready.",
  ),
  steer("stop", "End a driver and keep it ended; its device stays claimed", "The driver, stopped."),
  steer("restart", "Replace the process by another of the same version", "The driver, ready again."),
  operation({
    id: "upgradeDriver",
    method: "post",
    path: "/drivers/:name/upgrade",
    summary: "Replace the driver by another version, and take the old one back if that fails",
    body: upgradeBody,
    answer: ok(
      z.object({ from: z.string(), to: z.string() }),
      "The versions; the new one has stood its first seconds.",
    ),
    problems: [404, 409, 502],
    handle: ({ fleet, param, body }) => fleet.upgrade(param, body),
  }),
  operation({
    id: "injectFault",
    method: "post",
    path: "/drivers/:name/faults",
    summary:
      "Replace the driver by a version with a fault for the life of one process, where that is allowed; " +
      "it is made ready while another fault runs, and has its turn when the driver has recovered from that",
    body: faultBody,
    answer: ok(
      z.object({ from: z.string(), to: z.string() }),
      "The versions: that of the next process, and that with the fault, which has the device.",
    ),
    problems: [404, 409, 502],
    handle: ({ fleet, param, body }) => fleet.inject(param, body),
  }),
  operation({
    id: "withdrawFault",
    method: "post",
    path: "/drivers/:name/withdraw",
    summary:
      "Take away the fault that runs: the next that waits has its turn, or else the version before takes over",
    body: emptyBody,
    answer: { status: 202, description: "It will be replaced.", schema: driverSchema },
    problems: [404, 409],
    async handle({ fleet, param }) {
      await fleet.withdraw(param);
      return fleet.driver(param);
    },
  }),
  operation({
    id: "killDriver",
    method: "post",
    path: "/drivers/:name/kill",
    summary: "Have the driver's process end as by a fault, to see what happens then",
    body: killBody,
    answer: { status: 202, description: "It will end.", schema: driverSchema },
    problems: [404, 409, 502],
    async handle({ fleet, param, body }) {
      await fleet.kill(param, body.how);
      return fleet.driver(param);
    },
  }),
  operation({
    id: "makeEntry",
    method: "post",
    path: "/entries",
    summary: "Make a one-time URL that lets a browser in",
    body: emptyBody,
    answer: {
      status: 201,
      description: "The URL, good once and for ten minutes.",
      schema: z.object({ url: z.url() }),
    },
    handle: ({ c, auth }) => ({ url: entryUrl(c.req.header("Host")!, auth) }),
  }),
];

/** A one-time URL on a host, given as `name:port`. */
export function entryUrl(host: string, auth: Auth): string {
  return `http://${host}/enter?code=${auth.makeCode()}`;
}
