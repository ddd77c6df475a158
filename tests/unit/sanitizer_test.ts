/** The kernel that watches itself: what can be said of it without building it. */
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { UserError } from "../../src/error.ts";
import { lock } from "../../src/lab/cache.ts";
import { build } from "../../src/lab/command.ts";
import { parseLeaks } from "../../src/lab/leaks.ts";
import { reporter, settings, unmet } from "../../src/lab/sanitizer_kernel.ts";

const CONFIG = await Deno.readTextFile(new URL("../../src/lab/sanitizer.config", import.meta.url));

/** In a directory of its own, with a build's log in it. */
async function withLog(work: (log: string, directory: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "ring3-build-" });
  try {
    await work(`${directory}/log`, directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

Deno.test("a kernel's configuration has what was asked for, or it is said what it lacks", () => {
  const wanted =
    '# Words.\nCONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\nCONFIG_D="x"\n\n# CONFIG_E is not set\n';
  assertEquals(unmet(wanted, 'CONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\nCONFIG_D="x"\n'), []);
  assertEquals(unmet(wanted, 'CONFIG_A=m\nCONFIG_BB=m\nCONFIG_C=m\nCONFIG_D="xy"\nCONFIG_EE=y\n'), [
    "CONFIG_A=y",
    "CONFIG_B=m",
    "# CONFIG_C is not set",
    'CONFIG_D="x"',
  ]);
});

Deno.test("a comment in a configuration is none of the kernel's", () => {
  const config = "# Words, even of CONFIG_A=y.\n\nCONFIG_A=y\n# CONFIG_B is not set\n";
  assertEquals(settings(config), ["CONFIG_A=y", "# CONFIG_B is not set"]);
});

Deno.test("sanitizer.config: every line is a comment or an option, and each option stands once", () => {
  const options = CONFIG.split("\n").flatMap((line) => {
    if (line === "" || /^# (?!CONFIG_)/.test(line)) return [];
    const option = /^(?:(CONFIG_\w+)=(?:[ym]|\d+|"[^"]*")|# (CONFIG_\w+) is not set)$/.exec(line);
    if (!option) throw new Error(`neither a comment nor an option: ${line}`);
    return option[1] ?? option[2];
  });
  assertEquals(options.filter((option, at) => options.indexOf(option) !== at), []);
});

Deno.test("a long build says once a minute how far it is", () => {
  const said: string[] = [];
  let now = 0;
  const line = reporter((message) => said.push(message), () => now);
  line("  CC      init/main.o");
  now = 59_999;
  line("  CC      net/ipv4/tcp.o");
  assertEquals(said, []);
  now = 60_000;
  line("  LD [M]  drivers/ata/libata.ko");
  line("  CC [M]  drivers/ata/libata-core.o");
  line("  CC [M]  drivers/ata/libata-scsi.o");
  assertEquals(said, ["building the sanitizer kernel: 3 files compiled, now in drivers/ata"]);
});

Deno.test("a build: its lines are told, and its log goes when it succeeds", () =>
  withLog(async (log, directory) => {
    const told: string[] = [];
    const line = (text: string) => told.push(text);
    await build(["sh", "-c", "echo one; echo two >&2; pwd"], { what: "try", cwd: directory, log, line });
    assertEquals(told, ["one", "two", await Deno.realPath(directory)]);
    await assertRejects(() => Deno.stat(log), Deno.errors.NotFound);
  }));

Deno.test("a build that fails says its first error, and keeps its log", () =>
  withLog(async (log, directory) => {
    const script = "echo 'x.c:1: error: no such thing'; echo after; echo 'make: *** Error 1'; exit 2";
    const line = () => {};
    const failed = build(["sh", "-c", script], { what: "try", cwd: directory, log, line });
    const { message } = await assertRejects(() => failed, UserError);
    assertEquals(message, `Cannot try: sh ended with 2: x.c:1: error: no such thing; all of it is in ${log}`);
    assertEquals(
      await Deno.readTextFile(log),
      "x.c:1: error: no such thing\nafter\nmake: *** Error 1\n",
    );
  }));

Deno.test("a build ends with all its processes when the one that began it is killed", () =>
  withLog(async (log, directory) => {
    const command = new URL("../../src/lab/command.ts", import.meta.url).href;
    // A length of sleep that nobody else asks for tells these processes from all others.
    const length = `${1_000_000 + Deno.pid}`;
    const script = `sleep ${length} & echo started; sleep ${length}`;
    const program = `
      import { build } from ${JSON.stringify(command)};
      const line = (text) => console.log(text);
      const options = { what: "try", cwd: ${JSON.stringify(directory)}, log: ${JSON.stringify(log)}, line };
      await build(["sh", "-c", ${JSON.stringify(script)}], options);
    `;
    const sleeping = async () => {
      const { stdout } = await new Deno.Command("pgrep", { args: ["-fc", `^sleep ${length}$`] }).output();
      return Number(new TextDecoder().decode(stdout));
    };
    const child = new Deno.Command(Deno.execPath(), {
      args: ["eval", "--ext=ts", program],
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const reader = child.stdout.getReader();
    assertMatch(new TextDecoder().decode((await reader.read()).value), /started/);
    while (await sleeping() < 2) await new Promise((resolve) => setTimeout(resolve, 10));
    child.kill("SIGKILL");
    await child.status;
    await reader.cancel();
    const until = performance.now() + 10_000;
    while (await sleeping() > 0 && performance.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assertEquals(await sleeping(), 0);
  }));

Deno.test("a lock that another holds is waited for, and that is said", () =>
  withLog(async (path) => {
    const said: string[] = [];
    const first = await lock(path, { waiting: () => said.push("first") });
    const second = lock(path, { waiting: () => said.push("second") });
    while (said.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    first[Symbol.dispose]();
    (await second)[Symbol.dispose]();
    assertEquals(said, ["second"]);
  }));

Deno.test("leaks: one object each, with where it was allocated", () => {
  const object = (address: string) =>
    `unreferenced object 0x${address} (size 256):
  comm "insmod", pid 181, jiffies 4294906511 (age 46.988s)
  hex dump (first 32 bytes):
    42 42 42 42 42 42 42 42 42 42 42 42 42 42 42 42  BBBBBBBBBBBBBBBB
    42 42 42 42 42 42 42 42 42 42 42 42 42 42 42 42  BBBBBBBBBBBBBBBB
  backtrace:
    [<(____ptrval____)>] __kmalloc+0x4b/0x160
    [<(____ptrval____)>] 0xffffffffc0008123`;
  const objects = [object("ffff88800a1b2c00"), object("ffff88800a1b2d00")];
  assertEquals(parseLeaks(`${objects.join("\n")}\n`), objects);
  assertEquals(parseLeaks(""), []);
});
