// The lab's parts that need no lab.
import { assert, assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import { UserError } from "../../src/error.ts";
import { acceleratorArguments } from "../../src/lab/accelerator.ts";
import { cached, cacheKey, cacheRoot } from "../../src/lab/cache.ts";
import { run } from "../../src/lab/command.ts";
import { cpio } from "../../src/lab/cpio.ts";
import { parseMirrors, parsePackage } from "../../src/lab/debian.ts";
import {
  DEFAULT_HARDWARE,
  deviceArguments,
  disksFor,
  eduAddress,
  escape,
  iommuParameters,
  parseHardware,
} from "../../src/lab/hardware.ts";
import { known } from "../../src/lab/known_kernel.ts";
import { closure, parseDependencies } from "../../src/lab/modules.ts";
import { kernelProblems } from "../../src/lab/problems.ts";
import { commandLine, quote, signalOf } from "../../src/lab/shell.ts";
import { payload, unpackKernel } from "../../src/lab/vmlinuz.ts";

/** What a shell makes of a command line: each argument as `printf` sees it. */
async function throughShell(argv: string[]): Promise<string[]> {
  const line = commandLine(["/usr/bin/printf", "%s\\0", ...argv], { cwd: "/" });
  const output = await run(["sh", "-c", line], { what: "try a command line" });
  return new TextDecoder().decode(output).split("\0").slice(0, -1);
}

Deno.test("arguments pass a shell unchanged", async () => {
  const argv = [
    "plain",
    "",
    "two words",
    "it's",
    '"$HOME" `id`',
    "new\nline",
    "*",
    "-n",
    "a=b",
    "\\",
    "~",
    "é",
    "\x7f",
  ];
  assertEquals(await throughShell(argv), argv);
});

Deno.test("a command is what its name says, not a builtin, a keyword or an assignment", async () => {
  const status = async (argv: string[]) =>
    (await new Deno.Command("sh", { args: ["-c", commandLine(argv, { cwd: "/" })], stderr: "null" }).output())
      .code;
  assertEquals(await status(["exit", "7"]), 127);
  assertEquals(await status(["if"]), 127);
  assertEquals(await status(["A=b"]), 127);
  assertNotEquals(await status([""]), 0);
  assertEquals(await status(["sh", "-c", "exit 7"]), 7);
  assertEquals(await status(["sh", "-c", "kill -TERM $$"]), 143);
});

Deno.test("a command line needs a name and takes no NUL", () => {
  assertThrows(() => commandLine([], { cwd: "/" }), TypeError, "its name");
  assertThrows(() => commandLine(["a\0b"], { cwd: "/" }), TypeError, "NUL");
});

Deno.test("quoting leaves plain words readable", () => {
  assertEquals(quote("/usr/bin/a-b_c:1,2"), "/usr/bin/a-b_c:1,2");
  assertEquals(quote("it's"), `'it'\\''s'`);
});

Deno.test("a status above 128 names its signal", () => {
  assertEquals([signalOf(129), signalOf(137), signalOf(139), signalOf(143)], [
    "SIGHUP",
    "SIGKILL",
    "SIGSEGV",
    "SIGTERM",
  ]);
  assertEquals([signalOf(0), signalOf(128), signalOf(127), signalOf(255)], Array(4).fill(undefined));
});

Deno.test("hardware: what is not chosen is the default", () => {
  assertEquals(parseHardware({}), DEFAULT_HARDWARE);
  assertEquals(parseHardware({ nic: [], disk: [] }), DEFAULT_HARDWARE);
});

Deno.test("hardware: a driver of a disk gets one that it matches", () => {
  const e1000 = { vendor: 0x8086, device: 0x100f };
  assertEquals(disksFor([e1000]), []);
  assertEquals(disksFor([e1000, { vendor: 0x1b36, device: 0x0010 }]), ["nvme"]);
  assertEquals(disksFor([{ vendor: 0x8086, device: 0x7010 }, { vendor: 0x8086, device: 0x7111 }]), ["ide"]);
});

Deno.test("hardware: lists may be repeated or separated by commas, and empty", () => {
  const hardware = parseHardware({
    nic: ["82540em,e1000e", "e1000"],
    disk: ["nvme"],
    iommu: "off",
    smp: "4",
  });
  assertEquals(hardware.nic, ["82540em", "e1000e", "e1000"]);
  assertEquals(hardware.disk, ["nvme"]);
  assertEquals([hardware.iommu, hardware.smp, hardware.memory], [false, 4, 2048]);
  const modes = ["on", "off", "lazy", "strict"].map((iommu) => iommuParameters(parseHardware({ iommu })));
  assertEquals(modes, [
    ["intel_iommu=on"],
    ["intel_iommu=off"],
    ["intel_iommu=on", "iommu.strict=0"],
    ["intel_iommu=on", "iommu.strict=1"],
  ]);
  assertEquals(parseHardware({ nic: ["none"] }).nic, []);
});

Deno.test("hardware: a wrong flag is named, with what it takes", () => {
  const cases: [Parameters<typeof parseHardware>[0], string][] = [
    [{ nic: ["rtl8139"] }, 'Unknown --nic "rtl8139": it takes e1000, 82540em, e1000e or none'],
    [{ disk: ["scsi"] }, 'Unknown --disk "scsi"'],
    [{ nic: ["none,e1000"] }, 'Unknown --nic "none"'],
    [{ nic: Array(9).fill("e1000") }, "Too many of --nic: 9; at most 8"],
    [{ disk: Array(5).fill("ide") }, "Too many of --disk: 5; at most 4"],
    [{ iommu: "yes" }, 'Wrong --iommu "yes": it takes on, off, lazy or strict'],
    [{ smp: "0" }, 'Wrong --smp "0"'],
    [{ smp: "2.5" }, 'Wrong --smp "2.5"'],
    [{ memory: "2GiB" }, 'Wrong --memory "2GiB": it takes a whole number'],
  ];
  for (const [flags, message] of cases) {
    const error = assertThrows(() => parseHardware(flags), UserError, message);
    assertEquals((error as UserError).code, 2);
  }
});

Deno.test("hardware: every device has an address, a slot and an id of its own", () => {
  const hardware = {
    ...DEFAULT_HARDWARE,
    nic: ["e1000", "82540em", "e1000e", "e1000", "e1000", "e1000", "e1000", "82540em"] as const,
    disk: ["ide", "nvme", "ide", "nvme"] as const,
    edu: 2,
  };
  const argv = deviceArguments(hardware, [{ path: "/a" }, { path: "/b,c" }, { path: "/d", log: "/l,m" }, {
    path: "/e",
  }]);
  const all = (pattern: RegExp) => argv.flatMap((text) => text.match(pattern)?.slice(1) ?? []);
  for (const pattern of [/\baddr=(\w+)/, /\bchassis=(\d+)/, /\bid=(\w+)/, /,net=([\d.]+)/]) {
    const found = all(pattern);
    assert(found.length >= 4, `${pattern} is there`);
    assertEquals(new Set(found).size, found.length, `${pattern} in ${found}`);
  }
  assert(argv.includes("e1000-82545em,id=nic0,netdev=net0,bus=nicport0,romfile="));
  assert(argv.some((text) => text.startsWith("file=/b,,c,")));
  const logged = argv.find((text) => text.includes("log.filename=/l,,m,"));
  assert(
    /driver=blklogwrites,log-sector-size=512,cache=writeback,.*filename=\/d,.*,id=drive2$/.test(`${logged}`),
    logged,
  );
  assert(argv.includes("edu,id=edu1,addr=0x19"));
  assertEquals(eduAddress(1), "0000:00:19.0");
  assert(argv.includes("ide-hd,id=disk2,drive=drive2,bus=ide.0,unit=1"));
  assertEquals(argv.filter((text) => text.startsWith("intel-iommu")).length, 1);
  assertEquals(deviceArguments({ ...hardware, nic: [], disk: [], edu: 0, iommu: false }, []), []);
});

Deno.test("a card's wire is sockets if they are given, and the other cards' are their own", () => {
  const sockets = { 1: { card: "/a,b", outside: "/c" } };
  const argv = deviceArguments({ ...parseHardware({ nic: ["e1000", "e1000"] }), sockets }, []);
  assert(argv.some((text) => text.startsWith("user,id=net0,")));
  assert(argv.includes("dgram,id=net1,local.type=unix,local.path=/a,,b,remote.type=unix,remote.path=/c"));
});

Deno.test("a plugin's processors share a thread, others do not", () => {
  const thread = (argv: string[]) => argv[argv.indexOf("-accel") + 1];
  assertEquals(thread(acceleratorArguments("tcg")), "tcg,thread=multi");
  assertEquals(thread(acceleratorArguments("tcg", { thread: "single" })), "tcg,thread=single");
});

Deno.test("a comma in a path does not end a QEMU option", () => {
  assertEquals(escape("/a,b/c"), "/a,,b/c");
});

/** A bzImage with nothing but a setup header and a payload. */
function bzImage(packed: Uint8Array, change: (view: DataView) => void = () => {}): Uint8Array {
  const setupSectors = 3;
  const offset = 100;
  const start = (setupSectors + 1) * 512 + offset;
  const image = new Uint8Array(start + packed.length + 4 + 50);
  const view = new DataView(image.buffer);
  image[0x1f1] = setupSectors;
  image.set(new TextEncoder().encode("HdrS"), 0x202);
  view.setUint16(0x206, 0x20f, true);
  view.setUint32(0x248, offset, true);
  view.setUint32(0x24c, packed.length + 4, true);
  image.set(packed, start);
  change(view);
  return image;
}

const KERNEL = new TextEncoder().encode("\x7fELF" + "the kernel ".repeat(1000));

Deno.test("vmlinuz: the kernel comes out of xz and of Zstandard", async () => {
  const { zstdCompressSync } = await import("node:zlib");
  const xz = await run(["xz", "--stdout"], { what: "compress", input: KERNEL });
  assertEquals(await unpackKernel(bzImage(xz)), KERNEL);
  assertEquals(await unpackKernel(bzImage(zstdCompressSync(KERNEL))), KERNEL);
});

Deno.test("vmlinuz: what is not a kernel is refused", async () => {
  const packed = new Uint8Array(300);
  assertThrows(() => payload(new Uint8Array(10)), TypeError, "no setup header");
  assertThrows(
    () => payload(bzImage(packed, (view) => view.setUint8(0x202, 0))),
    TypeError,
    "no setup header",
  );
  assertThrows(
    () => payload(bzImage(packed, (view) => view.setUint16(0x206, 0x207, true))),
    TypeError,
    "2.08",
  );
  assertThrows(
    () => payload(bzImage(packed, (view) => view.setUint32(0x24c, 1e9, true))),
    TypeError,
    "truncated",
  );
  await assertRejects(() => unpackKernel(bzImage(packed)), TypeError, "neither xz nor Zstandard");
  const other = await run(["xz", "--stdout"], { what: "compress", input: "something else" });
  await assertRejects(() => unpackKernel(bzImage(other)), TypeError, "not an ELF file");
});

/** Reads a "newc" archive by the kernel's description of it. */
function readCpio(archive: Uint8Array): { name: string; mode: number; device: string; data: string }[] {
  const text = (from: number, length: number) =>
    new TextDecoder().decode(archive.subarray(from, from + length));
  const aligned = (offset: number) => (offset + 3) & ~3;
  const entries = [];
  for (let at = 0;;) {
    assertEquals(text(at, 6), "070701");
    const field = (index: number) => parseInt(text(at + 6 + 8 * index, 8), 16);
    const [mode, size, major, minor, nameSize] = [1, 6, 9, 10, 11].map(field);
    assertEquals(archive[at + 110 + nameSize - 1], 0);
    const name = text(at + 110, nameSize - 1);
    const data = aligned(at + 110 + nameSize);
    at = aligned(data + size);
    if (name === "TRAILER!!!") {
      assertEquals(at, archive.length);
      return entries;
    }
    entries.push({ name, mode, device: `${major}:${minor}`, data: text(data, size) });
  }
}

Deno.test("cpio: names, modes, contents and devices", () => {
  const archive = cpio([
    { path: "bin", type: "directory" },
    { path: "bin/tool", type: "file", data: new TextEncoder().encode("#!tool\n"), executable: true },
    { path: "odd", type: "file", data: new TextEncoder().encode("12345") },
    { path: "console", type: "device", major: 5, minor: 1 },
  ]);
  assertEquals(readCpio(archive), [
    { name: "bin", mode: 0o040755, device: "0:0", data: "" },
    { name: "bin/tool", mode: 0o100755, device: "0:0", data: "#!tool\n" },
    { name: "odd", mode: 0o100644, device: "0:0", data: "12345" },
    { name: "console", mode: 0o020600, device: "5:1", data: "" },
  ]);
});

Deno.test("cache keys depend on every part and not on their order", async () => {
  const key = await cacheKey({ a: 1, b: ["x", "y"] });
  assert(/^[0-9a-f]{20}$/.test(key));
  assertEquals(await cacheKey({ b: ["x", "y"], a: 1 }), key);
  for (const other of [{ a: 2, b: ["x", "y"] }, { a: 1, b: ["xy"] }, { a: 1, b: ["y", "x"] }, { a: 1 }]) {
    assertNotEquals(await cacheKey(other), key);
  }
});

/** Runs with a cache directory of its own. */
async function withCache(work: () => Promise<void>): Promise<void> {
  const before = Deno.env.get("XDG_CACHE_HOME");
  const directory = await Deno.makeTempDir();
  Deno.env.set("XDG_CACHE_HOME", directory);
  try {
    await work();
  } finally {
    if (before === undefined) Deno.env.delete("XDG_CACHE_HOME");
    else Deno.env.set("XDG_CACHE_HOME", before);
    await Deno.remove(directory, { recursive: true });
  }
}

Deno.test("the cache makes a thing once, for all who ask at the same time", () =>
  withCache(async () => {
    let made = 0;
    const ask = () =>
      cached({ kind: "thing", key: "k", keep: 2 }, async (directory) => {
        made++;
        await new Promise((resolve) => setTimeout(resolve, 20));
        await Deno.writeTextFile(`${directory}/content`, "whole");
      });
    const paths = await Promise.all([ask(), ask(), ask()]);
    assertEquals(made, 1);
    assertEquals(new Set(paths).size, 1);
    assertEquals(await Deno.readTextFile(`${paths[0]}/content`), "whole");
  }));

Deno.test("the cache shows nothing unfinished, and cleans up after it", () =>
  withCache(async () => {
    const thing = { kind: "thing", key: "k", keep: 2 };
    await assertRejects(
      () =>
        cached(thing, async (directory) => {
          await Deno.writeTextFile(`${directory}/half`, "");
          throw new Error("interrupted");
        }),
      Error,
      "interrupted",
    );
    const path = await cached(thing, (directory) => Deno.writeTextFile(`${directory}/whole`, ""));
    assertEquals([...Deno.readDirSync(path)].map(({ name }) => name), ["whole"]);
    assertEquals([...Deno.readDirSync(`${cacheRoot()}/thing`)].map(({ name }) => name), ["k"]);
  }));

Deno.test("the cache keeps what was used last", () =>
  withCache(async () => {
    const ask = async (key: string) => {
      const path = await cached({ kind: "thing", key, keep: 2 }, () => Promise.resolve());
      await new Promise((resolve) => setTimeout(resolve, 5));
      return path;
    };
    await ask("a");
    await ask("b");
    await ask("a");
    await ask("c");
    const kept = [...Deno.readDirSync(`${cacheRoot()}/thing`)].map(({ name }) => name).sort();
    assertEquals(kept, ["a", "c"]);
  }));

Deno.test("what a kernel's name stands for is remembered as long as that kernel is there", () =>
  withCache(async () => {
    const root = `${cacheRoot()}/kernel/k`;
    const kernel = {
      release: "6.1",
      version: "1",
      image: `${root}/vmlinux`,
      root,
      headers: `${root}/headers`,
    };
    let found = 0;
    const ask = () =>
      known("name", async () => {
        found++;
        await Deno.mkdir(root, { recursive: true });
        return kernel;
      });
    assertEquals([await ask(), await ask(), found], [kernel, kernel, 1]);
    await Deno.remove(root);
    assertEquals([await ask(), found], [kernel, 2]);
  }));

Deno.test("mirrors: Debian's own, whatever else apt knows", () => {
  const targets = "Nodesource|http://third.example/\nDebian-Security|http://mirror.example/security/\n" +
    "Debian|http://mirror.example/debian/\nDebian|http://other.example/debian/";
  assertEquals(parseMirrors(targets, ""), {
    main: "http://mirror.example/debian/",
    security: "http://mirror.example/security/",
  });
  assertEquals(parseMirrors("Debian|http://mirror.example/debian/", "").security, undefined);
  assertThrows(() => parseMirrors("Other|http://third.example/\n", ""), UserError, "apt-get update");
});

Deno.test("mirrors: a security archive whose lists apt has never read", () => {
  const uris = "'http://mirror.example/debian/dists/bookworm/InRelease' mirror.example_InRelease 0 \n" +
    "'http://mirror.example/security/dists/bookworm-security/InRelease' mirror.example_InRelease 0 \n";
  assertEquals(
    parseMirrors("Debian|http://mirror.example/debian/\n", uris).security,
    "http://mirror.example/security/",
  );
});

Deno.test("a package's dependencies: the first of each alternative, without versions", () => {
  const found = parsePackage(
    "Package: linux-headers\nVersion: 6.1-2~bpo\nDepends: a (= 6.1-2), b:any | c, d\nDescription: x\n",
  );
  assertEquals(found, { name: "linux-headers", version: "6.1-2~bpo", depends: ["a", "b", "d"] });
});

Deno.test("modules load after what they depend on, once", () => {
  const dependencies = parseDependencies(
    "kernel/a.ko: kernel/b.ko kernel/c.ko\nkernel/b.ko: kernel/c.ko\nkernel/c.ko:\nkernel/d.ko: kernel/c.ko\n",
  );
  assertEquals(closure(dependencies, ["kernel/a.ko", "kernel/d.ko"]), [
    "kernel/c.ko",
    "kernel/b.ko",
    "kernel/a.ko",
    "kernel/d.ko",
  ]);
});

Deno.test("kernel problems: each with its trace, and nothing that a program wrote", () => {
  const trace = [
    "[    3.700510] WARNING: CPU: 1 PID: 134 at net.c:2 h+0x11/0x1000 [ring3]",
    "[    3.704563]  <TASK>",
    "[    3.704863]  do_one_initcall+0x59/0x220",
    "[    3.707389]  </TASK>",
  ];
  const log = [
    "[    0.881007] DMAR: VT-d Scalable Mode not enabled, no PASID allocation",
    "WARNING: this is what a program says",
    ...trace,
    "[    3.800000] e1000: link is up",
    "[   12.000000] BUG: KASAN: use-after-free in x",
    "[   12.000001] Read of size 8",
  ].join("\r\n");
  assertEquals(kernelProblems(log), [
    trace.join("\n"),
    "[   12.000000] BUG: KASAN: use-after-free in x\n[   12.000001] Read of size 8",
  ]);
  assertEquals(kernelProblems("[    1.0] Run /init as init process\n"), []);
  const two = "[    1.0] WARNING: x\n[    1.1] more\n[    1.2] Kernel panic - not syncing: y\n";
  assertEquals(kernelProblems(two), [
    "[    1.0] WARNING: x\n[    1.1] more",
    "[    1.2] Kernel panic - not syncing: y",
  ]);
});

Deno.test("kernel problems: the words that the kernel uses", () => {
  for (
    const words of [
      "Oops: 0002 [#1] PREEMPT SMP PTI",
      "general protection fault, probably for non-canonical address",
      "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
      "kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
      "unreferenced object 0xffff888005dd8000 (size 128):",
      "WARNING: possible circular locking dependency detected",
      "INFO: task deno:123 blocked for more than 120 seconds.",
      "watchdog: BUG: soft lockup - CPU#0 stuck for 22s!",
      "Kernel panic - not syncing: sysrq triggered crash",
      "DMAR: [DMA Write NO_PASID] Request device [01:00.0] fault addr 0x1000",
    ]
  ) assertEquals(kernelProblems(`[   10.123456] ${words}`).length, 1, words);
});
