import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { formatTcpBench, plotTcpBench, type Side, type TcpBench } from "../../bench/tcp.ts";
import { buildBench, buildOutside } from "../../src/build.ts";
import { freePort } from "../../src/lab/mod.ts";
import { COMPARISON, one } from "./figures.ts";

Deno.test("requests are answered one after the other, and counted", async () => {
  const port = `${await freePort("tcp")}`;
  const [respond, request] = [`${await buildBench()}/respond`, `${await buildOutside()}/request`];
  const server = new Deno.Command(respond, { args: [port], stdout: "piped" }).spawn();
  const said = server.stdout.pipeThrough(new TextDecoderStream()).getReader();
  try {
    assertEquals((await said.read()).value, "ready\n");
    for (const size of ["1", "1024", "60000"]) {
      const { code, stdout } = await new Deno.Command(request, { args: [port, size, "20", "200"] }).output();
      assertEquals(code, 0);
      const [begin, end, json] = new TextDecoder().decode(stdout).trim().split("\n");
      assertEquals([begin, end], ["begin", "end"]);
      const { transactions, seconds, p50_us, p99_us, p999_us, max_us } = JSON.parse(json);
      assert(transactions > 10 && seconds >= 0.2 && seconds < 2);
      assert(0 < p50_us && p50_us <= p99_us && p99_us <= p999_us && p999_us <= max_us);
      // One at a time: together they took the whole time, and none took less than half of the others.
      assert(transactions * p50_us / 2e6 < seconds && max_us / 1e6 <= seconds);
    }
  } finally {
    server.kill();
    await server.status;
    await said.cancel();
  }
});

Deno.test("requests that nobody answers are an error that says why", async () => {
  const port = `${await freePort("tcp")}`;
  const { code, stderr } = await new Deno.Command(`${await buildOutside()}/request`, {
    args: [port, "1", "0", "100"],
  }).output();
  assertEquals([code, new TextDecoder().decode(stderr)], [1, `request: ${port}: Connection refused\n`]);
});

const side = (rate: number, trips: boolean): Side => ({
  rate: one(rate),
  cpu: one(1.5),
  cost: one(20),
  p50: trips ? one(500) : null,
  p99: trips ? one(1500) : null,
  retransmits: trips ? null : one(3),
});

const RESULT: TcpBench = {
  bench: "tcp",
  ...COMPARISON,
  iommu: false,
  rounds: 1,
  rows: [
    { kind: "stream out", kernel: side(200, false), ring3: side(210, false) },
    { kind: "request of 1 byte", kernel: side(1000, true), ring3: side(850, true) },
  ],
};

Deno.test("the figures are a table of both drivers, with what went wrong", () => {
  const text = formatTcpBench(RESULT);
  assertStringIncludes(text, "IOMMU off): medians of 1 round in one boot");
  const cells = text.split("\n").filter((line) => line.startsWith("|")).map((line) =>
    line.split("|").map((cell) => cell.trim()).slice(1, 8)
  );
  assertEquals(cells[2], ["stream out", "Mb/s", "200 (199–201)", "210 (209–211)", "1.05", "1.50", "1.50"]);
  assertEquals(cells[3].slice(0, 5), [
    "request of 1 byte",
    "1/s",
    "1000 (999–1001)",
    "850 (849–851)",
    "0.85",
  ]);
  assert(text.endsWith("\nring3's driver ended"));
});

Deno.test("the chart has a step for each kind, the kernel's driver's at 1", () => {
  const svg = plotTcpBench(RESULT);
  for (const kind of ["stream out", "request of 1 byte"]) assertStringIncludes(svg, `>${kind}</text>`);
  const [kernel, ring3] = [...svg.matchAll(/<path class="series s\d" d="(.*?)"/g)].map(([, path]) =>
    path.split(/[ML ]/).filter((word) => word !== "").map(Number)
  );
  const heights = (path: readonly number[]) => path.filter((_, index) => index % 2 === 1);
  assertEquals(new Set(heights(kernel)).size, 1);
  // Up is less: more than the kernel's driver did of the first, and less of the second.
  assert(heights(ring3)[0] < heights(kernel)[0] && heights(ring3)[2] > heights(kernel)[0]);
});
