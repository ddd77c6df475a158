/** Streams of bytes as lines of text. */

/**
 * Longest line taken whole, in UTF-16 units. Above any message of a driver process: three texts of
 * `MAX_TEXT`, each character escaped.
 */
const MAX_LINE = 300 * 1024;

/** Lines of a stream of bytes; what is longer than any message comes in pieces, so that nothing piles up. */
export async function* lines(stream: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string> {
  let rest = "";
  for await (const part of stream.pipeThrough(new TextDecoderStream())) {
    const pieces = (rest + part).split("\n");
    rest = pieces.pop()!;
    yield* pieces;
    if (rest.length > MAX_LINE) {
      yield rest;
      rest = "";
    }
  }
  if (rest) yield rest;
}
