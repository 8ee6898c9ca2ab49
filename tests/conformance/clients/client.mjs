// An independent WebSocket client against an echo: node client.mjs ws://HOST:PORT/
// The package ws where it is installed, else Node's own (22 or newer).
let Socket = globalThis.WebSocket;
let library = "Node's own";
try {
  const { createRequire } = await import("node:module");
  Socket = createRequire(process.cwd() + "/")("ws").WebSocket;
  library = "ws";
} catch {
  if (!Socket) {
    console.log("no npm package ws, and this Node is older than 22");
    process.exit(77);
  }
}
const fail = (why) => {
  console.error(`${library}: ${why}`);
  process.exit(1);
};
setTimeout(() => fail("timeout"), 60_000).unref();

const bytes = (size) => Uint8Array.from({ length: size }, (_, i) => (i * 31) % 251);
const messages = ["", "one", "grüße", "x".repeat(300_000), bytes(3), bytes(300_000), "last"];
const socket = new Socket(process.argv[2]);
socket.binaryType = "arraybuffer";
let next = 0;
const same = (a, b) =>
  typeof b === "string" ? a === b : typeof a !== "string" && Buffer.compare(Buffer.from(a), Buffer.from(b)) === 0;
socket.onopen = () => {
  if (!socket.extensions.includes("permessage-deflate")) fail(`extensions: '${socket.extensions}'`);
  for (const message of messages) socket.send(message);
};
socket.onmessage = (event) => {
  if (!same(event.data, messages[next])) fail(`message ${next} came back as another`);
  if (++next === messages.length) socket.close(1000, "bye");
};
socket.onerror = (event) => fail(`error ${event.message ?? ""}`);
socket.onclose = (event) => {
  if (next !== messages.length) fail(`closed after ${next} messages, code ${event.code}`);
  if (event.code !== 1000 || !event.wasClean) fail(`close code ${event.code}`);
  console.log(`${library}: ${next} messages, closed with ${event.code}`);
  process.exit(0);
};
