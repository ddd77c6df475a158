/**
 * What hostile drivers try in TypeScript, under a real supervisor: all attempts on the language in one driver,
 * which must survive them; and those that end it, each in a driver of its own.
 */
import type { Lab } from "../lab/mod.ts";
import { DriverRun } from "../soak/driver_run.ts";
import { sh } from "../soak/lab.ts";
import { type Attempt, type AttemptResult, START, START_MS, type WallName } from "./attempt.ts";
import { LANGUAGE_ATTEMPTS, type LanguageAttempt } from "./language_attempts.ts";
import { wallsOf } from "./native_attempts.ts";

/** What was written of the driver's folder in the lab. */
const FOLDER = "/tmp/walls/drivers/hostile";
const MANIFEST = "/tmp/walls/hostile.json";

/** How long a driver may take to its end once it is up, milliseconds: minutes if the kernel checks everything. */
const END_MS = 180_000;

/** When a driver has begun to serve, milliseconds after it was brought up. */
const SERVED_MS = 500;

/** Most lines of its log that are to arrive, of one that writes as many as it can: for half a minute at most. */
const MOST_LINES = 30 * 200;

/** An attempt that ends its driver. */
interface FatalAttempt extends Attempt {
  /** What it does once it is up. */
  source: string;
  /** How long work may wait for it; a second if not given. */
  stall?: string;
  /** What stops native code that tries the same. */
  as: string;
}

/** Text of a driver that does something when it is brought up. */
function driverSource(bringUp: string): string {
  return `import { defineDriver } from "/ring3/src/driver/mod.ts";
export default defineDriver<any>({
  class: "net",
  async bringUp(device: any, port: any) {
    ${bringUp}
    port.attach({ mac: Uint8Array.of(2, 0, 0, 0, 0, 9), maxMtu: 1500, features: {}, maxSegments: 1 });
    port.report({ link: true, speed: 1000, fullDuplex: true });
    return port;
  },
  configure() {},
  interrupt() {},
  poll({ tx, rx }: any) {
    tx.available();
    rx.available();
    return false;
  },
});
`;
}

/** A driver that makes every attempt on the language when it is brought up, and says what came of each. */
export function languageDriver(attempts: readonly LanguageAttempt[]): string {
  const all = attempts.map(({ source }) => `async (device: any, port: any) => {\n${source}\n},`).join("\n");
  const bringUp = `for (const [index, attempt] of [${all}].entries()) {
      const said = await attempt(device, port).then(() => "done", String);
      device.log(\`attempt \${index}: \${said}\`);
    }`;
  return driverSource(bringUp);
}

/** Starts a driver with that text on a card. */
async function start(
  lab: Lab,
  source: string,
  { device, stall = "1s" }: { device: string; stall?: string },
): Promise<DriverRun> {
  const manifest = {
    name: "hostile",
    description: "A hostile driver",
    driver: "drivers/hostile/driver.ts",
    match: [{ vendor: "0x8086", device: "0x100f" }],
    grant: { bars: [{ bar: 0, length: "128KiB" }], interrupts: 1, dma: "128KiB", port: { kind: "net" } },
    limits: { stall, start: START },
    restart: { on: "never" },
  };
  await sh(lab, `mkdir -p ${FOLDER}`);
  await lab.exec(["tee", `${FOLDER}/driver.ts`], { stdin: source });
  await lab.exec(["tee", MANIFEST], { stdin: JSON.stringify(manifest) });
  // A kernel with every check takes its time, and what is looked at is how the driver ends.
  return DriverRun.start(lab, [MANIFEST, "--device", device, "--no-dhcp", "--end", "30s"]);
}

/** What native code would have to get past to gain the same, by what an attempt says that it gains. */
const EQUIVALENTS: readonly [gain: RegExp, native: string][] = [
  [/network|socket/, "connect to a port of the machine"],
  [/process/, "run /bin/sh"],
  [/thread/, "thread bomb"],
  [/time/, "burn all processors"],
  [/memory/, "memory bomb"],
  [/./, "read /etc/passwd"],
];

/** The walls behind the language: those that native code meets, which is the most that an attempt can gain. */
export function behindLanguage({ what }: Pick<LanguageAttempt, "what">): WallName[] {
  const [, name] = EQUIVALENTS.find(([gain]) => gain.test(what))!;
  return wallsOf(name);
}

/** Makes the attempts on the language, in one driver. */
export async function tryLanguage(
  lab: Lab,
  device: string,
  attempts: readonly LanguageAttempt[] = LANGUAGE_ATTEMPTS,
): Promise<AttemptResult[]> {
  await using run = await start(lab, languageDriver(attempts), { device });
  await run.next("ready", { ms: START_MS });
  const said = run.events.flatMap((event) =>
    event.type === "log" && event.text.startsWith("attempt ")
      ? [event.text.replace(/^attempt \d+: /, "")]
      : []
  );
  const { code, stderr } = await run.stop();
  const problems = code === 0 ? [] : [`its run ended with status ${code}: ${stderr.trim()}`];
  return attempts.map(({ name, expect }, index) => {
    const outcome = said[index] ?? "it said nothing";
    return { name, stops: [{ wall: "language", outcome, held: expect.test(outcome) }], problems };
  });
}

/** Those that end their driver. */
export const FATAL_ATTEMPTS: readonly FatalAttempt[] = [
  {
    name: "fill the heap",
    as: "memory bomb",
    what: "all memory",
    source: "const all: unknown[] = []; for (;;) all.push(new Array(1000).fill(0));",
    stall: "0s",
    stops: [{ wall: "language", evidence: /^out-of-memory: / }],
  },
  {
    name: "loop for ever",
    as: "burn all processors",
    what: "time of others",
    source: "for (;;);",
    stops: [{ wall: "module", evidence: /^stall: / }],
  },
  {
    name: "log bomb",
    as: "burn all processors",
    what: "the supervisor's time, root's disk",
    source: 'for (;;) console.log("x".repeat(10000));',
    stops: [{ wall: "module", evidence: /^stall: / }],
  },
];

/** Makes one of those. */
export async function tryFatal(lab: Lab, device: string, attempt: FatalAttempt): Promise<AttemptResult> {
  const { source, stall } = attempt;
  const once = `setTimeout(() => { ${source} }, ${SERVED_MS});`;
  await using run = await start(lab, driverSource(once), { device, stall });
  await run.next("ready", { ms: START_MS });
  const ending = run.next("ended", { ms: END_MS }).then(
    ({ reason }) => `${reason.kind}: ${reason.text}`,
    String,
  );
  // Somebody asks for a neighbour, so that there is work for it; it may have ended before that.
  const asked = run.next("interface").then(({ interface: name }) =>
    sh(lab, `ip address add 10.9.8.1/24 dev ${name}; ping -q -w 10 10.9.8.2 || true`)
  ).catch(String);
  const end = await ending;
  const [{ wall, evidence }] = attempt.stops;
  const held = evidence.test(end);
  const outcome = held ? end : `${end}; asked for a neighbour: ${await asked}`;
  const lines = run.events.filter(({ type }) => type === "log").length;
  return {
    name: attempt.name,
    stops: [{ wall, outcome, held }],
    problems: lines > MOST_LINES ? [`${lines} lines of its log came through`] : [],
  };
}
