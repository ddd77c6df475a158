/** The traffic check over loopback: that it holds when all is well, and notices when it is not. */
import { assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { datagram, equalBytes } from "../../src/check/content.ts";
import { checkInside } from "../../src/check/inside.ts";
import { check, type CheckResult, formatCheck, startOutside } from "../../src/check/mod.ts";
import { parsePing } from "../../src/check/ping.ts";
import { pingProblem, trafficProblem } from "../../src/check/result.ts";
import { checkUdp } from "../../src/check/udp.ts";

/** Runs the inside as a process of this machine. */
async function runInside(args: string[]): Promise<{ code: number; stdout: string }> {
  const inside = new URL("../../src/check/inside.ts", import.meta.url).pathname;
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", inside, ...args],
    stderr: "null",
  }).output();
  return { code, stdout: new TextDecoder().decode(stdout) };
}

// Without ping: not every machine that runs the unit tests has it.
const LOOPBACK = { interface: "lo", host: "127.0.0.1", pings: 0, datagrams: 400, bytes: 2 ** 20 };

Deno.test("all of it holds over loopback", async () => {
  const codes: number[] = [];
  const result = await check(async (args) => {
    const done = await runInside(args);
    codes.push(done.code);
    return done;
  }, LOOPBACK);
  assertEquals([result.ok, result.problems, codes], [true, [], [0]]);
  const { udp, tcpOut, tcpIn, traffic } = result;
  assertEquals([udp?.sent, udp?.equal, udp?.corrupt, udp?.lost], [400, 400, 0, 0]);
  for (const transfer of [tcpOut, tcpIn]) {
    assertEquals(transfer?.sent, transfer?.received);
    assertEquals(transfer?.sent.bytes, 2 ** 20);
    assertMatch(transfer?.sent.sha256 ?? "", /^[0-9a-f]{64}$/);
  }
  assertEquals(tcpOut?.sent.sha256 === tcpIn?.sent.sha256, false, "each direction has contents of its own");
  assertEquals((traffic?.rxPackets ?? 0) >= 800, true);
  const lines = formatCheck(result).split("\n");
  assertMatch(lines[0], /^Check of lo against 127\.0\.0\.1: all of it held, in [\d.]+ s$/);
  assertEquals(lines.length, 5, "a part that was left out has no row");
  assertMatch(lines[1], /^ {2}UDP echo +400 of 400 datagrams equal, [\d,]+\/s +ok$/);
  assertMatch(lines[2], /^ {2}TCP out +1 MiB in [\d.]+ s, [\d.]+ Mb\/s, SHA-256 [0-9a-f]{12}… +ok$/);
  assertMatch(lines[4], /^ {2}interface +[\d,]+ packets in, [\d,]+ out through lo +ok$/);
});

Deno.test("one way only, and the outside tells how far it is", async () => {
  for (const direction of ["out", "in"] as const) {
    const moved: number[] = [];
    const result = await check(runInside, {
      ...LOOPBACK,
      datagrams: 0,
      direction,
      outside: {
        moved(bytes, request) {
          assertEquals([request.direction, request.bytes], [direction, 2 ** 20]);
          moved.push(bytes);
        },
      },
    });
    assertEquals(result.problems, []);
    assertEquals([result.tcpOut !== null, result.tcpIn !== null], [direction === "out", direction === "in"]);
    assertEquals([moved[0], moved.at(-1)], [0, 2 ** 20]);
    assertEquals(moved, moved.toSorted((a, b) => a - b));
  }
});

