/** How the supervisor is started: what it may do, and how the commands and the unit say so. */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { UserError } from "../../src/error.ts";
import { ownPlaces } from "../../src/run/places.ts";
import { serviceUnit, unitWord } from "../../src/run/unit.ts";
import { parseListen } from "../../src/supervisor/listen.ts";
import {
  permissionFlags,
  supervisorCommand,
  type SupervisorPlaces,
} from "../../src/supervisor/permissions.ts";

const PLACES: SupervisorPlaces = {
  deno: "/usr/bin/deno",
  checkout: "/opt/ring3",
  denoDir: "/var/cache/deno",
};

/** What a process with these flags is allowed, question by question. */
async function asked(flags: string[], questions: Deno.PermissionDescriptor[]): Promise<string[]> {
  const program = `console.log(JSON.stringify(${
    JSON.stringify(questions)
  }.map((one) => Deno.permissions.querySync(one).state)))`;
  const file = await Deno.makeTempFile({ suffix: ".js" });
  try {
    await Deno.writeTextFile(file, program);
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-prompt", "--quiet", ...flags, file],
    }).output();
    assert(success, new TextDecoder().decode(stderr));
    return JSON.parse(new TextDecoder().decode(stdout));
  } finally {
    await Deno.remove(file);
  }
}

Deno.test("what the supervisor needs is allowed, and what is beside it is not", async () => {
  const machine = "/run/ring3-machine";
  const allowed: Deno.PermissionDescriptor[] = [
    { name: "read", path: "/opt/ring3/drivers/e1000/driver.ts" },
    { name: "read", path: `${machine}/proc/1/stat` },
    { name: "read", path: `${machine}/kmsg` },
    { name: "write", path: `${machine}/sys/kernel/iommu_groups/7/type` },
    { name: "write", path: `${machine}/sys/bus/pci/drivers/ring3/bind` },
    { name: "write", path: "/var/lib/ring3/reports" },
    { name: "read", path: "/home/me/drivers" },
    { name: "ffi", path: "/opt/ring3/build/ffi/libring3.so" },
    { name: "run", command: "/opt/ring3/build/ffi/ring3-launch" },
    { name: "net", host: "127.0.0.1:7333" },
    { name: "env", variable: "NOTIFY_SOCKET" },
    { name: "sys", kind: "networkInterfaces" },
  ];
  const denied: Deno.PermissionDescriptor[] = [
    { name: "read", path: "/etc/shadow" },
    { name: "read", path: "/opt/ring3" },
    { name: "read", path: `${machine}/sys/kernel/debug` },
    { name: "write", path: "/opt/ring3/src/cli.ts" },
    { name: "write", path: `${machine}/proc/sys/kernel/core_pattern` },
    { name: "write", path: `${machine}/sys/kernel/uevent_helper` },
    { name: "write", path: `${machine}/kmsg` },
    { name: "write", path: "/home/me/drivers" },
    { name: "ffi", path: "/lib/x86_64-linux-gnu/libc.so.6" },
    { name: "run", command: "/bin/sh" },
    { name: "net", host: "127.0.0.1:22" },
    { name: "net", host: "10.3.0.2:7333" },
    { name: "env", variable: "PATH" },
    { name: "sys", kind: "hostname" },
    ...(["read", "write", "net", "env", "run", "ffi", "sys"] as const).map((name) => ({ name })),
  ];
  const flags = permissionFlags({ ...PLACES, folders: ["/home/me/drivers"] });
  assertEquals(await asked(flags, allowed), allowed.map(() => "granted"));
  const states = await asked(flags, denied);
  const wrong = denied.filter((_, index) => states[index] === "granted");
  assertEquals(wrong, []);
});

Deno.test("the address of the API is the only one, and there is none without an API", () => {
  const net = (listen: SupervisorPlaces["listen"]) =>
    permissionFlags({ ...PLACES, listen }).find((flag) => flag.startsWith("--allow-net="));
  const sockets = "unix:/run/systemd/notify,unix:/run/ring3/notify";
  assertEquals(net({ hostname: "10.0.0.1", port: 80 }), `--allow-net=10.0.0.1:80,${sockets}`);
  assertEquals(net(null), `--allow-net=${sockets}`);
});

