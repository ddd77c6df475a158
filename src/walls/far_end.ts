/**
 * The far end of the wire while a card is attacked: tells, a line each in hexadecimal, of the datagrams that come,
 * and sends one of its own again and again. Runs until standard input ends.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";

const [hostname, port, target, stamp] = Deno.args;

/** Milliseconds from one datagram to the next. */
const EVERY_MS = 100;

const socket = createSocket("udp4");
socket.on("message", (message) => console.log(message.toString("hex")));
socket.bind(Number(port), hostname);
await once(socket, "listening");
console.log("listening");
const timer = setInterval(() => socket.send(Uint8Array.fromHex(stamp), Number(port), target), EVERY_MS);
for await (const _ of Deno.stdin.readable);
clearInterval(timer);
socket.close();
