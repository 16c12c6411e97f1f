// A gateway and WebSocket handlers for the tests: real sockets, no dependency, faults on demand.

import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";

const MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
export const SESSION = "0123456789abcdef0123456789abcdef";
export const AT_ONCE = { first_ms: [0, 0], base_ms: 1, cap_ms: 5 };

async function listen(server) {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server.address().port;
}

function frame(opcode, payload) {
  const head = payload.length < 126 ? [payload.length] : [126, payload.length >> 8, payload.length & 255];
  return Buffer.concat([Buffer.from([0x80 | opcode, ...head]), payload]);
}

// The text and close frames of a client, which are short and masked.
function* framesIn(bytes) {
  while (bytes.length >= 6) {
    const length = bytes[1] & 127;
    if (length > 125 || bytes.length < 6 + length) throw new Error("the tests send short frames, whole");
    const payload = Buffer.from(bytes.subarray(6, 6 + length).map((byte, i) => byte ^ bytes[2 + (i % 4)]));
    yield { opcode: bytes[0] & 15, payload };
    bytes = bytes.subarray(6 + length);
  }
}

// One handler. `refuses` closes newcomers with that code, `neverWelcomes` says nothing to them.
export class Pier {
  refuses = null;
  neverWelcomes = false;
  sockets = new Set();
  heard = [];
  cameWith = []; // {protocols, seq} of each newcomer
  closedWith = []; // the codes of the clients' close frames

  constructor(name) {
    this.name = name;
    this.server = createServer((request, response) => response.writeHead(404).end());
    this.server.on("upgrade", (request, socket) => this.#upgrade(request, socket));
  }

  async start() {
    this.url = `ws://127.0.0.1:${await listen(this.server)}/ws`;
  }

  stop() {
    this.die();
    this.server.close();
  }

  #upgrade(request, socket) {
    const protocols = request.headers["sec-websocket-protocol"] ?? "";
    this.cameWith.push({ protocols, seq: new URL(request.url, "http://h").searchParams.get("seq") });
    const accept = createHash("sha1").update(request.headers["sec-websocket-key"] + MAGIC).digest("base64");
    const lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"];
    lines.push(`Sec-WebSocket-Accept: ${accept}`, ...(protocols ? ["Sec-WebSocket-Protocol: wst.v1"] : []), "", "");
    socket.write(lines.join("\r\n"));
    socket.on("error", () => {});
    socket.on("close", () => this.sockets.delete(socket));
    socket.on("data", (bytes) => this.#hear(socket, bytes));
    this.sockets.add(socket);
    if (this.refuses) this.close(this.refuses);
    else if (!this.neverWelcomes) this.welcome();
  }

  #hear(socket, bytes) {
    for (const { opcode, payload } of framesIn(bytes)) {
      if (opcode === 1) this.heard.push(payload.toString());
      if (opcode !== 8) continue;
      this.closedWith.push(payload.length ? payload.readUInt16BE() : 1005);
      socket.end(frame(8, payload));
    }
  }

  // To everybody who is here.
  say(...messages) {
    for (const message of messages) {
      const text = typeof message === "string" ? message : JSON.stringify(message);
      for (const socket of this.sockets) socket.write(frame(1, Buffer.from(text)));
    }
  }

  welcome() {
    this.say({ type: "welcome", handler_id: this.name, session_id: SESSION });
  }

  close(code) {
    for (const socket of this.sockets) socket.write(frame(8, Buffer.from([code >> 8, code & 255])));
  }

  // As a process that is killed: no close frame.
  die() {
    for (const socket of this.sockets) socket.destroy();
  }

  migration(changes = {}) {
    return { type: "migrate", url: this.url, ticket: "moved", handler_id: this.name, deadline_ms: 30_000, ...changes };
  }
}

// Sends clients to the first pier that they don't exclude, after what stands in `script`.
export class Gateway {
  script = []; // [status, body, headers]
  asked = []; // headers, and the url
  goodTokens = null;
  reconnect = AT_ONCE;
  plain = false;

  constructor(...piers) {
    this.piers = piers;
    this.server = createServer((request, response) => this.#answer(request, response));
  }

  async start() {
    this.url = `http://127.0.0.1:${await listen(this.server)}`;
  }

  stop() {
    this.server.closeAllConnections();
    this.server.close();
  }

  #answer(request, response) {
    this.asked.push({ ...request.headers, url: request.url });
    const [status, body, headers = {}] = this.#decide(request.headers);
    response.writeHead(status, { "Content-Type": "application/json", ...headers }).end(JSON.stringify(body));
  }

  #decide(headers) {
    if (this.goodTokens && !this.goodTokens.includes(headers.token)) return [401, { message: "bad token" }];
    if (this.script.length) return this.script.shift();
    const excluded = (headers["x-exclude-handler"] ?? "").split(", ");
    const pier = this.piers.find(({ name }) => !excluded.includes(name));
    if (!pier) return [503, { message: "nobody" }];
    const places = { handler_id: pier.name, websocket_handler_url: pier.url.replace("ws", "http").slice(0, -3) };
    if (this.plain) return [200, places];
    const ticket = { websocket_url: pier.url, ticket: `t${this.asked.length}`, session_id: SESSION };
    return [200, { ...places, ...ticket, reconnect: this.reconnect }];
  }
}
