/** `ring3`: the command line. Each command is loaded when it is run. */
import { type Command, defineGroup } from "./cli/args.ts";
import { exitStatus } from "./cli/exit.ts";
import config from "../deno.json" with { type: "json" };

const ring3: Command = defineGroup({
  name: "ring3",
  summary: "Linux device drivers in TypeScript, outside the kernel",
  commands: {
    run: async () => (await import("./cli/run.ts")).runCommand,
    list: async () => (await import("./cli/list.ts")).listCommand,
    status: async () => (await import("./cli/status.ts")).statusCommand,
    report: async () => (await import("./cli/report.ts")).reportCommand,
    soak: async () => (await import("./cli/soak.ts")).soakCommand,
    bench: async () => (await import("./cli/bench.ts")).benchCommand,
    fuzz: async () => (await import("./cli/fuzz.ts")).fuzzCommand,
    faults: async () => (await import("./cli/faults.ts")).faultsCommand,
    walls: async () => (await import("./cli/walls.ts")).wallsCommand,
    start: async () => (await import("./cli/start.ts")).startCommand,
    stop: async () => (await import("./cli/stop.ts")).stopCommand,
    restart: async () => (await import("./cli/restart.ts")).restartCommand,
    upgrade: async () => (await import("./cli/upgrade.ts")).upgradeCommand,
    inject: async () => (await import("./cli/inject.ts")).injectCommand,
    kill: async () => (await import("./cli/kill.ts")).killCommand,
    events: async () => (await import("./cli/events.ts")).eventsCommand,
    dashboard: async () => (await import("./cli/dashboard.ts")).dashboardCommand,
    release: async () => (await import("./cli/release.ts")).releaseCommand,
    prepare: async () => (await import("./cli/prepare.ts")).prepareCommand,
    service: async () => (await import("./cli/service.ts")).serviceCommand,
    lab: async () => (await import("./cli/lab.ts")).labCommand,
  },
  notes: ["ring3 --version prints the version."],
});

/** Runs a command line; the exit status. */
export function main(args: string[]): Promise<number> {
  return exitStatus(() => {
    if (args[0] !== "--version" && args[0] !== "-V") return ring3.run(args);
    console.log(`ring3 ${config.version}`);
    return Promise.resolve(0);
  });
}

if (import.meta.main) Deno.exit(await main(Deno.args));
