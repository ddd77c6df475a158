/** The programs of workloads on the network, here against each other and against far ends with a fault. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { buildFaults } from "../../src/build.ts";
import {
  follow,
  type Program,
  together,
  type Word,
  type Workload,
} from "../../src/faults/workloads/workload.ts";
import { freePort } from "../../src/lab/mod.ts";
import { pause } from "../../src/pause.ts";
import { within } from "../../src/within.ts";

const NEAR = "127.0.0.1";
const FAR = "127.0.0.2";

function start(argv: readonly string[], tells = true): Program {
  const [program, ...args] = argv;
  const child = new Deno.Command(program, { args, stdin: "piped", stdout: "piped", stderr: "piped" }).spawn();
  return { name: argv.join(" "), child, tells };
}

/** All that is seen until it is enough. */
async function seenOf(workload: Workload, enough: (sum: Word) => boolean): Promise<Word> {
  let sum: Word = { at: 0, done: 0, failed: 0, wrong: 0, gap: 0 };
  const seeing = async () => {
    for await (const word of workload.words) {
      sum = together(sum, word);
      if (enough(sum)) workload.stop();
    }
  };
  await within(seeing(), 60_000, { message: "What is awaited is not seen" });
  return sum;
}

/** An echo of datagrams that does with each, by its number from 1, what it is told. */
function echo(port: number, answer: (data: Uint8Array, number: number) => Promise<Uint8Array[]>) {
  const socket = Deno.listenDatagram({ transport: "udp", hostname: FAR, port });
  const serving = (async () => {
    let number = 0;
    for await (const [data, from] of socket) {
      for (const one of await answer(data, ++number)) await socket.send(one, from);
    }
  })();
  return {
    async [Symbol.asyncDispose]() {
      socket.close();
      await serving;
    },
  };
}

/** Sends datagrams to an echo that runs already. */
async function datagrams(port: number, rate = 200): Promise<Workload> {
  return await follow([start([`${await buildFaults()}/udp`, NEAR, FAR, `${port}`, "7", `${rate}`])]);
}

Deno.test("datagrams come back as they were sent", async () => {
  const port = await freePort("udp");
  const server = start([`${await buildFaults()}/echo`, `${port}`, FAR], false);
  try {
    const { done, failed, wrong, text } = await seenOf(await datagrams(port), ({ done }) => done >= 200);
    assertEquals([done >= 200, failed, wrong, text], [true, 0, 0, undefined]);
  } finally {
    server.child.kill();
    await server.child.output();
  }
});

Deno.test("one datagram that comes back with another byte is wrong, and one of another size", async () => {
  const port = await freePort("udp");
  await using _ = echo(port, (data, number) => {
    if (number === 20) data[500] ^= 4;
    return Promise.resolve([number === 30 ? data.subarray(0, 1000) : data]);
  });
  const { failed, wrong, text } = await seenOf(await datagrams(port), ({ done }) => done >= 100);
  assertEquals([failed, wrong], [0, 2]);
  assertStringIncludes(text!, "byte 500 of a datagram came back as");
});

Deno.test("a datagram that comes back twice counts once, and one that never does is no error", async () => {
  const port = await freePort("udp");
  let answered = 0;
  await using _ = echo(port, (data, number) => {
    if (number % 10 === 0) return Promise.resolve([]);
    answered++;
    return Promise.resolve([data, data]);
  });
  const { done, failed, wrong } = await seenOf(await datagrams(port), ({ done }) => done >= 100);
  assert(done <= answered, `${done} done of ${answered}`);
  assertEquals([failed, wrong], [0, 0]);
});

Deno.test("an echo that pauses is a gap", async () => {
  const port = await freePort("udp");
  await using _ = echo(port, async (data, number) => {
    if (number === 50) await pause(500);
    return [data];
  });
  const { gap, failed, wrong } = await seenOf(
    await datagrams(port),
    ({ done, gap }) => done >= 100 && gap >= 400,
  );
  assert(gap >= 400, `${gap} ms`);
  assertEquals([failed, wrong], [0, 0]);
});

/** Both ends of streams, in connections of 1 MiB. The near end's go to a port of its own. */
async function streams(port: number, { through = port } = {}): Promise<Workload> {
  const tcp = `${await buildFaults()}/tcp`;
  const rate = "16000000";
  return await follow([
    start([tcp, "listen", FAR, `${port}`, rate]),
    start([tcp, NEAR, FAR, `${through}`, "7", rate, "1048576"]),
  ]);
}

/**
 * Stands between the ends of streams.
 * @param pass What becomes of a part that came from the near end, or from the far end; undefined cuts both off.
 */
