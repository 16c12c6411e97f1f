import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";

import { HandlerConnection, afterClose, readAdvice, readGrant, readMove } from "../quaymaster.js";
import { Gateway, Pier, SESSION } from "./servers.js";

const PATIENCE_MS = 5000;

async function until(condition, what = condition) {
  const deadline = performance.now() + PATIENCE_MS;
  while (!condition()) {
    assert.ok(performance.now() < deadline, `it never came to this: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

describe("what comes over the wire", () => {
  test("close codes come in ranges", () => {
    const codes = (verdict, list) => assert.deepEqual(list.filter((code) => afterClose(code) !== verdict), []);
    codes("ask", [4400, 4401, 4403, 4409, 1000, 1005, 1011, 4100, 4420]);
    codes("elsewhere", [4429, 4503, 1012, 1013, 1001, 1006]);
    codes("stop", [4000, 4099, 4410, 4419]);
  });

  test("advice is taken field by field, and nobody waits for long", () => {
    const known = { firstMs: [0, 2000], baseMs: 1000, capMs: 30_000 };
    const told = { first_ms: [0, 8000], base_ms: 500, cap_ms: 9000, jitter: "full" };
    assert.deepEqual(readAdvice(told, known), { firstMs: [0, 8000], baseMs: 500, capMs: 9000 });
    assert.deepEqual(readAdvice({ first_ms: [0, "8"], base_ms: -1, cap_ms: NaN }, known), known);
    assert.deepEqual(readAdvice(null, known), known);
    assert.deepEqual(readAdvice({ first_ms: [Infinity, 1e12] }, known).firstMs, [600_000, 600_000]);
  });

  test("the two fields of the plain answer are enough", () => {
    const plain = { handler_id: "WSH1", websocket_handler_url: "https://h:1" };
    assert.deepEqual(readGrant(plain), { handlerId: "WSH1", url: "wss://h:1/ws", ticket: null, sessionId: null });
    for (const bad of [{}, { handler_id: "WSH1" }, { ...plain, websocket_url: "http://h" }, { ...plain, handler_id: 1 }])
      assert.equal(readGrant(bad), null);
  });

  test("an encrypted connection is never given up for an open one", () => {
    const frame = { handler_id: "WSH2", ticket: "t", url: "ws://h2/ws", deadline_ms: 30_000 };
    const to = { handlerId: "WSH2", url: "ws://h2/ws", ticket: "t", sessionId: SESSION };
    assert.deepEqual(readMove(frame, { url: "ws://h1/ws", sessionId: SESSION }), { to, withinMs: 30_000 });
    assert.equal(readMove(frame, { url: "wss://h1/ws" }), null);
    assert.equal(readMove({ ...frame, url: "wss://h2/ws" }, { url: "wss://h1/ws" }).to.url, "wss://h2/ws");
    for (const url of ["http://h2", "/ws", "", 7, undefined]) assert.equal(readMove({ ...frame, url }, { url: "ws://h" }), null);
    assert.equal(readMove({ ...frame, ticket: null }, { url: "ws://h" }), null);
  });
});

describe("a connection", () => {
  let gateway, old, next, connection, states, messages;

  beforeEach(async () => {
    [old, next] = [new Pier("WSH1"), new Pier("WSH2")];
    gateway = new Gateway(old, next);
    for (const server of [gateway, old, next]) await server.start();
    [states, messages] = [[], []];
  });

  function connect(options = {}) {
    connection = new HandlerConnection({
      gateway: gateway.url,
      uid: "ada",
      token: "good",
      onstatus: (status) => states.push(status),
      onmessage: (message) => messages.push(message),
      ...options,
    });
    return connection;
  }

  const connectedTo = (id) => until(() => connection.status.state === "connected" && connection.handlerId === id, id);
  const last = (list) => list[list.length - 1];

  // An open socket would keep the process alive.
  async function scenario(name, work) {
    await test(name, async () => {
      try {
        await work();
      } finally {
        connection?.close();
        for (const server of [gateway, old, next]) server.stop();
      }
    });
  }

  scenario("asks, connects, talks and leaves", async () => {
    connect({ pool: "a b" });
    assert.equal(connection.send("too early"), false);
    await connectedTo("WSH1");
    assert.ok(connection.send({ hi: 1 }));
    assert.ok(connection.send("text"));
    await until(() => old.heard.length === 2);
    assert.deepEqual(old.heard, ['{"hi":1}', "text"]);
    old.say({ type: "news" }, "plain", "{half");
    await until(() => messages.length === 3);
    assert.deepEqual(messages, [{ type: "news" }, "plain", "{half"]);
    connection.close();
    await until(() => old.closedWith.length);
    assert.deepEqual(old.closedWith, [1000]);
    assert.equal(connection.send("too late"), false);
    assert.deepEqual(states.map(({ state }) => state), ["asking", "connecting", "connected", "closed"]);
    const [{ token, uid, url }] = gateway.asked;
    assert.deepEqual([token, uid, url], ["good", "ada", "/get_websocket_handler?pool=a%20b"]);
    assert.deepEqual(old.cameWith, [{ protocols: "wst.v1, wst.t1", seq: null }]);
  });

  scenario("after a death it goes elsewhere with its session", async () => {
    connect();
    await connectedTo("WSH1");
    old.say({ seq: 7 });
    await until(() => connection.seq === 7);
    old.die();
    await connectedTo("WSH2");
    const asked = last(gateway.asked);
    assert.equal(asked["x-exclude-handler"], "WSH1");
    assert.equal(asked["x-last-handler"], undefined);
    assert.equal(asked["x-session-id"], SESSION);
    assert.notEqual(asked["x-client-id"], gateway.asked[0]["x-client-id"]);
    assert.equal(next.cameWith[0].seq, "7");
  });

  scenario("a ticket that is refused excludes nobody", async () => {
    old.refuses = 4401;
    connect();
    await until(() => old.cameWith.length > 2);
    old.refuses = null;
    await connectedTo("WSH1");
    assert.equal(last(gateway.asked)["x-exclude-handler"], undefined);
  });

  scenario("a move leaves no gap and doubles nothing", async () => {
    connect();
    await connectedTo("WSH1");
    old.say({ seq: 1 }, next.migration(), { seq: 2 }, { seq: 3 });
    await connectedTo("WSH2");
    next.say({ seq: 2 }, { seq: 3 }, { seq: 4 });
    await until(() => connection.seq === 4);
    assert.deepEqual(messages, [{ seq: 1 }, { seq: 2 }, { seq: 3 }, { seq: 4 }]);
    assert.equal(last(states).movedFrom, "WSH1");
    await until(() => old.closedWith.length);
    assert.deepEqual(old.closedWith, [1000]);
    assert.equal(next.cameWith[0].protocols, "wst.v1, wst.moved");
    assert.equal(gateway.asked.length, 1);
    assert.deepEqual(states.map(({ state }) => state), ["asking", "connecting", "connected", "moving", "connected"]);
  });

  scenario("until the new handler's welcome the old one serves", async () => {
    next.neverWelcomes = true;
    connect();
    await connectedTo("WSH1");
    old.say(next.migration());
    await until(() => next.sockets.size);
    old.say({ seq: 1 });
    await until(() => messages.length);
    assert.ok(connection.send("still here"));
    await until(() => old.heard.length);
    assert.equal(connection.handlerId, "WSH1");
    next.welcome();
    await connectedTo("WSH2");
  });

  scenario("a move that fails leaves all as it was, and the next one works", async () => {
    next.refuses = 4429;
    connect();
    await connectedTo("WSH1");
    old.say(next.migration());
    await until(() => last(states).why === "The move failed.");
    assert.ok(connection.send("still here"));
    next.refuses = null;
    old.say(next.migration());
    await connectedTo("WSH2");
  });

  scenario("a new handler that says nothing is given up in time", async () => {
    next.neverWelcomes = true;
    connect();
    await connectedTo("WSH1");
    old.say(next.migration({ deadline_ms: 30 }));
    await until(() => last(states).why === "The move failed.");
    assert.equal(connection.handlerId, "WSH1");
  });

  for (const arrives of [true, false])
    scenario(`the old handler's end in the middle of a move waits for the new one (${arrives})`, async () => {
      next.neverWelcomes = true;
      connect();
      await connectedTo("WSH1");
      old.say(next.migration());
      await until(() => next.sockets.size);
      old.die();
      await until(() => !old.sockets.size && !connection.send("x"));
      if (arrives) next.welcome();
      else next.close(1013);
      next.neverWelcomes = false;
      await until(() => connection.send("x"));
      assert.equal(gateway.asked.length > 1, !arrives);
      assert.ok(!states.some(({ why }) => why === "The move failed."), "there was nothing to go back to");
    });

  scenario("the application's last word is final", async () => {
    connect();
    await connectedTo("WSH1");
    old.close(4001);
    await until(() => connection.status.state === "closed");
    assert.deepEqual(connection.status, { state: "closed", why: "WSH1 closed the connection.", code: 4001 });
    assert.equal(gateway.asked.length, 1);
  });

  scenario("it comes at its appointment with its token", async () => {
    const at = Date.now() + 400;
    gateway.script.push([503, { queue_token: "q1", retry_at_ms: at, message: "a herd" }, { "Retry-After": "1" }]);
    connect();
    await connectedTo("WSH1");
    assert.ok(Date.now() >= at - 1);
    assert.deepEqual(gateway.asked.map((asked) => asked["x-queue-token"]), [undefined, "q1"]);
    const waiting = states.find(({ state }) => state === "waiting");
    assert.equal(waiting.why, "a herd");
    assert.ok(waiting.waitMs <= 400);
  });

  scenario("a clock that is wrong falls back to Retry-After, and retry() ends the wait", async () => {
    const at = Date.now() + 3_600_000;
    gateway.script.push([503, { queue_token: "q1", retry_at_ms: at }, { "Retry-After": "40" }]);
    connect();
    await until(() => connection.status.state === "waiting");
    assert.equal(connection.status.waitMs, 40_000);
    connection.retry();
    await connectedTo("WSH1");
  });

  scenario("Retry-After is the least, and jitter comes on top", async () => {
    gateway.script.push([429, { message: "too many" }, { "Retry-After": "7" }]);
    connect({ random: () => 0.5 });
    await until(() => connection.status.state === "waiting");
    assert.deepEqual(connection.status, { state: "waiting", why: "too many", waitMs: 7500 });
  });

  scenario("failures double the bound, and a lost question keeps its id", async () => {
    gateway.stop();
    connect({ random: () => 1 - 2 ** -32 });
    const waits = () => states.filter(({ state }) => state === "waiting").map(({ waitMs }) => Math.round(waitMs));
    for (let n = 1; n <= 7; n += 1) {
      await until(() => waits().length === n);
      connection.retry();
    }
    assert.deepEqual(waits(), [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    gateway = new Gateway(old, next);
    await gateway.start();
  });

  scenario("a token that has ended is renewed once", async () => {
    gateway.goodTokens = ["new"];
    connect({ token: async ({ refused }) => (refused ? "new" : "old") });
    await connectedTo("WSH1");
    assert.deepEqual(gateway.asked.map(({ token }) => token), ["old", "new"]);
  });

  for (const [token, why] of [["old", "bad token"], [() => null, "Logged out."], [() => "old", "bad token"]])
    scenario(`without a good token it ends (${why})`, async () => {
      gateway.goodTokens = ["new"];
      connect({ token });
      await until(() => connection.status.state === "closed");
      assert.deepEqual(connection.status, { state: "closed", why, code: 401 });
    });

  scenario("a handler without tickets welcomes nobody and is there", async () => {
    gateway.plain = true;
    old.neverWelcomes = true;
    connect();
    await connectedTo("WSH1");
    assert.deepEqual(old.cameWith, [{ protocols: "", seq: null }]);
  });

  scenario("a session can be taken up again", async () => {
    connect({ sessionId: SESSION, seq: 41 });
    await connectedTo("WSH1");
    assert.equal(gateway.asked[0]["x-session-id"], SESSION);
    assert.equal(old.cameWith[0].seq, "41");
  });

  scenario("closing in the middle of connecting leaves nothing open", async () => {
    old.neverWelcomes = true;
    connect();
    await until(() => old.sockets.size);
    connection.close();
    await until(() => !old.sockets.size);
    assert.deepEqual(states.map(({ state }) => state), ["asking", "connecting", "closed"]);
  });
});
