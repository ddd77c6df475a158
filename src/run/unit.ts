/** The systemd unit that supervises all drivers of a machine. */
import { STATE_DIRECTORY } from "./state.ts";
import { supervisorCommand, type SupervisorPlaces } from "../supervisor/permissions.ts";

/** Folders that `ProtectHome` hides. */
const HOMES = /^\/(home|root|run\/user)(\/|$)/;

/** Folders that `PrivateTmp` hides. */
const TEMPORARY = /^(\/var)?\/tmp(\/|$)/;

/** A word of a command line or an assignment of a unit: systemd.service(5), "Command lines". */
export function unitWord(word: string): string {
  const escaped = word.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("%", "%%");
  return /^[\w@:=,./-]+$/.test(word) ? word : `"${escaped}"`;
}

/** A word of a command line, where `$` would begin a variable. */
function commandWord(word: string): string {
  return unitWord(word).replaceAll("$", "$$$$");
}

/** The unit's text, for a machine with things in these places. */
export function serviceUnit(places: SupervisorPlaces): string {
  const { deno, checkout, denoDir } = places;
  const { argv, env } = supervisorCommand(places, ["--all"]);
  const within = (folder: RegExp) => [deno, checkout, denoDir].some((path) => folder.test(path));
  const environment = Object.entries(env).map(([name, value]) =>
    `Environment=${unitWord(`${name}=${value}`)}`
  );
  const prepare = [
    deno,
    "run",
    "-A",
    "--cached-only",
    `--config=${checkout}/deno.json`,
    `${checkout}/src/cli.ts`,
  ];
  return `# ring3: drivers outside the kernel. Save as /etc/systemd/system/ring3.service, then
#   systemctl daemon-reload && systemctl enable --now ring3
# It was made for the places that things are in now: print it anew when Deno or the checkout has moved.
[Unit]
Description=ring3 driver supervisor
After=network-pre.target
Before=network.target
Wants=network.target
# A machine without a spare device is not tried for ever.
StartLimitIntervalSec=5min
StartLimitBurst=5

[Service]
Type=notify
# Builds what has changed and loads the module, outside the walls below.
ExecStartPre=+${[...prepare, "prepare"].map(commandWord).join(" ")}
ExecStart=${argv.map(commandWord).join(" ")}
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=1s
# The first build may take a while; an orderly end takes less than three seconds.
TimeoutStartSec=5min
TimeoutStopSec=5s
# The supervisor says that it lives twice in this time.
WatchdogSec=30s
# Each driver gets a cgroup of its own below that of the service.
Delegate=cpu memory pids
Environment=RING3_DELEGATED=1
# Its children are drivers and DHCP clients, which end with it; those that were asked to are given time to.
KillMode=mixed
${environment.join("\n")}

# /run/ring3 and ${places.state ?? STATE_DIRECTORY}; what they hold has modes of its own.
RuntimeDirectory=ring3 ring3-machine
RuntimeDirectoryPreserve=yes
${places.state === undefined ? "StateDirectory=ring3" : `ReadWritePaths=${unitWord(places.state)}`}

# What may be tuned: more may be taken away from a supervisor whose drivers need less.
# Mounting, becoming other users, limits, interfaces, DHCP, reading what other users' processes cost, choosing how
# an IOMMU confines a device, and reading the kernel's log.
CapabilityBoundingSet=CAP_SYS_ADMIN CAP_SETUID CAP_SETGID CAP_SETPCAP CAP_KILL CAP_SYS_RESOURCE CAP_NET_ADMIN CAP_NET_RAW CAP_NET_BIND_SERVICE CAP_DAC_OVERRIDE CAP_SYS_PTRACE CAP_SYS_RAWIO CAP_SYSLOG
${
    within(HOMES)
      ? "# Deno, its cache or the checkout are in a home; elsewhere, this could be yes.\nProtectHome=read-only"
      : "ProtectHome=yes"
  }
ProtectSystem=strict
${
    within(TEMPORARY)
      ? "# Deno, its cache or the checkout are in a folder for temporary files; elsewhere, this could be yes.\nPrivateTmp=no"
      : "PrivateTmp=yes"
  }
NoNewPrivileges=yes
ProtectClock=yes
ProtectHostname=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET
SystemCallArchitectures=native
UMask=0022
# Not these: PrivateDevices hides /dev/ring3, ProtectKernelLogs what devices tried and the IOMMU stopped, ProtectKernelTunables makes /sys read-only, RestrictNamespaces and
# MemoryDenyWriteExecute stop the supervisor's mounts and its compiler, ProtectProc hides what drivers cost.

[Install]
WantedBy=multi-user.target
`;
}
