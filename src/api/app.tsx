/** The routes: pages, the API, and what machines ask for. */
import { type Context, Hono } from "hono";
import { setCookie } from "hono/cookie";
import { FleetError } from "../supervisor/contract.ts";
import { asset } from "./assets.ts";
import { SESSION_LIFETIME } from "./auth.ts";
import { cookieName, hasSession, headers, HOW_TO_ENTER, onlyHosts, onlyOwner, refused } from "./guard.ts";
import { type Metrics, METRICS_TYPE } from "./metrics.ts";
import { openApi, PREFIX } from "./openapi.ts";
import { findReport, type Operation, OPERATIONS, type Services } from "./operations.ts";
import { DashboardPage } from "./pages/dashboard.tsx";
import { MessagePage } from "./pages/layout.tsx";
import { ReportPage, ReportsPage } from "./pages/report.tsx";
import { knownProblem, Problem } from "./problem.ts";
import { readBody, readQuery } from "./request.ts";
import { eventsQuery, reportsQuery } from "./schema.ts";
import type { z } from "zod";

/** Events that a page shows. */
const SHOWN_EVENTS = 200;

/** States in which a driver is not meant to run. */
const AT_REST = ["stopped"];

/** What the routes work on. */
export interface AppServices extends Services {
  metrics: Metrics;
}

/**
 * All routes.
 * @param hosts Names that requests may be for, `name:port`.
 */
export function createApp(services: AppServices, hosts: ReadonlySet<string>): Hono {
  const app = new Hono();
  app.use(headers);
  app.use(onlyHosts(hosts));
  app.onError((error, c) => {
    const known = knownProblem(error);
    if (!known) console.error(`ring3: Cannot answer ${c.req.method} ${c.req.path}:`, error);
    const problem = known ?? new Problem(500, "A defect of ring3: its supervisor's log says more");
    return problem.response(c.req.path);
  });
  app.notFound((c) => new Problem(404, "There is nothing here").response(c.req.path));

  for (const operation of OPERATIONS) addOperation(app, operation, services);
  const document = openApi();
  app.get(`${PREFIX}/openapi.json`, (c) => c.json(document));
  addProbes(app, services);
  addPages(app, services);
  refuseOtherMethods(app);
  return app;
}

function addOperation(app: Hono, operation: Operation, services: Services): void {
  const { method, path, query, body, answer, handle } = operation;
  if (method === "post") app.post(`${PREFIX}${path}`, onlyOwner(services.auth));
  app.on(method.toUpperCase(), `${PREFIX}${path}`, async (c) => {
    const answered = await handle({
      ...services,
      c,
      param: Object.values<string>(c.req.param())[0] ?? "",
      query: query && readQuery(c.req, query),
      body: body && await readBody(c.req, body),
    });
    return answered instanceof Response ? answered : Response.json(answered, { status: answer.status });
  });
}

/** What answers machines that watch this one. */
function addProbes(app: Hono, { fleet, metrics }: AppServices): void {
  app.get("/healthz", (c) => c.json({ status: "ok" }));
  app.get("/readyz", (c) => {
    const drivers = fleet.drivers()
      .filter(({ state }) => state !== "running" && !AT_REST.includes(state))
      .map(({ name, state }) => ({ name, state }));
    if (drivers.length === 0) return c.json({ status: "ready" });
    const each = drivers.map(({ name, state }) => `${name} is ${state}`).join(", ");
    throw new Problem(503, `Not every driver that should run does: ${each}`, { extensions: { drivers } });
  });
  app.get("/metrics", () => new Response(metrics.text(), { headers: { "Content-Type": METRICS_TYPE } }));
}

function addPages(app: Hono, { fleet, auth }: AppServices): void {
  app.get("/", async (c) => {
    const { driver } = query(c, eventsQuery.pick({ driver: true }));
    return c.html(
      <DashboardPage
        drivers={fleet.drivers()}
        events={fleet.events({ limit: SHOWN_EVENTS, driver: driver || undefined })}
        reports={await fleet.reports()}
        filter={driver ?? ""}
        session={hasSession(c, auth)}
        now={Date.now()}
      />,
    );
  });
  app.get("/reports", async (c) => {
    const { driver } = query(c, reportsQuery);
    return c.html(<ReportsPage reports={await fleet.reports({ driver })} driver={driver} />);
  });
  app.get("/reports/:id", async (c) => {
    try {
      return c.html(<ReportPage report={await findReport(fleet, c.req.param("id"))} />);
    } catch (error) {
      if (!(error instanceof FleetError) || error.kind !== "not-found") throw error;
      return c.html(
        <MessagePage
          title="No such report"
          text="It may have given way to newer ones. One of a death just now may still be being written: reload the page."
        />,
        404,
      );
    }
  });
  app.get("/enter", (c) => {
    // A look must not use the code up.
    if (c.req.method === "HEAD") throw new Problem(405, "Open this with GET", { headers: { Allow: "GET" } });
    const session = auth.enter(c.req.query("code") ?? "");
    if (session === undefined) {
      const { status, headers } = refused(auth, "");
      const text = status === 429
        ? "Too many links that were not right were tried. Wait a minute."
        : `It was used already, or is older than ten minutes. For another, ${HOW_TO_ENTER}.`;
      for (const [name, value] of Object.entries(headers)) c.header(name, value);
      return c.html(
        <MessagePage title="This link is not good any more" text={text} />,
        status === 429 ? 429 : 401,
      );
    }
    setCookie(c, cookieName(c), session, {
      httpOnly: true,
      sameSite: "Strict",
      path: "/",
      maxAge: SESSION_LIFETIME / 1000,
    });
    return c.redirect("/", 303);
  });
  app.get("/assets/:name", (c) => asset(c, c.req.param("name")));
}

function query<S extends z.ZodType>(c: Context, schema: S): z.infer<S> {
  return readQuery(c.req, schema) as z.infer<S>;
}

/** A known path and a method that it has not: 405, with those that it has. */
function refuseOtherMethods(app: Hono): void {
  const methods = new Map<string, Set<string>>();
  for (const { path, method } of app.routes) {
    if (method === "ALL") continue;
    const known = methods.get(path) ?? methods.set(path, new Set()).get(path)!;
    known.add(method);
    if (method === "GET" && path !== "/enter") known.add("HEAD");
  }
  for (const [path, known] of methods) {
    const allow = [...known].sort().join(", ");
    app.all(path, (c) => {
      throw new Problem(405, `${c.req.method} is not for this path, but ${allow}`, {
        headers: { Allow: allow },
      });
    });
  }
}
