/** What the launcher is told and says; and the launcher itself, as far as a machine without the module shows it. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { buildFfi } from "../../src/build.ts";
import { launchArguments, parseLaunched, parseLibraries } from "../../src/supervisor/sandbox.ts";
import { lines } from "../../src/lines.ts";
import { confines } from "../fakes/confines.ts";

const LOADER = "/lib64/ld-linux-x86-64.so.2";
const WALLS = { namespaces: "required", landlock: "required", seccomp: "required" } as const;
const SANDBOX = { uid: 0x6ffffffe, openFiles: 64, walls: WALLS };

/** Runs a program of this machine in a sandbox; it may read what it is loaded from. */
async function launch(
  program: string[],
  { sandbox = {}, control = false }: {
    sandbox?: Partial<Parameters<typeof launchArguments>[0]>;
    control?: boolean;
  },
): Promise<{ code: number; signal: string | null; stdout: string; stderr: string }> {
  const launcher = `${await buildFfi()}/ring3-launch`;
  const { stdout } = await new Deno.Command(LOADER, { args: ["--list", program[0]] }).output();
  const readable = [LOADER, program[0], ...parseLibraries(new TextDecoder().decode(stdout))];
  const args = launchArguments(
    { ...SANDBOX, readable: [...new Set(readable)], ...sandbox },
    control ? 3 : undefined,
  );
  const shell = control ? ["-c", 'exec "$@" 3<&0', "sh"] : ["-c", 'exec "$@"', "sh"];
  const output = await new Deno.Command("/bin/sh", { args: [...shell, launcher, ...args, ...program] })
    .output();
  return {
    code: output.code,
    signal: output.signal,
    stdout: new TextDecoder().decode(output.stdout),
    stderr: new TextDecoder().decode(output.stderr),
  };
}

const ignore = !confines;

Deno.test("the launcher is told of each wall, and of the limits and files there are", () => {
  assertEquals(
    launchArguments({ uid: 7, openFiles: 9 }).join(" "),
    [
      "--uid 7 --nofile 9 --jit 1 --io-flusher 0",
      "--wall namespaces=off --wall landlock=off --wall seccomp=off --wall cgroup=off --",
    ].join(" "),
  );
  const limits = { memory: 1024, threads: 3, cpu: 0.5 };
  const all = launchArguments({
    ...SANDBOX,
    uid: 7,
    limits,
    readable: ["/a", "/b"],
    jit: false,
    ioFlusher: true,
  }, 5);
  assertEquals(
    all.join(" "),
    [
      "--uid 7 --nofile 64 --fd 5 --memory 1024 --threads 3 --cpu 500 --jit 0 --io-flusher 1",
      "--wall namespaces=required --wall landlock=required --wall seccomp=required --wall cgroup=off",
      "--read /a --read /b --",
    ].join(" "),
  );
});

Deno.test("only the launcher's own word is taken for it", () => {
  const walls = { namespaces: "stands", landlock: "missing", seccomp: "off", cgroup: "stands" } as const;
  const word = { type: "launched", pid: 12, walls };
  assertEquals(parseLaunched(JSON.stringify(word))?.walls, walls);
  for (
    const wrong of ["", "{", "null", { ...word, pid: "12" }, { ...word, walls: {} }, { ...word, more: 1 }]
  ) {
    assertEquals(parseLaunched(typeof wrong === "string" ? wrong : JSON.stringify(wrong)), undefined);
  }
});

Deno.test("libraries are those with a path", () => {
  const listing =
    "\tlinux-vdso.so.1 (0x00007f)\n\tlibc.so.6 => /lib/libc.so.6 (0x00007f)\n\t/lib64/ld.so (0x00007f)\n";
  assertEquals(parseLibraries(listing), ["/lib/libc.so.6", "/lib64/ld.so"]);
});

Deno.test("a program ends as in no sandbox: with its status, by its signal", { ignore }, async () => {
  assertEquals((await launch(["/bin/dash", "-c", "exit 7"], {})).code, 7);
  const killed = (walls: typeof WALLS | Record<never, never>) =>
    launch(["/bin/dash", "-c", "kill -9 $$"], { sandbox: { walls } });
  assertEquals((await killed({})).signal, "SIGKILL");
  // It is the first process of its namespace, and nothing in there can kill that.
  assertEquals((await killed({ namespaces: "required" })).code, 0);
});