Deno.test("a corrupting path fails the check, with every part that did not hold", async () => {
  let seen = 0;
  let last = new Uint8Array();
  const codes: number[] = [];
  const result = await check(async (args) => {
    const done = await runInside(args);
    codes.push(done.code);
    return done;
  }, {
    ...LOOPBACK,
    stall: 1,
    outside: {
      echo(bytes) {
        seen++;
        if (seen === 50) return null;
        if (seen === 60) return last;
        last = bytes.slice();
        // The last bit only, past the number.
        if (seen === 70) last[last.length - 1] ^= 1;
        return last;
      },
      sha256: (digest) => digest.replace(/^./, (digit) => digit === "0" ? "1" : "0"),
    },
  });
  assertEquals([result.ok, codes], [false, [1]]);
  const { udp } = result;
  // The 60th is answered with its predecessor: one duplicate, and one lost.
  assertEquals([udp?.sent, udp?.equal, udp?.late, udp?.lost, udp?.corrupt], [400, 397, 1, 2, 1]);
  assertEquals(result.problems.length, 3);
  assertEquals(result.problems[0], "UDP: of 400 datagrams 2 lost, 1 corrupt");
  assertMatch(result.problems[1], /^TCP out: SHA-256 differs: sent [0-9a-f]{16}…, received [0-9a-f]{16}…$/);
  assertMatch(result.problems[2], /^TCP in: SHA-256 differs/);
  const text = formatCheck(result);
  assertMatch(text, /3 did not hold/);
  assertMatch(text, /UDP echo .* FAILED\n {2}TCP out .* FAILED\n {2}TCP in .* FAILED\n {2}interface .* ok\n/);
  assertStringIncludes(text, result.problems[0]);
});

Deno.test("where nobody answers, each part is given up and named", async () => {
  const outside = await startOutside();
  await outside.close();
  // Nothing listens there now; the interface is real, so only the traffic fails.
  const { code, stdout } = await runInside([
    ...["--host", "127.0.0.1", "--interface", "lo", "--udp", `${outside.udp}`, "--tcp", `${outside.tcp}`],
    ...["--pings", "0", "--datagrams", "100", "--bytes", "1KiB", "--stall", "1"],
  ]);
  const result = JSON.parse(stdout) as CheckResult;
  assertEquals([code, result.ok, result.udp?.equal, result.tcpOut, result.tcpIn], [1, false, 0, null, null]);
  assertMatch(result.problems[0], /^UDP: of 100 datagrams \d+ lost, \d+ not sent$/);
  assertEquals(result.udp?.lost, result.udp?.sent, "it does not wait for each of a hundred");
  assertMatch(result.problems[1], /^TCP out: .*refused/i);
  assertMatch(formatCheck(result), /TCP out +not done +FAILED/);
});

Deno.test("a transfer that stalls is ended", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepted = listener.accept();
  const { port } = listener.addr as Deno.NetAddr;
  const { stdout } = await runInside([
    ...["--host", "127.0.0.1", "--interface", "lo", "--udp", "9", "--tcp", `${port}`],
    ...["--pings", "0", "--datagrams", "0", "--bytes", "64MiB", "--stall", "1"],
  ]);
  (await accepted).close();
  listener.close();
  const result = JSON.parse(stdout) as CheckResult;
  assertEquals(result.problems, ["TCP out: nothing moved for 1 s", "TCP in: nothing moved for 1 s"]);
});

Deno.test("an interface that is not there ends the check", async () => {
  await assertRejects(
    () => check(runInside, { ...LOOPBACK, interface: "r3n99" }),
    Error,
    "Check of r3n99: it ended with status 1 and without a result",
  );
});

Deno.test("traffic that does not pass the interface fails the check", async () => {
  const interfaces = await Deno.makeTempDir({ prefix: "ring3-net-" });
  try {
    await Deno.mkdir(`${interfaces}/r3n0/statistics`, { recursive: true });
    for (const counter of ["rx_packets", "tx_packets", "rx_bytes", "tx_bytes"]) {
      await Deno.writeTextFile(`${interfaces}/r3n0/statistics/${counter}`, "1000000\n");
    }
    await using outside = await startOutside();
    const { udp, tcp } = outside;
    const parts = { pings: 0, datagrams: 10, bytes: 1000, stall: 1000, seed: 1, interfaces };
    const result = await checkInside({ host: "127.0.0.1", udp, tcp, interface: "r3n0", ...parts });
    assertEquals([result.ok, result.udp?.equal, result.problems.length], [false, 10, 1]);
    assertMatch(result.problems[0], /^r3n0 did not carry this traffic: it counted 0 packets received where/);
    assertMatch(formatCheck(result), /interface +0 packets in, 0 out through r3n0 +FAILED/);
  } finally {
    await Deno.remove(interfaces, { recursive: true });
  }
});

