/** A supervisor over a claim that is made up, of processes that do nothing but what they are told. */
import { buildFfi } from "../../src/build.ts";
import { type Library, openLibrary, uapi } from "../../src/kernel/mod.ts";
import { loadManifest, type Manifest } from "../../src/manifest/mod.ts";
import type { EventDetail } from "../../src/supervisor/schema.ts";
import { pause } from "../../src/pause.ts";
import { Supervisor } from "../../src/supervisor/supervisor.ts";
import type { Version } from "../../src/supervisor/versions.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

/** One end after the other is answered by a restart at once. */
const RESTART: Manifest["restart"] = {
  on: "crash",
  budget: Infinity,
  window: 1000,
  quiet: 1000,
  backoff: { from: 0, to: 0 },
  fallback: "none",
};

/** How often a process is looked for, milliseconds. */
const POLL = 5;

/** What stands in for the kernel: a claim whose grants end when they are revoked. Sockets and files are real. */
function madeUp(real: Library): Library {
  const { CALL, STATUS, TOTALS, ABI_VERSION } = uapi;
  const status = { generation: 0, live: 0, ended_ns: 0n };
  const descriptor = () => real.r3_memory(4096n);
  const answers: Record<number, (bytes: Uint8Array) => number> = {
    [CALL.TOTALS](bytes) {
      bytes.set(TOTALS.encode({ argsz: TOTALS.size, abi_version: ABI_VERSION }));
      return 0;
    },
    [CALL.CLAIM]: descriptor,
    [CALL.GRANT]() {
      status.generation++;
      status.live = 1;
      return descriptor();
    },
    [CALL.REVOKE]() {
      if (status.live) status.ended_ns = BigInt(Math.round(real.r3_now() * 1e6));
      status.live = 0;
      return 0;
    },
    [CALL.STATUS](bytes) {
      bytes.set(STATUS.encode({ argsz: STATUS.size, ...status }));
      return 0;
    },
    [CALL.SIGNAL]: () => 0,
    [CALL.CHANNELS]: () => 0,
    [CALL.PORT_DOWN]: () => 0,
  };
  return {
    ...real,
    r3_open: descriptor,
    r3_call: (_, number, bytes) => answers[number](bytes as Uint8Array),
    r3_poll: (_, ms) => new Promise((resolve) => setTimeout(() => resolve(0), ms)),
  };
}

/** A supervisor that a test asks for things, and all that it has told. */
export interface Supervised extends AsyncDisposable {
  supervisor: Supervisor;
  /** In a line each, as in `fault injected stuck`. */
  told: string[];
  /** Resolves when it has told that, after what was last waited for. */
  next(told: string): Promise<void>;
  /** A version that nothing was taken from, one with a fault if it has a label. */
  version(id: string, label?: string): Promise<Version>;
  /** Resolves to the number of a version's process when there is one. */
  process(id: string): Promise<number>;
}

/** An event in a line: what it is, and its state, version or process's kind. */
function line(detail: EventDetail): string {
  switch (detail.type) {
    case "starting":
      return `starting ${detail.version}${detail.spare ? ", which waited" : ""}`;
    case "ended":
      return `ended ${detail.reason.kind}`;
    case "spare":
      return `spare ${detail.state}`;
    case "fault":
      return `fault ${detail.state} ${detail.label}${detail.text && `: ${detail.text}`}`;
    default:
      return detail.type;
  }
}

/** Claims the device that is not there, for a driver of the version "plain" that has a spare, or none. */
export async function supervised({ spare }: { spare: boolean }): Promise<Supervised> {
  const library = `${await buildFfi()}/libring3.so`;
  const caches = await Deno.makeTempDir({ prefix: "ring3-supervised-" });
  const manifest = await loadManifest(`${ROOT}manifests/e1000.json`);
  const told: string[] = [];
  let seen = 0;
  let news = Promise.withResolvers<void>();
  const version = async (id: string, label?: string): Promise<Version> => {
    const source = "/x/drivers/e1000";
    const root = `/versions/${id}`;
    const cache = `${caches}/${id}`;
    await Deno.mkdir(cache);
    return {
      id,
      path: `${source}/driver.ts`,
      file: `${root}${source}/driver.ts`,
      folder: root + source,
      root,
      source,
      cache,
      imports: {},
      packages: { imports: {}, scopes: {} },
      modules: [],
      since: new Date(),
      ...(label === undefined ? {} : { fault: { label } }),
    };
  };
  const supervisor = Supervisor.claim(madeUp(openLibrary(library)), "0000:01:00.0", {
    manifest: { ...manifest, spare, restart: RESTART, grant: { ...manifest.grant, port: undefined } },
    files: {
      deno: Deno.execPath(),
      launcher: `${ROOT}tests/fakes/launcher.sh`,
      library,
      main: `${ROOT}src/host/main.ts`,
      libraries: [],
    },
    uid: 0x6ffffffd,
    version: await version("plain"),
    onEvent(detail) {
      told.push(line(detail));
      news.resolve();
      news = Promise.withResolvers();
    },
    onDeath: () => "",
  });
  return {
    supervisor,
    told,
    async next(awaited) {
      for (;; seen++) {
        while (seen === told.length) await news.promise;
        if (told[seen] === awaited) break;
      }
      seen++;
    },
    version,
    async process(id) {
      for (;;) {
        const text = await Deno.readTextFile(`${caches}/${id}/pid`).catch(() => "");
        if (text.endsWith("\n")) return Number(text);
        await pause(POLL);
      }
    },
    async [Symbol.asyncDispose]() {
      await supervisor[Symbol.asyncDispose]();
      await Deno.remove(caches, { recursive: true });
    },
  };
}