Deno.test("what lies in an odd place is named so that it stays one path", () => {
  const read = permissionFlags({ ...PLACES, checkout: "/opt/a,b" }).find((flag) =>
    flag.startsWith("--allow-read")
  );
  assertStringIncludes(read!, "=/opt/a,,b/src,/opt/a,,b/drivers,");
});

Deno.test("the command says where things are by arguments, and its environment is whole", () => {
  const { argv, env } = supervisorCommand(
    { ...PLACES, state: "/srv/ring3", listen: { hostname: "127.0.0.1", port: 8000 } },
    ["e1000"],
  );
  assertEquals(argv[0], "/opt/ring3/src/supervisor/start.sh");
  assertEquals(argv.slice(argv.indexOf("/opt/ring3/src/supervisor/main.ts") + 1), [
    "e1000",
    "--state",
    "/srv/ring3",
    "--listen",
    "127.0.0.1:8000",
  ]);
  assertEquals(argv.filter((word) => /^(-A|--allow-all|--allow-\w+)$/.test(word)), []);
  assertEquals(Object.keys(env).sort(), [
    "DENO_DIR",
    "DENO_NO_UPDATE_CHECK",
    "LANG",
    "NO_COLOR",
    "PATH",
    "RING3_MACHINE",
  ]);
  assertEquals(supervisorCommand({ ...PLACES, listen: null }, []).argv.slice(-2), ["--listen", "none"]);
});

Deno.test("--listen takes an address, or none", () => {
  assertEquals(parseListen(undefined), undefined);
  assertEquals(parseListen("none"), null);
  assertEquals(parseListen("127.0.0.1:7333"), { hostname: "127.0.0.1", port: 7333 });
  assertEquals(parseListen("[::1]:80"), { hostname: "::1", port: 80 });
  for (
    const wrong of [
      "",
      "7333",
      "127.0.0.1",
      "127.0.0.1:",
      "127.0.0.1:0",
      "h:65536",
      "http://h:1",
      "h:1/",
      "::1:80",
    ]
  ) {
    assertThrows(() => parseListen(wrong), UserError, "--listen takes HOST:PORT", wrong);
  }
});

Deno.test("words of a unit survive systemd's own reading", () => {
  assertEquals(unitWord("--allow-read=/a,/b"), "--allow-read=/a,/b");
  assertEquals(unitWord('/a b/"c"\\d%n'), '"/a b/\\"c\\"\\\\d%%n"');
});

Deno.test("the unit starts the supervisor with the same flags, and hides homes and /tmp where it can", () => {
  const unit = serviceUnit(PLACES);
  for (const flag of permissionFlags(PLACES)) assertStringIncludes(unit, ` ${flag} `);
  assertStringIncludes(unit, "\nExecStartPre=+/usr/bin/deno run -A ");
  assertStringIncludes(unit, "/src/supervisor/main.ts --all\n");
  assertStringIncludes(unit, "\nExecReload=/bin/kill -HUP $MAINPID\n");
  assertStringIncludes(unit, "\nEnvironment=DENO_DIR=/var/cache/deno\n");
  assertStringIncludes(unit, "\nProtectHome=yes\n");
  assertStringIncludes(unit, "\nPrivateTmp=yes\n");
  assertStringIncludes(serviceUnit({ ...PLACES, denoDir: "/root/.cache/deno" }), "\nProtectHome=read-only\n");
  assertStringIncludes(serviceUnit({ ...PLACES, checkout: "/tmp/ring3" }), "\nPrivateTmp=no\n");
  assertStringIncludes(
    serviceUnit({ ...PLACES, deno: "/opt/my $deno" }),
    '\nExecStartPre=+"/opt/my $$deno" run',
  );
  assertStringIncludes(serviceUnit({ ...PLACES, state: "/srv/a b" }), '\nReadWritePaths="/srv/a b"\n');
});

const analyze = await Deno.stat("/usr/bin/systemd-analyze").then(() => true, () => false);

Deno.test({
  name: "systemd has nothing to say against the unit",
  ignore: !analyze,
  async fn() {
    const folder = await Deno.makeTempDir();
    try {
      const file = `${folder}/ring3.service`;
      await Deno.writeTextFile(file, serviceUnit(ownPlaces()));
      const { code, stderr } = await new Deno.Command("systemd-analyze", { args: ["verify", file] }).output();
      assertEquals([code, new TextDecoder().decode(stderr)], [0, ""]);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