Deno.test("what the counters must show is what the check had", () => {
  const account = { bytes: 1000, sha256: "x" };
  const result: CheckResult = {
    ok: true,
    problems: [],
    interface: "r3n0",
    host: "10.3.0.2",
    ping: null,
    udp: { sent: 10, equal: 10, corrupt: 0, late: 0, lost: 0, bytes: 500, seconds: 1 },
    tcpOut: { sent: account, received: account, seconds: 1 },
    tcpIn: { sent: account, received: account, seconds: 1 },
    traffic: { rxPackets: 30, txPackets: 30, rxBytes: 1500, txBytes: 1500 },
    seconds: 1,
  };
  assertEquals(trafficProblem(result, "r3n0"), undefined);
  result.traffic = { rxPackets: 9, txPackets: 30, rxBytes: 1499, txBytes: 1500 };
  assertEquals(
    trafficProblem(result, "r3n0"),
    "r3n0 did not carry this traffic: it counted 9 packets received where the check had 10, " +
      "1,499 bytes received where the check had 1,500",
  );
});

Deno.test("late answers are told from corrupt ones, also when they are too short for their number", async () => {
  const held: Uint8Array[] = [];
  await using outside = await startOutside({
    echo(bytes) {
      held.push(bytes);
      return bytes;
    },
  });
  const options = { datagrams: 300, seed: 5, stall: 5000, progress: () => {} };
  const straight = await checkUdp("127.0.0.1", outside.udp, options);
  assertEquals([straight.equal, straight.late], [300, 0]);
  assertEquals(held.length, 300);
  assertEquals([...new Set(held.map(({ length }) => length))].length > 200, true, "sizes are mixed");

  const first = datagram(options.seed, 0);
  const alike = datagram(options.seed, 256);
  await using doubling = await startOutside({
    // Number 0 has one byte. It comes again in place of number 256, which looks the same in its low bits.
    echo: (bytes) => equalBytes(bytes, alike) ? first : bytes,
  });
  const late = await checkUdp("127.0.0.1", doubling.udp, { ...options, stall: 500 });
  assertEquals([late.equal, late.late, late.lost, late.corrupt], [299, 1, 1, 0]);
});

Deno.test("datagrams follow from seed and number, and span all sizes", () => {
  assertEquals(datagram(1, 0), Uint8Array.of(0));
  assertEquals(datagram(1, 1).length, 1472);
  assertEquals([...datagram(1, 0x01020304).subarray(0, 4)], [4, 3, 2, 1]);
  let least = Infinity;
  let most = 0;
  for (let number = 2; number < 20_000; number++) {
    const { length } = datagram(9, number);
    least = Math.min(least, length);
    most = Math.max(most, length);
  }
  assertEquals([least, most], [1, 1472]);
  assertEquals(equalBytes(datagram(3, 7), datagram(3, 7)), true);
  assertEquals(equalBytes(datagram(3, 7), datagram(4, 7)), false);
});

Deno.test("ping's words are understood, of iputils and of busybox", () => {
  const iputils =
    "--- 10.3.0.2 ping statistics ---\n5 packets transmitted, 4 received, 20% packet loss, time 804ms\n" +
    "rtt min/avg/max/mdev = 0.241/0.385/0.612/0.131 ms\n";
  const answered = parsePing(iputils);
  assertEquals(answered, { sent: 5, received: 4, milliseconds: { least: 0.241, mean: 0.385, most: 0.612 } });
  assertEquals(answered && pingProblem(answered), "ping: 1 of 5 packets were not answered");
  const errors = "2 packets transmitted, 0 received, +2 errors, 100% packet loss, time 1013ms\npipe 2\n";
  assertEquals(parsePing(errors), { sent: 2, received: 0 });
  const busybox =
    "5 packets transmitted, 5 packets received, 0% packet loss\nround-trip min/avg/max = 0.1/0.2/0.3 ms\n";
  assertEquals(parsePing(busybox)?.milliseconds?.mean, 0.2);
  assertEquals(parsePing("ping: unknown iface r3n9"), undefined);
});
