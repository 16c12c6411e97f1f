// A WebSocket handler without the SDK. It says hello and reports to a gateway, lets clients with a ticket
// in, and moves them elsewhere when it is drained or stopped. What it says and hears: docs/handlers.md.
//
//     npm install && node handler.js --id WSH9 --port 8009 --gateway http://127.0.0.1:8000
import { createHmac, timingSafeEqual } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { WebSocketServer } from "ws";

const option = (value) => ({ type: "string", default: value });
const { values: options } = parseArgs({ options: {
  id: option("WSH9"), port: option("8009"), url: option(""), capacity: option("1000"), drain: option("25"),
  gateway: { type: "string", multiple: true, default: ["http://127.0.0.1:8000"] },
} });
const who = { handler_id: options.id, epoch: Date.now() };
const capacity = Number(options.capacity);
const TICK_S = 0.25, LEEWAY_S = 2, KEEP_S = 30, GUARD_S = 2, FOLLOW_S = 30, MAX_NEWS = 2000, MAX_MOVES = 256;

const clients = new Map(); // jti -> {uid, sessionId, socket, until}, in the order in which they came
const used = new Map(); // jti -> when its ticket may be forgotten
const confirmed = new Set(), closed = new Set(); // jtis that no gateway has acknowledged so far
let keys = null; // kid -> key; null until a gateway has answered the hello
let audience, issuer, reportS = 1, seq = 0, asking = 0;
let draining = false, leaving = false, superseded = false;
let startedAt = null, endsAt = Infinity, rate = Infinity; // of a drain
// Tickets are written by the gateways' clock, so they are judged by it: ours may be wrong.
let ahead = Date.now() - performance.now(), doubt = Infinity; // ms: the gateways' time less our monotonic clock's
const now = () => (performance.now() + ahead) / 1000;

function setTime(told, askedAt) {
  const error = (performance.now() - askedAt) / 2;
  const offset = told * 1000 - askedAt - error;
  doubt += 1; // an old answer gives way to a slower one; one that contradicts it, to the new one
  if (error > doubt && Math.abs(offset - ahead) <= error + doubt) return;
  [ahead, doubt] = [offset, error];
}

// --- The gateway ---

async function post(path, body) {
  for (let tries = options.gateway.length; tries > 0; tries -= 1) {
    const askedAt = performance.now();
    try {
      const answer = await fetch(options.gateway[0] + path, {
        method: "POST", body: JSON.stringify({ ...who, ...body }), signal: AbortSignal.timeout(1000),
        headers: { "Content-Type": "application/json", "X-Internal-Key": process.env.INTERNAL_KEY ?? "" },
      });
      if ([200, 404, 409].includes(answer.status)) {
        const told = await answer.json();
        if (told.now) setTime(told.now, askedAt);
        return { status: answer.status, told };
      }
    } catch { /* it is away: the next one is asked */ }
    options.gateway.push(options.gateway.shift());
  }
  return { status: 0 };
}

async function hello() {
  const { status, told } = await post("/handlers/register", {
    url: options.url || `http://127.0.0.1:${options.port}`, path: "/ws", capacity,
    connections: clients.size, known: [...confirmed].slice(0, MAX_NEWS),
  });
  if (status !== 200) return;
  keys = new Map([told.ticket, ...told.previous].map(({ kid, key }) => [kid, Buffer.from(key, "base64url")]));
  ({ audience, issuer } = told.ticket);
  reportS = told.report_s;
}

async function report(move = []) {
  const [admitted, left] = [confirmed, closed].map((jtis) => [...jtis].slice(0, MAX_NEWS));
  const { status, told } = await post("/handlers/report", {
    seq: (seq += 1), connections: clients.size, confirmed: admitted, closed: left, leaving, move,
  });
  if (status === 404) await hello(); // it has forgotten us
  superseded ||= status === 409; // a later process has our id
  if (status !== 200) return [];
  admitted.forEach((jti) => confirmed.delete(jti));
  left.forEach((jti) => closed.delete(jti));
  draining = told.draining;
  if (!leaving) endsAt = told.drain ? now() + told.drain.deadline_s : Infinity;
  rate = told.drain?.rate ?? Infinity;
  return told.migrate ?? [];
}

// --- Clients ---

function judge(ticket) {
  const [head, body, mac] = ticket.split(".");
  const [header, claims] = [head, body].map((part) => JSON.parse(Buffer.from(part, "base64url")));
  if (header.typ !== "wst+jwt" || header.alg !== "HS256") return [4400, "malformed"];
  if (!keys?.has(header.kid)) return [1013, "not_ready"];
  const [ours, given] = [createHmac("sha256", keys.get(header.kid)).update(`${head}.${body}`).digest(),
    Buffer.from(mac, "base64url")];
  // Another handler's tickets are signed with another key: what they claim only tells what to answer.
  if (claims.aud !== audience || claims.hep !== who.epoch) return [4403, "wrong_handler"];
  if (ours.length !== given.length || !timingSafeEqual(ours, given)) return [4400, "forged"];
  if (claims.iss !== issuer) return [4400, "forged"];
  if (now() >= claims.exp + LEEWAY_S || now() < claims.nbf - LEEWAY_S) return [4401, "expired"];
  if (used.has(claims.jti)) return [4409, "replayed"];
  const late = claims.deg || now() >= claims.gua - GUARD_S;
  if (leaving || superseded || (draining && (late || now() >= endsAt))) {
    used.set(claims.jti, claims.exp + KEEP_S);
    closed.add(claims.jti); // nobody waits for its seat
    return [4503, "draining"];
  }
  if (clients.size + asking >= capacity) return [4429, "full"];
  used.set(claims.jti, claims.exp + KEEP_S);
  return [0, claims];
}

