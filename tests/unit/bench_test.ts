import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  type DiskBench,
  formatDiskBench,
  plotDiskBench,
  type RandomSide,
  type Side,
  SIZES,
} from "../../bench/disk.ts";
import { takeTurns } from "../../bench/compare.ts";
import { buildBench } from "../../src/build.ts";
import { keepResult } from "../../src/cli/results.ts";
import { freePort } from "../../src/lab/mod.ts";
import { lines } from "../../src/lines.ts";
import { COMPARISON, same } from "./figures.ts";

const side = (throughput: number, cost: number): Side => ({
  throughput: same(throughput * 2 ** 20),
  cpu: same(1),
  cost: same(cost),
});

const random = (rate: number): RandomSide => {
  const [cpu, cost, p50, p99, p999] = [1, 1e6 / rate, 500, 900, 1200].map(same);
  return { rate: same(rate), cpu, cost, p50, p99, p999 };
};

const RESULT: DiskBench = {
  bench: "disk",
  ...COMPARISON,
  disk: "nvme",
  points: [
    { sectors: 1, kernel: side(2, 0.0001), ring3: side(1, 0.0002) },
    { sectors: 8192, kernel: side(400, 0.01), ring3: side(401, 0.009) },
  ],
  random: [{ depth: 32, kernel: random(2000), ring3: random(1000) }],
};

Deno.test("the request sizes are the paper's", () => {
  assertEquals([SIZES.length, SIZES[0], SIZES[31], SIZES.at(-1)], [64, 1, 32, 8192]);
  assert(SIZES.every((size, i) => i === 0 || size > SIZES[i - 1]));
});

Deno.test("a disk's figures are a table of both drivers and their ratios, with what went wrong", () => {
  const text = formatDiskBench(RESULT);
  assertStringIncludes(
    text,
    "|       1 |          2.0 |         1.0 |  0.50 |           100 |          200 |  2.00 |",
  );
  assertStringIncludes(text, "|    8192 |        400.0 |       401.0 |  1.00 |");
  assertStringIncludes(
    text,
    "|    32 | 2000 (2000–2000) | 1000 (1000–1000) |  0.50 |           500 |         1000 |",
  );
  assertStringIncludes(text, "Linux 6.1 (tcg, 2 processors, IOMMU on): medians of 5 rounds in one boot");
  assert(text.endsWith("\nring3's driver ended"));
  assertStringIncludes(plotDiskBench(RESULT), "kernel's driver");
});

Deno.test("both drivers take their turns in each round, and what went wrong in any is kept", async () => {
  const said: string[] = [];
  let turns = 0;
  const { result, problems } = await takeTurns(
    { rounds: 2, progress: (line) => void said.push(line) },
    (driver) => Promise.resolve({ result: ++turns, problems: turns === 3 ? [`${driver} failed`] : [] }),
  );
  assertEquals(result, { kernel: [1, 3], ring3: [2, 4] });
  assertEquals(problems, ["kernel failed"]);
  assertEquals(said[3], "round 2 of 2: ring3's driver");
});

Deno.test("results of a whole run are written, those of a quick one only where they are told to", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const said: string[] = [];
    const keeping = {
      name: () => "never",
      md: () => "| a |",
      progress: (line: string) => void said.push(line),
    };
    await keepResult({ a: 1 }, { ...keeping, quick: true });
    assertEquals(said, []);
    const out = `${folder}/new/result`;
    await keepResult({ a: 1 }, { ...keeping, quick: true, out });
    assertEquals(said, [`written: ${out}.md, ${out}.json`]);
    assertEquals(await Deno.readTextFile(`${out}.md`), "| a |\n");
    assertEquals(JSON.parse(await Deno.readTextFile(`${out}.json`)), { a: 1 });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the program that samples tells of one interrupt's line, or of all", async () => {
  const program = `${await buildBench()}/sample`;
  const sample = async (...args: string[]) => {
    const child = new Deno.Command(program, { args, stdin: "piped", stdout: "piped", stderr: "null" })
      .spawn();
    await new Blob(["\n"]).stream().pipeTo(child.stdin).catch(() => {});
    const { code, stdout } = await child.output();
    return code === 0 ? JSON.parse(new TextDecoder().decode(stdout)).interrupts : code;
  };
  const total = Number(/^intr (\d+)/m.exec(await Deno.readTextFile("/proc/stat"))![1]);
  assert(await sample() >= total);
  assert(await sample("0") < total);
  assertEquals(await sample("-1"), 64);
});

Deno.test("the program that reads tells what it read, and what it cannot", async () => {
  const built = await buildBench();
  const program = `${built}/read`;
  // Not where temporary files are: memory has no direct I/O.
  const file = await Deno.makeTempFile({ dir: built });
  try {
    await Deno.writeFile(file, new Uint8Array(2 ** 20));
    const read = async (...orders: string[]) => {
      const child = new Deno.Command(program, {
        args: [file],
        stdin: "piped",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
      await new Blob([orders.join("\n")]).stream().pipeTo(child.stdin);
      const { code, stdout, stderr } = await child.output();
      const decoder = new TextDecoder();
      return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
    };
    const { code, stdout } = await read("1 2048 60000", "8 100 60000", "2048 1 60000", "1 2048 0");
    assertEquals(code, 0);
    const lines = stdout.trim().split("\n").map((line) => JSON.parse(line));
    assertEquals(
      lines.map(({ sectors, requests, bytes }) => [sectors, requests, bytes]),
      [[1, 2048, 2 ** 20], [8, 100, 100 * 4096], [2048, 1, 2 ** 20], [1, 1, 512]],
    );
    assert(lines.every(({ seconds }) => seconds > 0));
    assertEquals((await read("2048 2 60000")).stderr, "read: the disk ends at 1048576 bytes\n");
    const wrong = "read: not 1 to 8192 sectors, a request or more, and milliseconds: ";
    assertEquals(await read("9000 1 1"), { code: 64, stdout: "", stderr: `${wrong}9000 1 1` });
    assertEquals((await read("1 1")).code, 64);
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("the program that echoes sends every datagram back, and says what it takes", async () => {
  const program = `${await buildBench()}/echo`;
  const port = await freePort("udp");
  const echo = new Deno.Command(program, { args: [`${port}`], stdout: "piped" }).spawn();
  try {
    for await (const line of lines(echo.stdout)) {
      assertEquals(line, "ready");
      break;
    }
    const socket = Deno.listenDatagram({ transport: "udp", hostname: "127.0.0.1", port: 0 });
    const to = { transport: "udp", hostname: "127.0.0.1", port } as const;
    for (const size of [0, 1, 1024]) {
      const sent = crypto.getRandomValues(new Uint8Array(size));
      await socket.send(sent, to);
      const [received, from] = await socket.receive();
      assertEquals([received, { ...from }], [sent, to]);
    }
    socket.close();
    const taken = await new Deno.Command(program, { args: [`${port}`] }).output();
    assertEquals(new TextDecoder().decode(taken.stderr), `echo: ${port}: Address already in use\n`);
    assertEquals((await new Deno.Command(program).output()).code, 64);
  } finally {
    echo.kill();
    await echo.status;
  }
});
