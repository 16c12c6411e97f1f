// A chat client's connection to its WebSocket handler: asks the gateway for one, connects with the ticket,
// comes back as advised when the connection is lost, and moves to another handler when told to, without a gap.
//
//   const chat = new HandlerConnection({ gateway: "https://chat.example.com", uid, token });
//   chat.onmessage = (message) => …;      // a JSON object comes parsed, everything else as it came
//   chat.onstatus = ({ state, handlerId, why }) => …;
//   chat.send({ type: "hello" });
//   chat.close();
//
// No dependency; for browsers and Node >= 18. The same decisions in Python: handlers/client.py.

const ASK_MS = 20_000; // more than the longest `Prefer: wait=` that a gateway grants
const CONNECT_MS = 8000; // for the handshake and the welcome
const STEADY_MS = 5000; // a connection that held so long has worked: the back-off starts anew after it
const FORGIVE_MS = 30_000; // how long a handler that failed is left out
const MOST_EXCLUDED = 8;
const SHORTEST_MS = 50; // between two questions, even when an appointment is over as it comes
const LONGEST_MS = 600_000; // nobody is told to wait for longer, whatever an answer says
const BROKEN = 1006; // a connection that ended without a close frame, or was never made
const ADVICE = { firstMs: [0, 1000], baseMs: 1000, capMs: 30_000 };

// What a close code asks of a client: "ask" for a new ticket, ask for another handler ("elsewhere"), or "stop".
export function afterClose(code) {
  if ((code >= 4000 && code <= 4099) || (code >= 4410 && code <= 4419)) return "stop"; // the application's last word
  return [1001, 1006, 1012, 1013, 4429, 4503].includes(code) ? "elsewhere" : "ask";
}

// The advice of a `reconnect` object; what is missing or makes no sense stays as it was.
export function readAdvice(told, known = ADVICE) {
  const time = (value, otherwise) => (isTime(value) ? Math.min(value, LONGEST_MS) : otherwise);
  const first = Array.isArray(told?.first_ms) && told.first_ms.length === 2 && told.first_ms.every(isTime);
  return {
    firstMs: first ? told.first_ms.map((value) => time(value)).sort((a, b) => a - b) : known.firstMs,
    baseMs: time(told?.base_ms, known.baseMs),
    capMs: time(told?.cap_ms, known.capMs),
  };
}

// Where the gateway's 200 sends us, null when it names no place. A plain answer has no ticket.
export function readGrant({ handler_id, websocket_url, websocket_handler_url, ticket, session_id }) {
  const url = websocket_url ?? `${websocket_handler_url}`.replace(/^http/, "ws") + "/ws";
  if (typeof handler_id !== "string" || !schemeOf(url)) return null;
  return { handlerId: handler_id, url, ticket: ticket || null, sessionId: session_id || null };
}

// Where a migrate frame sends us, null if we must not go. It came over the authenticated connection, so its
// word is good for the place; but an encrypted connection is never given up for an open one.
export function readMove({ handler_id, url, ticket, deadline_ms }, at) {
  if (typeof handler_id !== "string" || typeof ticket !== "string" || !schemeOf(url)) return null;
  if (schemeOf(at.url) === "wss:" && schemeOf(url) !== "wss:") return null;
  const to = { handlerId: handler_id, url, ticket, sessionId: at.sessionId };
  return { to, withinMs: isTime(deadline_ms) ? deadline_ms : CONNECT_MS };
}

function schemeOf(url) {
  try {
    const { protocol } = new URL(url);
    return protocol === "ws:" || protocol === "wss:" ? protocol : null;
  } catch {
    return null;
  }
}

const isTime = (value) => typeof value === "number" && value >= 0;

function objectIn(data) {
  if (typeof data !== "string" || !data.startsWith("{")) return null;
  try {
    return JSON.parse(data);
  } catch {
    return null;
  }
}

// One WebSocket. `welcomed` resolves to true or false, `ended` to the close code; `take` gets what comes.
class Link {
  over = false;