async function admit(socket, ticket) {
  let verdict = [4400, "malformed"];
  try { verdict = judge(ticket); } catch { /* what can't be read is no ticket */ }
  const [code, claims] = verdict;
  if (code) return socket.close(code, claims);
  if (claims.deg || now() >= claims.gua - GUARD_S) {
    asking += 1; // its place is kept meanwhile
    const { status, told } = await post("/handlers/admit", { jti: claims.jti });
    asking -= 1;
    if (status && !told.admit) return socket.close(4429, "full"); // without an answer our own room decides
    if (socket.readyState !== socket.OPEN) return;
  }
  clients.set(claims.jti, { uid: claims.sub, sessionId: claims.sid, socket, until: Infinity });
  confirmed.add(claims.jti);
  socket.on("close", () => { clients.delete(claims.jti); closed.add(claims.jti); });
  socket.on("message", (data) => socket.send(`${claims.sub}: ${data}`)); // the application
  socket.send(JSON.stringify({ type: "welcome", handler_id: who.handler_id, session_id: claims.sid }));
}

const handleProtocols = (offered) => (offered.has("wst.v1") ? "wst.v1" : false);
const server = new WebSocketServer({ port: options.port, path: "/ws", maxPayload: 262144, handleProtocols });
server.on("connection", (socket, request) => {
  socket.on("error", () => socket.terminate());
  socket.on("pong", () => { socket.silent = false; });
  const offered = (request.headers["sec-websocket-protocol"] ?? "").split(/\s*,\s*/);
  admit(socket, offered.find((name) => name.startsWith("wst.") && name !== "wst.v1")?.slice(4) ?? "");
});

// --- A drain, every quarter of a second ---

const share = (count, until) => Math.ceil((count * TICK_S) / Math.max(until - now(), TICK_S));

async function moveSome() {
  const closeFrom = endsAt - 0.2 * (endsAt - startedAt), lastAt = endsAt - 2 * TICK_S;
  const waiting = [...clients.values()].filter(({ until }) => until === Infinity);
  const named = waiting.slice(0, Math.min(share(waiting.length, closeFrom), Math.max(1, rate * TICK_S), MAX_MOVES));
  const seats = await report(named.map(({ uid, sessionId }) => ({ uid, session_id: sessionId })));
  for (const { session_id, ...seat } of seats) {
    const client = named.find(({ sessionId }) => sessionId === session_id);
    if (!client) continue;
    client.until = Math.min(now() + FOLLOW_S, closeFrom + Math.random() * Math.max(lastAt - closeFrom, 0));
    const deadline_ms = Math.max(0, Math.round((client.until - now()) * 1000));
    client.socket.send(JSON.stringify({ type: "migrate", ...seat, deadline_ms }));
  }
  // Who could not be moved is closed in the last fifth, a few at a time; who did not follow, when it was to.
  const left = waiting.filter(({ until }) => until === Infinity);
  const over = now() < closeFrom ? [] : left.slice(0, share(left.length, lastAt));
  over.push(...[...clients.values()].filter(({ until }) => until <= now()));
  over.forEach(({ socket }) => socket.close(1012, "restart"));
}

server.on("listening", async () => {
  for (let reportedAt = 0; !(leaving && (clients.size === 0 || now() >= endsAt)); await sleep(TICK_S * 100)) {
    if (endsAt < Infinity) startedAt ??= now();
    else if (startedAt !== null) { // called off: who was sent away may stay
      startedAt = null;
      clients.forEach((client) => { client.until = Infinity; });
    }
    if (!keys) await hello();
    else if (startedAt !== null && clients.size) await moveSome().then(() => sleep(TICK_S * 900));
    else if (confirmed.size || closed.size || now() - reportedAt >= reportS) {
      await report();
      reportedAt = now();
    }
  }
  await report(); // the last word: nobody is here
  process.exit(0);
});
process.once("SIGTERM", () => { leaving = true; endsAt = Math.min(endsAt, now() + Number(options.drain)); });
setInterval(() => {
  for (const [jti, until] of used) if (until < now()) used.delete(jti);
  for (const socket of server.clients) {
    if (socket.silent) socket.terminate(); // half-open: it must not count as a connection
    socket.silent = true;
    socket.ping();
  }
}, 20_000);
