/**
 * How the supervisor is started: with the permissions that it needs, named one by one. Whatever starts it, the
 * command line, the lab or systemd, takes the command from here.
 */
import { CGROUP_VARIABLE, MACHINE_VARIABLE } from "../machine.ts";
import { REGISTRY_VARIABLE, registryEnvironment } from "../registry.ts";
import { RUNTIME_DIRECTORY } from "../run/runtime.ts";
import { STATE_DIRECTORY } from "../run/state.ts";

/** Where the supervisor finds `/sys`, `/proc` and the kernel's log. Not below what it may write: permissions go down. */
const MACHINE = "/run/ring3-machine";

/** Address that its API listens on. */
const LOCALHOST = "127.0.0.1";

/** Ports that are tried, one after the other, by a supervisor that was asked for none. */
export const DEFAULT_PORTS: readonly number[] = Array.from({ length: 8 }, (_, index) => 7333 + index);

/** Programs of the system that it runs, looked for in {@link PATH} alone. */
const PROGRAMS = ["ip", "setpriv"] as const;

/** Directories of the system's programs, which only root can write. */
const PATH = "/usr/sbin:/usr/bin:/sbin:/bin";

/** The socket on which systemd hears of readiness, and the end that speaks to it. */
export const NOTIFY = { systemd: "/run/systemd/notify", own: `${RUNTIME_DIRECTORY}/notify` } as const;

/** Where things are on the machine that the supervisor is to run on. */
export interface SupervisorPlaces {
  /** The Deno that runs it, and its drivers. */
  deno: string;
  /** The checkout. */
  checkout: string;
  /** Deno's cache, which holds the packages of the lock file. */
  denoDir: string;
  /** Folders outside the checkout that hold manifests or drivers. */
  folders?: readonly string[];
  /** State directory. */
  state?: string;
  /** Where its API listens; without it, on the first free of {@link DEFAULT_PORTS}; null: nowhere. */
  listen?: { hostname: string; port: number } | null;
}

/** A command with the whole environment that it is to have. */
export interface SupervisorCommand {
  argv: string[];
  env: Record<string, string>;
}

/**
 * The permissions, as flags of `deno run`.
 *
 * What it may run has no confinement of its own: `ring3-launch` as root becomes any program, and a library
 * that is loaded is native code. They keep what the supervisor reads and says apart from what it can be made
 * to do: no other program, file, address or variable is reached by a defect in its TypeScript.
 */
export function permissionFlags(places: SupervisorPlaces): string[] {
  const { checkout, folders = [], state = STATE_DIRECTORY, listen } = places;
  const built = `${checkout}/build/ffi`;
  const sockets = Object.values(NOTIFY).map((path) => `unix:${path}`);
  const addresses = listen === null
    ? []
    : listen
    ? [`${listen.hostname}:${listen.port}`]
    : DEFAULT_PORTS.map((port) => `${LOCALHOST}:${port}`);
  const sys = (path: string) => `${MACHINE}/sys/${path}`;
  const flags: Record<string, readonly string[]> = {
    ffi: [`${built}/libring3.so`],
    run: [`${built}/ring3-launch`, ...PROGRAMS],
    read: [
      `${checkout}/src`,
      `${checkout}/drivers`,
      `${checkout}/manifests`,
      ...folders,
      state,
      RUNTIME_DIRECTORY,
      NOTIFY.systemd,
      ...["block", "bus/pci", "class/net", "devices", "kernel/iommu_groups"].map(sys),
      `${MACHINE}/proc`,
      `${MACHINE}/kmsg`,
    ],
    write: [
      state,
      RUNTIME_DIRECTORY,
      NOTIFY.systemd,
      ...["bus/pci", "devices", "kernel/iommu_groups"].map(sys),
    ],
    net: [...addresses, ...sockets],
    env: ["NOTIFY_SOCKET", "WATCHDOG_USEC", MACHINE_VARIABLE, CGROUP_VARIABLE, REGISTRY_VARIABLE],
    sys: ["uid", "networkInterfaces"],
  };
  return Object.entries(flags).map(([name, values]) => `--allow-${name}=${values.map(escaped).join(",")}`);
}

/** The whole command that starts `main.ts` with these arguments, and those that follow from the places. */
export function supervisorCommand(places: SupervisorPlaces, args: readonly string[]): SupervisorCommand {
  const { deno, checkout, denoDir, state, listen } = places;
  const own = [
    ...(state === undefined ? [] : ["--state", state]),
    ...(listen === undefined ? [] : ["--listen", listen ? `${listen.hostname}:${listen.port}` : "none"]),
  ];
  const source = `${checkout}/src/supervisor`;
  return {
    // deno-fmt-ignore
    argv: [
      `${source}/start.sh`, deno, "run", "--quiet", "--no-prompt", "--cached-only", "--no-remote", "--frozen",
      `--config=${checkout}/deno.json`, ...permissionFlags(places), `${source}/main.ts`, ...args, ...own,
    ],
    env: {
      PATH,
      LANG: "C.UTF-8",
      NO_COLOR: "1",
      DENO_DIR: denoDir,
      DENO_NO_UPDATE_CHECK: "1",
      [MACHINE_VARIABLE]: MACHINE,
      ...registryEnvironment(),
    },
  };
}

/** A value in a list of Deno's, where a comma begins the next one. */
function escaped(value: string): string {
  return value.replaceAll(",", ",,");
}