  constructor(to, { WebSocket, seq, withinMs, take }) {
    this.to = to;
    this.welcomed = new Promise((resolve) => (this.welcome = resolve));
    this.ended = new Promise((resolve) => {
      this.end = (code) => {
        this.over = true;
        resolve(code);
      };
    });
    this.ended.then(() => this.welcome(false));
    try {
      const url = new URL(to.url);
      if (seq !== null) url.searchParams.set("seq", seq);
      this.socket = new WebSocket(url.href, to.ticket ? ["wst.v1", `wst.${to.ticket}`] : []);
    } catch {
      this.end(BROKEN); // an address the browser refuses, such as ws: from an https page
      return;
    }
    this.socket.binaryType = "arraybuffer";
    const timer = setTimeout(() => this.close(BROKEN), withinMs);
    this.welcomed.then(() => clearTimeout(timer));
    // Without a ticket there is nobody to welcome us: being connected is all there is.
    this.socket.onopen = () => to.ticket || this.welcome(true);
    this.socket.onmessage = ({ data }) => {
      const frame = objectIn(data);
      if (frame?.type === "welcome") this.welcome(true);
      else take(this, frame ?? data, frame);
    };
    this.socket.onerror = () => {}; // its close follows
    this.socket.onclose = ({ code }) => this.end(code);
  }

  // Over at once for us, however long the other side takes.
  close(code = 1000) {
    this.end(code);
    this.socket?.close(1000);
  }
}

export class HandlerConnection {
  #url; #uid; #token; #connectMs; #random; #fetch; #WebSocket;
  #advice = ADVICE;
  #failures = 0;
  #failed = new Map(); // handler id -> when
  #at = null; // the Link that serves
  #opening = null; // the Link that is to serve next
  #moving = null; // a promise, in the middle of a move
  #since = null; // when the first handler of this connection welcomed us
  #queueToken = null;
  #wish;
  #over = false;
  #abort = new AbortController();
  #wake = () => {};
  #online = () => this.#wake();

