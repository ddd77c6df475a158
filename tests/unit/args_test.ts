/** Command lines: what is parsed, what is refused, and what the help says. */
import { assertEquals, assertMatch, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import {
  choice,
  type CommandSpec,
  defineCommand,
  defineGroup,
  duration,
  flag,
  help,
  integer,
  list,
  parse,
  size,
  text,
} from "../../src/cli/args.ts";
import { exitStatus } from "../../src/cli/exit.ts";
import { UserError } from "../../src/error.ts";

const OPTIONS = {
  json: flag("Print JSON", { short: "j" }),
  device: text("PCI address", { value: "ADDRESS", pattern: /^[0-9a-f:.]+$/ }),
  iommu: choice("Confine devices", { of: ["on", "off"], default: "on" }),
  smp: integer("Processors", { value: "N", min: 1, max: 64, default: 2 }),
  memory: size("Memory", { default: "2GiB" }),
  time: duration("Time", { default: "60s" }),
  nic: list("A card", { value: "MODEL" }),
};

const SPEC: CommandSpec<typeof OPTIONS> = {
  name: "ring3 run",
  summary: "run a driver",
  positionals: [{ name: "DRIVER", description: "name of a manifest" }, {
    name: "[LOG]",
    description: "a file",
  }],
  options: OPTIONS,
  examples: [{ line: "ring3 run e1000", does: "in the lab" }],
  main: () => Promise.resolve(0),
};

Deno.test("options have their types, and defaults when they are not given", () => {
  const bare = parse(["e1000"], SPEC);
  assertEquals(bare.positionals, ["e1000"]);
  assertEquals(bare.options, {
    json: false,
    device: undefined,
    iommu: "on",
    smp: 2,
    memory: 2 ** 31,
    time: 60_000,
    nic: [],
  });
  const given = "--iommu=off 007 -j --device 00:10.0 log --smp 64 --memory 64MiB --time 500ms --nic a --nic=b"
    .split(" ");
  const full = parse(given, SPEC);
  assertEquals(full.positionals, ["007", "log"]);
  assertEquals(full.options, {
    json: true,
    device: "00:10.0",
    iommu: "off",
    smp: 64,
    memory: 2 ** 26,
    time: 500,
    nic: ["a", "b"],
  });
});

Deno.test("what is not understood is refused with status 2 and a hint", () => {
  const cases: [string, string][] = [
    ["", "run needs DRIVER: name of a manifest"],
    ["e1000 log more", 'run does not take "more"; usage: ring3 run DRIVER [LOG] [OPTIONS]'],
    ["e1000 --jsno", 'run has no flag "--jsno"; did you mean "--json"?'],
    ["e1000 --frobnicate=1", 'run has no flag "--frobnicate"; see ring3 run --help'],
    ["e1000 --no-json", 'run has no flag "--no-json"; did you mean "--json"?'],
    ["e1000 -x", 'run has no flag "-x"; see ring3 run --help'],
    ["e1000 --json=yes", '--json takes no value, but got "--json=yes"'],
    ["e1000 --device", "--device needs a value, ADDRESS"],
    ["e1000 --device=", "--device needs a value, ADDRESS"],
    ["e1000 --device --json", "--device needs a value, ADDRESS"],
    ["e1000 --device 1 --device 2", "--device is given more than once"],
    ["e1000 --device eth0", '--device takes ADDRESS in the form ^[0-9a-f:.]+$, not "eth0"'],
    ["e1000 --iommu of", '--iommu is on or off, not "of"; did you mean "off"?'],
    ["e1000 --smp 65", '--smp is a whole number from 1 to 64, not "65"'],
    ["e1000 --smp 1.5", '--smp is a whole number from 1 to 64, not "1.5"'],
    ["e1000 --smp two", '--smp is a whole number from 1 to 64, not "two"'],
    ["e1000 --time 3", '--time: "3" is not a span of time; write it as "500ms", "10s", "30min" or "2h"'],
    ["e1000 --memory 64MB", '--memory: "64MB" is not a size; write "64MiB" (1 MiB is 1,048,576 bytes)'],
  ];
  for (const [line, message] of cases) {
    const error = assertThrows(() => parse(line.split(" ").filter((word) => word), SPEC), UserError);
    assertEquals([error.message, error.code], [message, 2], line);
  }
});

Deno.test("an argument with an ellipsis takes all that are left", () => {
  const spec = {
    ...SPEC,
    positionals: [{ name: "FIRST", description: "" }, { name: "[MORE…]", description: "" }],
  };
  assertEquals(parse(["a"], spec).positionals, ["a"]);
  assertEquals(parse(["a", "b", "--json", "c"], spec).positionals, ["a", "b", "c"]);
  assertThrows(() => parse([], spec), UserError, "run needs FIRST");
});

Deno.test("after -- stands another command line, for a command that takes one", () => {
  const spec: CommandSpec<{ json: typeof OPTIONS.json }> = {
    name: "ring3 lab exec",
    summary: "run a command in the lab",
    rest: { name: "CMD…", description: "what to run" },
    options: { json: OPTIONS.json },
    main: () => Promise.resolve(0),
  };
  const parsed = parse(["--json", "--", "ls", "--help", "-l", "--json=x"], spec);
  assertEquals(parsed.rest, ["ls", "--help", "-l", "--json=x"]);
  assertEquals(parsed.options.json, true);
  assertEquals(parse(["--", "e1000"], SPEC).positionals, ["e1000"]);
  assertStringIncludes(help(spec), "Usage: ring3 lab exec [OPTIONS] -- CMD…");
});

Deno.test("help tells usage, arguments, options with defaults, and examples", () => {
  const text = help(SPEC);
  assertStringIncludes(text, "Run a driver.\n\nUsage: ring3 run DRIVER [LOG] [OPTIONS]\n");
  assertMatch(text, /^ {2}DRIVER +name of a manifest$/m);
  assertMatch(text, /^ {2}-j, --json +Print JSON$/m);
  assertMatch(text, /^ {2}--iommu on\|off +Confine devices \(default: on\)$/m);
  assertMatch(text, /^ {2}--time TIME +Time \(default: 60s\)$/m);
  assertMatch(text, /^ {2}--memory SIZE +Memory \(default: 2GiB\)$/m);
  assertMatch(text, /^ {2}--nic MODEL +A card \(may be repeated\)$/m);
  assertMatch(text, /^ {2}ring3 run e1000 +in the lab$/m);
});

Deno.test("a group runs the command named, and loads no other", async () => {
  const loaded: string[] = [];
  const ran: string[][] = [];
  const command = (name: string) => () => {
    loaded.push(name);
    return Promise.resolve(defineCommand({
      name: `ring3 ${name}`,
      summary: name,
      positionals: [{ name: "[X]", description: "anything" }],
      main({ positionals }) {
        ran.push([name, ...positionals]);
        return Promise.resolve(7);
      },
    }));
  };
  const group = defineGroup({
    name: "ring3",
    summary: "x",
    commands: { list: command("list"), run: command("run") },
  });
  assertEquals(await group.run(["run", "y"]), 7);
  assertEquals([loaded, ran], [["run"], [["run", "y"]]]);
  const wrong = await assertRejects(() => group.run(["lsit"]), UserError);
  assertEquals(wrong.message, 'there is no command "lsit"; did you mean "list"? (ring3 COMMAND: list, run)');
  assertEquals(wrong.code, 2);
  // A name that every object has is no command.
  await assertRejects(() => group.run(["constructor"]), UserError, 'no command "constructor"');
});

Deno.test("a user's error becomes its status, a defect passes", async () => {
  assertEquals(await exitStatus(() => Promise.resolve(3)), 3);
  await assertRejects(() => exitStatus(() => Promise.reject(new TypeError("defect"))), TypeError, "defect");
});

/** Runs the command line as a process. */
async function ring3(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const cli = new URL("../../src/cli.ts", import.meta.url).pathname;
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", cli, ...args],
    env: { NO_COLOR: "1" },
  }).output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
}

