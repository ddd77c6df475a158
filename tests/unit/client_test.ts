/** Commands that talk to a supervisor: over HTTP on this machine, to a server that answers as one does. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { ApiClient, UnreachableError } from "../../src/client/api_client.ts";
import { clearStaged, stageHere } from "../../src/client/stage.ts";
import { type Target, targetOf } from "../../src/client/target.ts";
import { inject, upgrade } from "../../src/client/upgrade.ts";
import { UserError } from "../../src/error.ts";
import { checkout } from "../../src/lab/checkout.ts";
import type { RunningLab } from "../../src/lab/running.ts";
import { watchFolder } from "../../src/run/watch.ts";
import type { Driver } from "../../src/supervisor/schema.ts";

type Handler = (request: Request) => Response | Promise<Response>;

/** A server for the time of some work, and a client of it with the token "t". */
async function withServer(handler: Handler, work: (client: ApiClient) => Promise<void>): Promise<void> {
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, handler);
  const url = `http://127.0.0.1:${server.addr.port}/`;
  await work(new ApiClient({ url, token: () => Promise.resolve("t") }));
}

const problem = (status: number, body: object) =>
  Response.json(body, { status, headers: { "Content-Type": "application/problem+json" } });

Deno.test("questions go without the token, actions with it", () =>
  withServer(async (request) => {
    const { pathname, search } = new URL(request.url);
    return Response.json({
      asked: `${request.method} ${pathname}${search}`,
      authorization: request.headers.get("Authorization"),
      body: await request.text(),
    });
  }, async (client) => {
    assertEquals(await client.get("events?limit=1"), {
      asked: "GET /api/v1/events?limit=1",
      authorization: null,
      body: "",
    });
    assertEquals(await client.post("drivers/e1000/kill", { how: "stall" }), {
      asked: "POST /api/v1/drivers/e1000/kill",
      authorization: "Bearer t",
      body: '{"how":"stall"}',
    });
  }));

Deno.test("what a problem says is what the user reads", async () => {
  const said = async (response: Response) => {
    let text = "";
    await withServer(() => response, async (client) => {
      text = (await assertRejects(() => client.post("x"), UserError) as UserError).message;
    });
    return text;
  };
  assertEquals(
    await said(problem(409, { title: "Conflict", detail: "e1000 is stopped" })),
    "e1000 is stopped",
  );
  assertEquals(await said(problem(404, { title: "Not found" })), "Not found");
  assertEquals(
    await said(
      problem(400, { detail: "Wrong body", errors: [{ in: "body", pointer: "/how", detail: "no such" }] }),
    ),
    "Wrong body; /how: no such",
  );
  assertEquals(await said(new Response("<p>", { status: 502 })), "The supervisor answered with status 502");
});

Deno.test("a supervisor that has gone is said to be", async () => {
  let gone: ApiClient;
  await withServer(() => new Response(), (client) => {
    gone = client;
    return Promise.resolve();
  });
  const error = await assertRejects(() => gone.get("drivers"), UnreachableError);
  assertStringIncludes((error as Error).message, "nobody listens there");
});

Deno.test("a stream gives each event with its type, in whatever pieces it comes", () => {
  const pieces = ['event: ready\nid: 1\ndata: {"a"', ":1}\n\n: heartbeat\n\n", "data: x\ndata: y\r\n\r\n"];
  return withServer(() => {
    const stream = ReadableStream.from(pieces.map((piece) => new TextEncoder().encode(piece)));
    return new Response(stream, { headers: { "Content-Type": "text/event-stream" } });
  }, async (client) => {
    const { signal } = new AbortController();
    assertEquals(await Array.fromAsync(client.stream("events/stream", { signal })), [
      { type: "ready", data: '{"a":1}' },
      { type: "message", data: "x\ny" },
    ]);
  });
});

/** A target with a driver called `name` whose manifest names `file`, and that runs what was taken from `path`. */
function target(client: ApiClient, name: string, file: string, path = file): Target & { staged: string[] } {
  const staged: string[] = [];
  const driver = { name, file, version: { id: "1", path, since: "" } } as Driver;
  const stage = (folder: string) => {
    staged.push(folder);
    return Promise.resolve({ folder: "/there/drivers/x", [Symbol.asyncDispose]: () => Promise.resolve() });
  };
  return { where: "here", client, drivers: [driver], stage, staged };
}

