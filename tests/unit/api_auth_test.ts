/** Who may change something: the token, its file, one-time URLs, sessions, origins, names. */
import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { CODE_LIFETIME, SESSION_LIFETIME } from "../../src/api/auth.ts";
import { serveApi } from "../../src/api/mod.ts";
import { loadToken, sameSecret } from "../../src/api/token.ts";
import { UserError } from "../../src/error.ts";
import { FakeFleet } from "../fakes/fleet.ts";
import { type Harness, harness, raw } from "./api_harness.ts";

const STOP = "/api/v1/drivers/e1000/stop";

/** The status of an attempt to stop e1000, and that it was stopped only if that is 200. */
async function stop(api: Harness, headers: Record<string, string>): Promise<number> {
  const before = api.fleet.asked.length;
  const response = await api.ask(STOP, { method: "POST", as: "nobody", headers });
  await response.body?.cancel();
  assertEquals(api.fleet.asked.length - before, response.status === 200 ? 1 : 0);
  assert((response.status === 401) === response.headers.has("WWW-Authenticate"));
  return response.status;
}

/** The session's cookie of a fresh one-time URL, as a browser sends it. */
async function enter(api: Harness): Promise<string> {
  const response = await api.ask(api.enterUrl(), { as: "nobody" });
  assertEquals([response.status, response.headers.get("Location")], [303, "/"]);
  return response.headers.get("Set-Cookie")!.split(";")[0];
}

Deno.test("auth: the token, and no other, lets in", async () => {
  await using api = await harness();
  assertEquals(await stop(api, { Authorization: `Bearer ${api.token}` }), 200);
  assertEquals(await stop(api, {}), 401);
  for (const wrong of [`Bearer ${api.token}x`, "Bearer", "Bearer  ", `Basic ${api.token}`, api.token]) {
    assertEquals(await stop(api, { Authorization: wrong }), 401, wrong);
  }
});

Deno.test("auth: every operation that changes something needs it", async () => {
  await using api = await harness();
  for (const action of ["start", "stop", "restart", "upgrade", "faults", "kill"]) {
    const response = await api.ask(`/api/v1/drivers/e1000/${action}`, { method: "POST", as: "nobody" });
    assertEquals([response.status, response.headers.get("Content-Type")], [401, "application/problem+json"]);
    await response.body?.cancel();
  }
  const entry = await api.ask("/api/v1/entries", { method: "POST", as: "nobody" });
  assertEquals(entry.status, 401);
  await entry.body?.cancel();
  assertEquals(api.fleet.asked, []);
});

Deno.test("auth: after ten wrong tokens in a minute more are told to wait, the right one is taken", async () => {
  await using api = await harness();
  const wrong = { Authorization: "Bearer wrong" };
  for (let i = 0; i < 10; i++) assertEquals(await stop(api, wrong), 401);
  const eleventh = await api.ask(STOP, { method: "POST", as: "nobody", headers: wrong });
  assertEquals([eleventh.status, eleventh.headers.get("Retry-After")], [429, "60"]);
  await eleventh.body?.cancel();
  const code = await api.ask("/enter?code=wrong", { as: "nobody" });
  assertEquals(code.status, 429);
  await code.body?.cancel();
  assertEquals(await stop(api, { Authorization: `Bearer ${api.token}` }), 200);
  api.timing.advance(60_000);
  assertEquals(await stop(api, wrong), 401);
});

Deno.test("auth: a one-time URL gives a session, once and for ten minutes", async () => {
  await using api = await harness();
  const url = api.enterUrl();
  assertMatch(url, /^http:\/\/127\.0\.0\.1:\d+\/enter\?code=[\w-]{43}$/);
  assertNotEquals(api.enterUrl(), url);
  // A look does not use it up.
  assertEquals((await api.ask(url, { method: "HEAD", as: "nobody" })).status, 405);
  const first = await api.ask(url, { as: "nobody" });
  assertEquals(first.status, 303);
  const port = api.host.split(":")[1];
  assertMatch(
    first.headers.get("Set-Cookie")!,
    new RegExp(`^ring3_session_${port}=[\\w-]{43}; Max-Age=43200; Path=/; HttpOnly; SameSite=Strict$`),
  );
  const second = await api.ask(url, { as: "nobody" });
  assertEquals([second.status, second.headers.get("Set-Cookie")], [401, null]);
  assertStringIncludes(await second.text(), "ring3 dashboard");
  const late = api.enterUrl();
  api.timing.advance(CODE_LIFETIME);
  const expired = await api.ask(late, { as: "nobody" });
  assertEquals([expired.status, expired.headers.get("Set-Cookie")], [401, null]);
  await expired.body?.cancel();
});

Deno.test("auth: the holder of the token gets one-time URLs over HTTP", async () => {
  await using api = await harness();
  const response = await api.ask("/api/v1/entries", { method: "POST" });
  assertEquals(response.status, 201);
  const { url } = await response.json();
  assertEquals((await api.ask(url, { as: "nobody" })).status, 303);
});

