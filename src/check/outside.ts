/**
 * The outside of a check: an echo for datagrams, a source and sink for streams. Run as a program it serves
 * until its standard input ends, and tells by lines of JSON: see `OutsideLine`.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { defineCommand, text } from "../cli/args.ts";
import { exitStatus } from "../cli/exit.ts";
import { UserError } from "../error.ts";
import { ContentReader, parseRequest, sendContent, type TransferRequest, writeLine } from "./stream.ts";

/** Largest transfer that is served, in bytes. */
const MOST = 2 ** 34;

/** Servers that run until they are closed. */
export interface Outside extends AsyncDisposable {
  /** Port of the datagram echo. */
  udp: number;
  /** Port of the stream source and sink. */
  tcp: number;
  /** What the servers met that they could not serve, a line each. */
  errors: string[];
  close(): Promise<void>;
}

/**
 * Starts both servers on free ports. `echo` may change what a datagram is answered with (null: no
 * answer), and `sha256` what is said of a stream: so tests see that the inside notices. `moved` is told of
 * every transfer as it begins and goes on: the bytes so far.
 */
export async function startOutside(
  options: {
    hostname?: string;
    echo?: (datagram: Uint8Array) => Uint8Array | null;
    sha256?: (digest: string) => string;
    moved?: (bytes: number, request: TransferRequest) => void;
  } = {},
): Promise<Outside> {
  const hostname = options.hostname ?? "127.0.0.1";
  const errors: string[] = [];
  const failed = (what: string) => (error: unknown) => {
    errors.push(`${what}: ${error instanceof Error ? error.message : error}`);
  };

  const socket = createSocket("udp4");
  socket.on("message", (message, from) => {
    const answer = options.echo ? options.echo(message) : message;
    if (answer) socket.send(answer, from.port, from.address, (error) => error && failed("UDP echo")(error));
  });
  socket.on("error", failed("UDP echo"));
  socket.bind(0, hostname);
  await once(socket, "listening");

  const listener = Deno.listen({ hostname, port: 0 });
  const open = new Set<Deno.Conn>();
  const serving = (async () => {
    for await (const connection of listener) {
      open.add(connection);
      serve(connection, options).catch(failed("TCP")).finally(() => {
        if (open.delete(connection)) connection.close();
      });
    }
  })();

  let closed = false;
  const close = async () => {
    if (closed) return;
    closed = true;
    listener.close();
    await serving;
    for (const connection of open) {
      open.delete(connection);
      connection.close();
    }
    const gone = once(socket, "close");
    socket.close();
    await gone;
  };
  return {
    udp: socket.address().port,
    tcp: (listener.addr as Deno.NetAddr).port,
    errors,
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function serve(
  connection: Deno.TcpConn,
  options: { sha256?: (digest: string) => string; moved?: (bytes: number, request: TransferRequest) => void },
): Promise<void> {
  const { sha256: shown = (digest) => digest, moved = () => {} } = options;
  const reader = new ContentReader(connection);
  const request = parseRequest(await reader.line());
  if (!request || request.bytes < 0 || request.bytes > MOST) {
    throw new Error("a connection did not ask for a transfer");
  }
  moved(0, request);
  const progress = (bytes: number) => moved(bytes, request);
  const account = request.direction === "in"
    ? await sendContent(connection, request, { sent: progress })
    : await reader.content(request.bytes, { received: progress });
  await writeLine(connection, { ...account, sha256: shown(account.sha256) });
  await connection.closeWrite();
}

/** A line of the program: first its ports; then how far a transfer is; and whatever could not be served. */
export type OutsideLine = { udp: number; tcp: number } | { moved: number } | { error: string };

/** Milliseconds from one line about a transfer to the next. */
const TELL_MS = 200;

const outsideCommand = defineCommand({
  name: "deno run -A src/check/outside.ts",
  summary: "serve a check's traffic until standard input ends",
  options: { hostname: text("Address to listen on", { value: "ADDRESS" }) },
  async main({ options: { hostname } }) {
    if (hostname === undefined) throw new UserError("--hostname is needed", { code: 2 });
    const tell = (line: OutsideLine) => console.log(JSON.stringify(line));
    let told = -Infinity;
    await using outside = await startOutside({
      hostname,
      moved(bytes) {
        if (bytes > 0 && performance.now() - told < TELL_MS) return;
        told = performance.now();
        tell({ moved: bytes });
      },
    });
    const { udp, tcp, errors } = outside;
    tell({ udp, tcp });
    for await (const _ of Deno.stdin.readable);
    for (const error of errors) tell({ error });
    return 0;
  },
});

if (import.meta.main) Deno.exit(await exitStatus(() => outsideCommand.run(Deno.args)));