Deno.test("there is nothing but what is named, and nothing can be written", { ignore }, async () => {
  const script = "pwd; echo $$; echo /* /dev/* /etc/passwd; echo x > /x; echo x > /dev/null && echo null";
  const { stdout, stderr } = await launch(["/bin/dash", "-c", script], {
    sandbox: { walls: { ...WALLS, landlock: "off" } },
  });
  assertEquals(stdout, "/\n1\n/bin /dev /lib /lib64 /proc /dev/null /dev/urandom /etc/passwd\nnull\n");
  assertMatch(stderr, /cannot create \/x: Read-only file system/);
});

Deno.test("without a file system of its own, Landlock still hides the machine's", { ignore }, async () => {
  const script = "read x < /etc/passwd; echo x > /tmp/ring3-escaped";
  const { stderr } = await launch(["/bin/dash", "-c", script], {
    sandbox: { walls: { landlock: "required" } },
  });
  assertStringIncludes(stderr, "cannot open /etc/passwd: Permission denied");
  assertStringIncludes(stderr, "cannot create /tmp/ring3-escaped: Permission denied");
});

Deno.test("its status is that of the driver's user, without any privilege", { ignore }, async () => {
  const { stdout } = await launch(["/bin/cat", "/proc/self/status"], {
    sandbox: { limits: { memory: 2 ** 26, threads: 20, cpu: 1 } },
  });
  const field = (name: string) => new RegExp(`^${name}:[ \\t]*(.*)$`, "m").exec(stdout)?.[1];
  const uid = `${SANDBOX.uid}`;
  assertEquals(field("Uid")?.split("\t"), [uid, uid, uid, uid]);
  assertEquals(field("Gid")?.split("\t"), [uid, uid, uid, uid]);
  for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]) {
    assertEquals(field(set), "0".repeat(16));
  }
  assertEquals([field("NoNewPrivs"), field("Seccomp"), field("Groups")?.trim()], ["1", "2", ""]);
});

Deno.test(
  "no other program and no socket, and a launcher that lacks a wall says which",
  { ignore },
  async () => {
    const fork = await launch(["/bin/dash", "-c", "/bin/dash -c 'echo forked'"], {});
    assertEquals(fork.stdout, "");
    const { code, stderr } = await launch(["/bin/dash", "-c", "exit 7"], {
      sandbox: { walls: { cgroup: "required" }, limits: { memory: 2 ** 26, threads: 20, cpu: 1 } },
    });
    assertEquals(code, 125);
    assertStringIncludes(stderr, 'this system has no cgroup for drivers; "walls": { "cgroup": "preferred" }');
  },
);

Deno.test("with a control socket, the launcher says first what stands", { ignore }, async () => {
  const { stdout } = await launch(["/bin/dash", "-c", "echo own"], {
    control: true,
    sandbox: { walls: { ...WALLS, seccomp: "off" } },
  });
  const [first, second] = stdout.split("\n");
  assertEquals(parseLaunched(first)?.walls, {
    namespaces: "stands",
    landlock: "stands",
    seccomp: "off",
    cgroup: "off",
  });
  assertEquals(second, "own");
});

Deno.test(
  "what interrupts the supervisor's terminal ends no driver: its supervisor does",
  { ignore },
  async () => {
    const launcher = `${await buildFfi()}/ring3-launch`;
    const args = launchArguments({ uid: SANDBOX.uid, openFiles: 64 });
    const program = ["/bin/dash", "-c", "echo up; read line; echo stayed"];
    // A session with one process group, as that of a terminal.
    const shell = ["sh", "-c", 'trap : INT; "$@"', "sh", launcher, ...args, ...program];
    const child = new Deno.Command("setsid", { args: shell, stdin: "piped", stdout: "piped" }).spawn();
    const said = lines(child.stdout);
    assertEquals((await said.next()).value, "up");
    assertEquals(
      (await new Deno.Command("kill", { args: ["-INT", "--", `-${child.pid}`] }).output()).code,
      0,
    );
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode("go\n")).catch(() => {});
    await writer.close().catch(() => {});
    assertEquals((await said.next()).value, "stayed");
    assertEquals((await child.status).code, 0);
  },
);