Deno.test("auth: a session steers from this server's pages only, for twelve hours", async () => {
  await using api = await harness();
  const Cookie = await enter(api);
  const own = `http://${api.host}`;
  assertEquals(await stop(api, { Cookie, Origin: own }), 200);
  assertEquals(await stop(api, { Cookie, "Sec-Fetch-Site": "same-origin" }), 200);
  assertEquals(await stop(api, { Cookie }), 403);
  assertEquals(await stop(api, { Cookie, "Sec-Fetch-Site": "same-site" }), 403);
  assertEquals(await stop(api, { Cookie: `${Cookie}x`, Origin: own }), 401);
  const foreign = [
    "http://evil.example",
    "null",
    `https://${api.host}`,
    `http://localhost:${api.host.split(":")[1]}`,
    "http://127.0.0.1",
    `${own}.evil.example`,
    `${own}/`,
  ];
  for (const Origin of foreign) {
    assertEquals(await stop(api, { Cookie, Origin }), 403, Origin);
    assertEquals(await stop(api, { Cookie, Origin, "Sec-Fetch-Site": "same-origin" }), 403, Origin);
    assertEquals(await stop(api, { Authorization: `Bearer ${api.token}`, Origin }), 403, Origin);
  }
  api.timing.advance(SESSION_LIFETIME - 1);
  assertEquals(await stop(api, { Cookie, Origin: own }), 200);
  api.timing.advance(1);
  assertEquals(await stop(api, { Cookie, Origin: own }), 401);
});

Deno.test("auth: the page tells whether it may steer", async () => {
  await using api = await harness();
  const page = async (headers: Record<string, string>) => await (await api.ask("/", { headers })).text();
  assertStringIncludes(await page({}), 'data-session="false"');
  assertStringIncludes(await page({ Cookie: await enter(api) }), 'data-session="true"');
});

Deno.test("auth: a name that is not the server's is refused, whatever is asked", async () => {
  await using api = await harness(undefined, { hosts: ["Box.example:9000"] });
  const port = api.host.split(":")[1];
  const status = async (host: string, request = "GET /healthz") => {
    const answer = await raw(api.host, `${request} HTTP/1.1\r\n${host}Connection: close\r\n\r\n`);
    return Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]);
  };
  for (const name of [`127.0.0.1:${port}`, `localhost:${port}`, `LOCALHOST:${port}`, `[::1]:${port}`]) {
    assertEquals(await status(`Host: ${name}\r\n`), 200, name);
  }
  assertEquals(await status("Host: box.example:9000\r\n"), 200);
  for (const name of ["evil.example", `evil.example:${port}`, "127.0.0.1", "127.0.0.1:1", "box.example"]) {
    assertEquals(await status(`Host: ${name}\r\n`), 421, name);
    assertEquals(await status(`Host: ${name}\r\n`, "GET /assets/style.css"), 421, name);
  }
  assertEquals(
    await status(`Host: evil.example\r\nAuthorization: Bearer ${api.token}\r\n`, `POST ${STOP}`),
    421,
  );
  assertEquals(api.fleet.asked, []);
});

Deno.test("token: made once, for nobody else to read", async () => {
  const state = await Deno.makeTempDir({ prefix: "ring3-token-" });
  try {
    const folder = `${state}/new/deep`;
    const [token, same] = await Promise.all([loadToken(folder), loadToken(folder)]);
    assertMatch(token, /^[A-Za-z0-9_-]{43}$/);
    assertEquals([same, await loadToken(folder)], [token, token]);
    assertEquals((await Deno.stat(`${folder}/token`)).mode! & 0o777, 0o600);
    assertEquals((await Array.fromAsync(Deno.readDir(folder))).length, 1, "no draft is left");
    assertNotEquals(await loadToken(`${state}/other`), token);
  } finally {
    await Deno.remove(state, { recursive: true });
  }
});

Deno.test("token: one that others may know, or that is none, is refused", async () => {
  const state = await Deno.makeTempDir({ prefix: "ring3-token-" });
  const path = `${state}/token`;
  const good = await loadToken(state);
  const refused = async (what: string) => {
    const { message } = await assertRejects(() => loadToken(state), UserError);
    assertStringIncludes(message, path);
    assertStringIncludes(message, what);
    assertStringIncludes(message, "remove it");
  };
  try {
    for (const mode of [0o640, 0o604, 0o620, 0o601]) {
      await Deno.chmod(path, mode);
      await refused(mode.toString(8));
    }
    await Deno.chmod(path, 0o600);
    for (const text of ["", "short\n", `${good}x\n`]) {
      await Deno.writeTextFile(path, text);
      await refused("does not hold a token");
    }
    await Deno.rename(path, `${state}/elsewhere`);
    await Deno.symlink(`${state}/elsewhere`, path);
    await refused("not a plain file");
    await Deno.remove(path);
    await Deno.writeTextFile(path, `${good}\n`, { mode: 0o600 });
    if (Deno.uid() === 0) {
      await Deno.chown(path, 65534, 65534);
      await refused("user 65534");
    }
  } finally {
    await Deno.remove(state, { recursive: true });
  }
});

Deno.test("token: compared whole", () => {
  assert(sameSecret("abc", "abc"));
  assert(!sameSecret("abc", "abd"));
  assert(!sameSecret("abc", "abcd"));
  assert(!sameSecret("", "a"));
});

Deno.test("serve: a port that is taken is told with what to do", async () => {
  await using api = await harness();
  const port = Number(api.host.split(":")[1]);
  const { message } = await assertRejects(
    () => serveApi(new FakeFleet(), { port, state: api.state }),
    UserError,
  );
  assertMatch(
    message,
    new RegExp(
      `^Cannot serve the dashboard on 127\\.0\\.0\\.1:${port}: .* listens there already.*choose another port$`,
    ),
  );
  const other = await assertRejects(
    () => serveApi(new FakeFleet(), { hostname: "192.0.2.1", port: 0, state: api.state }),
    UserError,
  );
  assertStringIncludes(other.message, "no such address");
});