Deno.test("the supervisor of a driver is found by its name", () =>
  withServer(() => new Response(), (client) => {
    const [one, two] = [target(client, "a", ""), { ...target(client, "b", ""), where: "lab x" }];
    const targets = (...all: Target[]) => ({ all, [Symbol.asyncDispose]: () => Promise.resolve() });
    const refusal = (all: Target[], name: string) => {
      try {
        targetOf(targets(...all), name);
      } catch (error) {
        return (error as Error).message;
      }
    };
    assertEquals(targetOf(targets(one, two), "b"), two);
    assertEquals(refusal([], "a"), "No supervisor runs; start one with: ring3 run e1000");
    assertEquals(refusal([one, two], "c"), "No driver c is supervised; there is a, b");
    assertEquals(refusal([one, two, one], "a"), "a runs in more than one place: here, here; end all but one");
    return Promise.resolve();
  }));

Deno.test("an upgrade, and a fault, take the folder that is named, and the path in it that the driver has", async () => {
  const folder = await Deno.makeTempDir({ dir: "/tmp" });
  const next = `${folder}/drivers/e1000`;
  await Deno.mkdir(`${next}/deep`, { recursive: true });
  await Deno.writeTextFile(`${next}/deep/driver.ts`, "");
  try {
    await withServer(async (request) => Response.json(await request.json()), async (client) => {
      const one = target(client, "e1000", "/ring3/drivers/e1000/deep/driver.ts");
      const there: unknown = { path: "/there/drivers/x/deep/driver.ts", source: `${next}/deep/driver.ts` };
      assertEquals(await upgrade(one, "e1000", next) as unknown, there);
      assertEquals(await upgrade(one, "e1000", `${next}/deep/driver.ts`) as unknown, there);
      assertEquals(one.staged, [next, next]);
      assertEquals(
        await inject(one, "e1000", { path: next, label: "stuck STATUS", for: 5000 }) as unknown,
        { ...there as object, label: "stuck STATUS", for: 5000 },
      );
      assertEquals(one.staged.length, 3);
      assertEquals(await upgrade(one, "e1000") as unknown, {}, "its own folder is the supervisor's to read");
      const wrong = await assertRejects(() => upgrade(one, "e1000", folder), UserError);
      assertStringIncludes((wrong as Error).message, `there is no ${folder}/deep/driver.ts`);
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a folder may be called anything, and so may that of the version before", async () => {
  const folder = await Deno.makeTempDir({ dir: "/tmp" });
  await Deno.writeTextFile(`${folder}/driver.ts`, "");
  try {
    await withServer(async (request) => Response.json(await request.json()), async (client) => {
      const one = target(client, "e1000", "/ring3/drivers/e1000/driver.ts", "/tmp/before/driver.ts");
      assertEquals(await upgrade(one, "e1000", folder) as unknown, {
        path: "/there/drivers/x/driver.ts",
        source: `${folder}/driver.ts`,
      });
      await upgrade({ ...one, lab: {} as RunningLab }, "e1000");
      assertEquals(one.staged, [folder, `${checkout()}/drivers/e1000`]);
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a folder is staged as it is, and taken away again", async () => {
  const folder = await Deno.makeTempDir({ dir: "/tmp" });
  try {
    await Deno.mkdir(`${folder}/drivers/mine/tests`, { recursive: true });
    await Deno.writeTextFile(`${folder}/drivers/mine/driver.ts`, "one");
    await Deno.writeTextFile(`${folder}/drivers/mine/tests/a.ts`, "two");
    let copy: string;
    {
      await using staged = await stageHere(`${folder}/drivers/mine`, `${folder}/state`);
      copy = staged.folder;
      assert(/\/drivers\/mine$/.test(copy), copy);
      assertEquals(await Deno.readTextFile(`${copy}/driver.ts`), "one");
      assertEquals(await Deno.readTextFile(`${copy}/tests/a.ts`), "two");
    }
    assertEquals(await Array.fromAsync(Deno.readDir(`${folder}/state/incoming`)), []);

    await stageHere(`${folder}/drivers/mine`, `${folder}/state`);
    await clearStaged(`${folder}/state`);
    await clearStaged(`${folder}/state`);
    assertEquals(await Array.fromAsync(Deno.readDir(`${folder}/state`)), []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("saves that come in a burst are one, and the next burst is another", async () => {
  const folder = await Deno.makeTempDir({ dir: "/tmp" });
  const over = new AbortController();
  let saves = 0;
  let saved = Promise.withResolvers<void>();
  const watching = watchFolder(folder, {
    signal: over.signal,
    onSave: () => {
      saves++;
      saved.resolve();
      return Promise.resolve();
    },
  });
  try {
    for (const round of [1, 2]) {
      for (const name of ["a", "b", "a"]) await Deno.writeTextFile(`${folder}/${name}`, `${round}`);
      await saved.promise;
      saved = Promise.withResolvers();
      assertEquals(saves, round);
    }
  } finally {
    over.abort();
    await watching;
    await Deno.remove(folder, { recursive: true });
  }
});