function between(
  ports: { from: number; to: number },
  pass: (
    part: Uint8Array,
    at: { connection: number; near: boolean; offset: number },
  ) => Uint8Array | undefined,
) {
  const listener = Deno.listen({ hostname: FAR, port: ports.from });
  const all = new Set<Deno.Conn>();
  const carry = async (from: Deno.Conn, to: Deno.Conn, at: { connection: number; near: boolean }) => {
    let offset = 0;
    try {
      for (;;) {
        const buffer = new Uint8Array(65536);
        const got = await from.read(buffer);
        const part = got === null ? undefined : pass(buffer.subarray(0, got), { ...at, offset });
        if (!part) break;
        for (let sent = 0; sent < part.length;) sent += await to.write(part.subarray(sent));
        offset += part.length;
      }
    } catch {
      // One of them has gone, and so goes the other.
    }
    for (const end of [from, to]) if (all.delete(end)) end.close();
  };
  const serving = (async () => {
    let connection = 0;
    for await (const near of listener) {
      all.add(near);
      const far = await Deno.connect({ hostname: FAR, port: ports.to }).catch(() => undefined);
      if (!far) {
        all.delete(near);
        near.close();
        continue;
      }
      all.add(far);
      connection++;
      carry(near, far, { connection, near: true });
      carry(far, near, { connection, near: false });
    }
  })();
  return {
    async [Symbol.asyncDispose]() {
      listener.close();
      for (const end of all) end.close();
      all.clear();
      await serving;
    },
  };
}

Deno.test("streams come through both ways, connection after connection", async () => {
  const port = await freePort("tcp");
  const { done, failed, wrong, text } = await seenOf(await streams(port), ({ done }) => done >= 100);
  // 32 blocks of 64 KiB to a connection.
  assert(done >= 100);
  assertEquals([failed, wrong, text], [0, 0, undefined]);
});

Deno.test("a byte that is another is wrong, at the end that it comes in at, and the stream goes on", async () => {
  const [from, to] = [await freePort("tcp"), await freePort("tcp")];
  let connections = 0;
  await using _ = between({ from, to }, (part, { connection, near, offset }) => {
    connections = connection;
    const place = 500_000 - offset;
    if (connection === 2 && near && place >= 0 && place < part.length) part[place] ^= 1;
    return part;
  });
  const { failed, wrong, text } = await seenOf(await streams(to, { through: from }), () => connections > 3);
  assertEquals([failed, wrong], [0, 1]);
  assertStringIncludes(text!, "byte 499984 of the stream came in as");
});

Deno.test("a connection that is cut has failed, and the next one is made", async () => {
  const [from, to] = [await freePort("tcp"), await freePort("tcp")];
  let connections = 0;
  await using _ = between({ from, to }, (part, { connection, offset }) => {
    connections = connection;
    return connection === 2 && offset > 300_000 ? undefined : part;
  });
  const { failed, wrong, text } = await seenOf(await streams(to, { through: from }), () => connections > 4);
  assertEquals([failed, wrong], [1, 0]);
  assert(/, after \d of 16 blocks$/.test(text!), text);
});

Deno.test("requests are compared: what the client says is an error, and what it takes for right and is not", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const http = `${await buildFaults()}/http`;
    await new Deno.Command(http, { args: ["files", folder] }).output();
    const sizes = [...Deno.readDirSync(folder)].map(({ name }) => Deno.statSync(`${folder}/${name}`).size);
    assertEquals([sizes.length, Math.min(...sizes), Math.max(...sizes)], [16, 1, 65536]);
    const fetching = async () => await follow([start([http, folder, "500", "cat"])]);
    const { failed, wrong, text } = await seenOf(await fetching(), ({ done }) => done >= 32);
    assertEquals([failed, wrong, text], [0, 0, undefined]);

    const content = await Deno.readFile(`${folder}/2`);
    content[300] ^= 1;
    await Deno.writeFile(`${folder}/2`, content);
    await Deno.truncate(`${folder}/3`, 5);
    await Deno.writeFile(`${folder}/4`, new Uint8Array(1), { append: true });
    await Deno.remove(`${folder}/5`);
    const all = ({ done, failed, wrong }: Word) => done + failed + wrong;
    const seen = await seenOf(await fetching(), (sum) => all(sum) >= 16);
    const rounds = Math.floor(all(seen) / 16);
    assert(seen.wrong >= 3 * rounds && seen.wrong <= 3 * rounds + 3, JSON.stringify(seen));
    assert(seen.failed >= rounds && seen.failed <= rounds + 1, JSON.stringify(seen));
    assertStringIncludes(seen.text!, "file 2: byte 300 is ");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the programs refuse what they cannot use", async () => {
  const built = await buildFaults();
  const refused = async (name: string, ...args: string[]) => {
    const { code, stderr } = await new Deno.Command(`${built}/${name}`, { args, stdin: "null" }).output();
    return [code, new TextDecoder().decode(stderr).split("\n")[0]];
  };
  assertEquals(await refused("udp", NEAR), [64, "usage: udp FROM TO PORT SEED RATE"]);
  assertEquals(await refused("udp", NEAR, "x", "7", "1", "1"), [64, "udp: x: not an IPv4 address"]);
  assertEquals(await refused("udp", NEAR, FAR, "0", "1", "1"), [64, "udp: 0: not from 1 to 65535"]);
  assertEquals(await refused("tcp", "listen"), [64, "usage: tcp FROM TO PORT SEED RATE BYTES"]);
  assertEquals(await refused("http", "x"), [64, "usage: http files FOLDER"]);
  const client = "/no/such/client";
  await assertRejects(
    () => follow([start([`${built}/http`, "x", "1", client])]),
    Error,
    `ended by itself: http: cannot start ${client}`,
  );
});