Deno.test("the command line prints one line and exits with a status", async () => {
  assertMatch((await ring3("--version")).out, /^ring3 \d+\.\d+\.\d+\n$/);
  assertEquals(await ring3("lits"), {
    code: 2,
    out: "",
    err:
      'ring3: there is no command "lits"; did you mean "list"? (ring3 COMMAND: run, list, status, report, soak, ' +
      "bench, fuzz, faults, walls, start, stop, restart, upgrade, inject, kill, events, dashboard, release, prepare, service, lab)\n",
  });
  assertEquals(await ring3("list", "--jason"), {
    code: 2,
    out: "",
    err: 'ring3: list has no flag "--jason"; did you mean "--json"?\n',
  });
  const shown = await ring3("list", "--help");
  assertEquals([shown.code, shown.err], [0, ""]);
  assertStringIncludes(shown.out, "Usage: ring3 list [OPTIONS]");
});

Deno.test("help names every command, and no command at all is status 2", async () => {
  const shown = await ring3("--help");
  assertEquals([shown.code, shown.err], [0, ""]);
  const names =
    "run list status report soak bench fuzz walls start stop restart upgrade inject kill events dashboard release service lab";
  for (const name of names.split(" ")) {
    assertMatch(shown.out, new RegExp(`^ {2}${name} +\\S`, "m"));
  }
  const bare = await ring3();
  assertEquals([bare.code, bare.out, bare.err], [2, "", shown.out]);
});