  // `token` is a text, or a function ({refused}) => text that may be async: asked each time the gateway is, and
  // once more when it refuses the token; nothing returned means logged out. `sessionId` and `seq` take up an
  // earlier session. `fetch`, `WebSocket` and `random` replace the platform's own.
  constructor(options) {
    const { gateway = "", uid, token, pool = null, sessionId = null, seq = null } = options;
    this.onmessage = options.onmessage ?? (() => {});
    this.onstatus = options.onstatus ?? (() => {});
    this.status = { state: "asking" };
    this.sessionId = sessionId;
    this.seq = seq; // the highest `seq` among the messages passed on
    this.handlerId = null; // the handler that last welcomed us
    this.#url = `${gateway.replace(/\/$/, "")}/get_websocket_handler`;
    if (pool) this.#url += `?pool=${encodeURIComponent(pool)}`;
    this.#uid = uid;
    this.#token = token;
    this.#connectMs = options.connectMs ?? CONNECT_MS;
    this.#random = options.random ?? Math.random;
    this.#fetch = options.fetch ?? globalThis.fetch.bind(globalThis);
    this.#WebSocket = options.WebSocket ?? globalThis.WebSocket;
    if (!this.#WebSocket) throw new TypeError("there is no WebSocket here: give one, like that of the package ws");
    this.#wish = this.#newWish();
    globalThis.addEventListener?.("online", this.#online);
    queueMicrotask(() => this.#run());
  }

  // False when there is no connection: nothing is queued, so nothing is sent late by surprise.
  send(message) {
    if (this.#at?.socket.readyState !== 1) return false;
    const raw = typeof message === "string" || message instanceof ArrayBuffer || ArrayBuffer.isView(message);
    this.#at.socket.send(raw ? message : JSON.stringify(message));
    return true;
  }

  // Ends the wait for the next try.
  retry() {
    this.#wake();
  }

  close() {
    if (this.#over) return;
    this.#finish({ why: "Closed here." });
    for (const link of [this.#at, this.#opening]) link?.close();
  }

  // --- its life

  async #run() {
    while (!this.#over) {
      const next = await this.#once();
      if (this.#over) return;
      if (next.stop) return this.#finish({ why: next.why, code: next.code });
      this.#tell({ state: "waiting", why: next.why, waitMs: next.waitMs });
      await this.#pause(next.waitMs);
    }
  }

  // From asking for a handler to the end of the connection to it, or to the last it moved to.
  async #once() {
    this.#tell({ state: "asking" });
    const answer = await this.#ask();
    if (this.#over || !answer.to) return answer;
    this.#tell({ state: "connecting", handlerId: answer.to.handlerId, url: answer.to.url });
    const link = this.#open(answer.to, this.#connectMs);
    if (await link.welcomed) this.#arrive(link);
    const [last, code] = await this.#live(link);
    this.#at = null;
    return this.#ended(last, code);
  }

  async #ask() {
    for (const refused of [false, true]) {
      let token = this.#token;
      try {
        if (typeof token === "function") token = await token({ refused });
      } catch (error) {
        return this.#later(0, error.message);
      }
      if (!token) return { stop: true, why: "Logged out.", code: 401 };
      const { status, body, retryAfterMs } = await this.#question(token);
      if (status === 200) return this.#granted(body);
      if (status === 401 && typeof this.#token === "function" && !refused) continue;
      const why = body.message ?? (status ? `The gateway answered ${status}.` : "The gateway does not answer.");
      if ([400, 401, 403].includes(status)) return { stop: true, why, code: status };
      if (body.queue_token) return this.#appointment(body, retryAfterMs, why);
      if (status === 503) this.#failed.clear(); // better one that failed a while ago than none at all
      return this.#later(retryAfterMs, why);
    }
  }

  async #question(token) {
    const timer = setTimeout(() => this.#abort.abort(), ASK_MS);
    try {
      const options = { headers: this.#headers(token), cache: "no-store", credentials: "omit", redirect: "error" };
      const answer = await this.#fetch(this.#url, { ...options, signal: this.#abort.signal });
      const body = (await answer.json().catch(() => null)) ?? {};
      const seconds = Number.parseInt(answer.headers.get("Retry-After"), 10);
      return { status: answer.status, body, retryAfterMs: seconds > 0 ? Math.min(seconds * 1000, LONGEST_MS) : 0 };
    } catch {
      if (!this.#over) this.#abort = new AbortController();
      return { status: 0, body: {}, retryAfterMs: 0 };
    } finally {
      clearTimeout(timer);
    }
  }

  #headers(token) {
    const since = performance.now() - FORGIVE_MS;
    for (const [id, at] of this.#failed) if (at < since) this.#failed.delete(id);
    const told = {
      token,
      uid: this.#uid,
      "X-Client-Id": this.#wish, // a question asked again after no answer gets the same seat
      "X-Last-Handler": this.#failed.has(this.handlerId) ? null : this.handlerId,
      "X-Exclude-Handler": [...this.#failed.keys()].join(", "),
      "X-Session-Id": this.sessionId,
      "X-Queue-Token": this.#queueToken,
    };
    return Object.fromEntries(Object.entries(told).filter(([, value]) => value));
  }

  #granted(body) {
    this.#wish = this.#newWish();
    this.#queueToken = null;
    const to = readGrant(body);
    if (!to) return this.#later(0, "The gateway's answer names no handler.");
    this.#advice = readAdvice(body.reconnect, this.#advice);
    if (this.sessionId && this.sessionId !== to.sessionId) this.seq = null; // another one counts anew
    this.sessionId = to.sessionId;
    return { to };
  }

  // Ours alone, so jitter would only make us late. To the millisecond if our clock agrees with Retry-After.
  #appointment({ queue_token, retry_at_ms }, retryAfterMs, why) {
    this.#queueToken = queue_token;
    const exact = isTime(retry_at_ms) ? retry_at_ms - Date.now() : retryAfterMs;
    const waitMs = Math.abs(retryAfterMs - exact) <= 2000 ? exact : retryAfterMs;
    return { waitMs: Math.max(SHORTEST_MS, waitMs), why };
  }

  #later(leastMs, why) {
    this.#failures += 1;
    return { waitMs: leastMs + this.#jitter(), why };
  }

  #open(to, withinMs) {
    const take = (link, message, frame) => this.#take(link, message, frame);
    return (this.#opening = new Link(to, { WebSocket: this.#WebSocket, seq: this.seq, withinMs, take }));
  }

  #arrive(link, movedFrom = null) {
    if (this.#over) return;
    this.#at = link;
    this.#since ??= performance.now(); // a connection that moved has held since its first handler
    this.handlerId = link.to.handlerId;
    this.#failed.delete(this.handlerId);
    this.#tell({ state: "connected", handlerId: this.handlerId, url: link.to.url, movedFrom });
  }

  // Resolves when there is nothing more to wait for; goes along when the connection moves.
  async #live(link) {
    for (;;) {
      const code = await link.ended;
      if (this.#at === link) await this.#moving; // lost in the middle of a move, which may still succeed
      if (this.#over || this.#at === link || this.#at === null) return [link.to, code];
      link = this.#at;
    }
  }

  #take(link, message, frame) {
    if (frame?.type === "migrate") return this.#consider(link, frame);
    if (frame?.type === "advice") return void (this.#advice = readAdvice(frame.reconnect, this.#advice));
    if (Number.isInteger(frame?.seq)) {
      if (this.seq !== null && frame.seq <= this.seq) return; // had it from the handler before
      this.seq = frame.seq;
    }
    this.onmessage(message);
  }

  // One move at a time, and none of a connection that is left already.
  #consider(link, frame) {
    const move = readMove(frame, link.to);
    if (!move || this.#moving || this.#at !== link) return;
    this.#moving = this.#move(link, move).finally(() => (this.#moving = null));
  }

  // Make before break: the old connection serves until the new handler has welcomed us.
  async #move(old, { to, withinMs }) {
    this.#tell({ state: "moving", handlerId: old.to.handlerId, url: old.to.url });
    const link = this.#open(to, Math.min(withinMs, this.#connectMs));
    if (await link.welcomed) {
      this.#arrive(link, old.to.handlerId);
      old.close();
      return;
    }
    if (afterClose(await link.ended) === "elsewhere") this.#exclude(to.handlerId);
    if (!old.over) {
      this.#tell({ state: "connected", handlerId: old.to.handlerId, url: old.to.url, why: "The move failed." });
    }
  }

  // A connection is over, or was never made.
  #ended(at, code) {
    const since = this.#since;
    this.#since = null;
    const verdict = afterClose(code);
    const why = `${at.handlerId} closed the connection.`;
    if (verdict === "stop") return { stop: true, why, code };
    if (verdict === "elsewhere") this.#exclude(at.handlerId);
    if (since === null) return this.#later(0, `${at.handlerId} can't be reached.`);
    const held = performance.now() - since >= STEADY_MS;
    if (held) this.#failures = 0;
    const leastMs = held ? 0 : this.#later(0).waitMs;
    // All clients of a handler lose it at the same moment: the advised window spreads them.
    const [low, high] = this.#advice.firstMs;
    return { waitMs: Math.max(leastMs, low + this.#random() * (high - low)), why };
  }

  // --- small change

  #exclude(id) {
    this.#failed.delete(id);
    this.#failed.set(id, performance.now());
    if (this.#failed.size > MOST_EXCLUDED) this.#failed.delete(this.#failed.keys().next().value);
  }

  // Full jitter: anything from nothing to the exponential bound.
  #jitter() {
    return this.#random() * Math.min(this.#advice.capMs, this.#advice.baseMs * 2 ** Math.min(this.#failures - 1, 32));
  }

  #newWish() {
    const part = () => Math.floor(this.#random() * 2 ** 32).toString(16).padStart(8, "0");
    return part() + part() + part();
  }

  #pause(waitMs) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, waitMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #tell(status) {
    this.status = status;
    try {
      this.onstatus(status);
    } catch (error) {
      queueMicrotask(() => { throw error; }); // theirs, and none of our steps is to end by it
    }
  }

  #finish({ why, code = null }) {
    this.#over = true;
    globalThis.removeEventListener?.("online", this.#online);
    this.#abort.abort();
    this.#wake();
    this.#tell({ state: "closed", why, code });
  }
}
