// One conversation: its messages on the screen, what is not acknowledged yet, and the frames to the partner.
// Whatever a person wrote is put on the page as text, never as markup.

import * as session from "./session.js";

const ACK_MS = 10_000;
const TYPING_EVERY_MS = 2000;
const TYPING_SHOWN_MS = 3500;
const MOST_REMEMBERED = 500;

const REASONS = {
  offline: "your partner is not connected",
  handler_unreachable: "your partner's handler does not answer",
  unavailable: "the way to your partner is not known at the moment",
  no_answer: "no answer",
};

const byId = (id) => document.getElementById(id);
const clock = (at) => new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

export class Talk {
  // on.ended() when the partner has left, on.partnerHandler(id) when the partner's handler becomes known (null: none)
  constructor(way, on) {
    this.way = way;
    this.on = on;
    this.partner = null;
    this.entries = new Map(); // id of a message of mine that may still change -> {message, item, timer}
    this.seen = new Set();
    this.lastTyping = -Infinity;
    byId("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.write();
    });
    byId("text").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        this.write();
      }
    });
    byId("text").addEventListener("input", () => this.tellTyping());
  }

  open(partner) {
    const resumed = session.get().partner?.uid === partner.uid;
    if (!resumed) session.update({ messages: [] });
    session.update({ partner });
    this.partner = partner;
    this.entries.clear();
    this.seen.clear();
    byId("log").replaceChildren();
    byId("typing").textContent = "";
    this.setEnabled(true);
    this.note(`You and ${partner.username} fit. Say hello!`);
    for (const message of session.get().messages ?? []) {
      this.seen.add(message.id);
      this.show(message);
    }
    this.greet();
    this.sendAgain();
  }

  close() {
    for (const entry of this.entries.values()) clearTimeout(entry.timer);
    this.entries.clear();
    this.partner = null;
    session.update({ partner: null, messages: [] });
  }

  // Tells the partner's page that we are here, and learns by the acknowledgement which handler serves it.
  greet() {
    if (this.partner) this.way.send({ type: "hello", to: this.partner.uid, id: session.randomId() });
  }

  // Says goodbye and waits a moment for it to arrive: after the next match it would be refused.
  async leave() {
    if (!this.partner) return;
    const id = session.randomId();
    if (!this.way.send({ type: "bye", to: this.partner.uid, id })) return;
    await new Promise((resolve) => {
      this.goodbye = { id, resolve };
      setTimeout(resolve, 1500);
    });
  }

  // After a reconnect or a move.
  resume() {
    this.greet();
    this.sendAgain();
  }

  // What was never acknowledged, or waits for the partner. The handlers know a message by its id, so that
  // one they had already is not doubled.
  sendAgain() {
    for (const entry of this.entries.values()) if (["sending", "kept"].includes(entry.message.state)) this.post(entry);
  }

  write() {
    const box = byId("text");
    const text = box.value.trim();
    if (!text || !this.partner || box.disabled) return;
    box.value = "";
    this.lastTyping = -Infinity;
    const message = { id: session.randomId(), mine: true, text, at: Date.now(), state: "sending" };
    this.remember(message);
    this.post(this.show(message));
    box.focus();
  }

  post(entry) {
    clearTimeout(entry.timer);
    this.mark(entry, "sending");
    const { id, text } = entry.message;
    // Without a connection it waits here until there is one.
    if (!this.way.send({ type: "message", to: this.partner.uid, text, id })) return;
    entry.timer = setTimeout(() => {
      if (this.way.connected) this.mark(entry, "failed", REASONS.no_answer);
    }, ACK_MS);
  }

  tellTyping() {
    const now = performance.now();
    if (!this.partner || now - this.lastTyping < TYPING_EVERY_MS) return;
    this.lastTyping = now;
    this.way.send({ type: "typing", to: this.partner.uid });
  }

  // A frame of the handler. Returns false for one from somebody who is not the partner (yet).
  frame(frame) {
    if (["delivered", "kept", "undelivered"].includes(frame.type)) {
      this.acknowledged(frame);
      return true;
    }
    if (typeof frame.from !== "string") return true;
    if (frame.from !== this.partner?.uid) return false;
    if (frame.handler) this.on.partnerHandler(frame.handler);
    if (frame.type === "message") this.received(frame);
    else if (frame.type === "typing") this.showTyping();
    else if (frame.type === "hello") this.sendAgain(); // back again, and ready for what was kept
    else if (frame.type === "bye") this.end();
    return true;
  }

  received({ id, text }) {
    this.showTyping(0);
    if (this.seen.has(id)) return;
    this.seen.add(id);
    if (this.seen.size > MOST_REMEMBERED) this.seen.delete(this.seen.values().next().value);
    const message = { id, mine: false, text, at: Date.now(), state: "delivered" };
    this.remember(message);
    this.show(message);
  }

  acknowledged({ type, id, handler, reason }) {
    if (this.goodbye?.id === id) this.goodbye.resolve();
    if (handler || type === "kept") this.on.partnerHandler(handler ?? null);
    if (reason === "not_matched" && this.partner && this.goodbye?.id !== id) this.end();
    const entry = this.entries.get(id);
    if (!entry) return;
    clearTimeout(entry.timer);
    if (type === "delivered") this.mark(entry, "delivered", handler ? `delivered through ${handler}` : "delivered");
    else if (type === "kept") this.mark(entry, "kept");
    else this.mark(entry, "failed", REASONS[reason] ?? "your partner has left");
  }

  end() {
    if (byId("text").disabled) return;
    this.setEnabled(false);
    this.note(`${this.partner.username} has left this chat.`);
    this.on.ended();
  }

  setEnabled(enabled) {
    byId("text").disabled = !enabled;
    byId("send").disabled = !enabled;
  }

  // --- the page

  remember(message) {
    session.update({ messages: [...(session.get().messages ?? []), message] });
  }

  show(message) {
    const item = document.createElement("li");
    const bubble = document.createElement("div");
    const meta = document.createElement("span");
    bubble.className = "bubble";
    bubble.textContent = message.text;
    meta.className = "meta";
    item.append(bubble, meta);
    const entry = { message, item, meta, timer: null };
    if (message.mine) this.entries.set(message.id, entry);
    this.mark(entry, message.state, message.why);
    this.add(item);
    return entry;
  }

  mark(entry, state, why = "") {
    Object.assign(entry.message, { state, why });
    entry.item.className = `entry ${entry.message.mine ? "mine" : ""} ${state}`;
    const parts = [clock(entry.message.at)];
    if (state === "sending") parts.push(this.way.connected ? "sending…" : "waits for the connection");
    if (state === "kept") parts.push(`kept for ${this.partner.username}, who is not connected`);
    if (state === "failed") parts.push(`not delivered: ${why}`);
    if (state === "delivered" && why) parts.push(why);
    entry.meta.textContent = parts.join(" · ");
    if (state === "failed") {
      const retry = document.createElement("button");
      retry.type = "button";
      retry.textContent = "Try again";
      retry.addEventListener("click", () => this.post(entry));
      entry.meta.append(retry);
    }
    session.update({}); // the message stands in it by reference
  }

  note(text) {
    const item = document.createElement("li");
    item.className = "note";
    item.textContent = text;
    this.add(item);
  }

  add(item) {
    const log = byId("log");
    log.append(item);
    log.scrollTop = log.scrollHeight;
  }

  showTyping(forMs = TYPING_SHOWN_MS) {
    clearTimeout(this.typingTimer);
    byId("typing").textContent = forMs ? `${this.partner.username} is writing…` : "";
    if (forMs) this.typingTimer = setTimeout(() => this.showTyping(0), forMs);
  }
}
