// The tab's connection to a WebSocket handler: asks the gateway for one, connects, and does it again when
// it is lost. Where to and when is the gateway's word: a new handler each time, after the delay it advises.

import * as api from "./api.js";

const CONNECT_MS = 8000;
const STEADY_MS = 5000; // a connection that held so long starts the back-off anew
const FORGIVE_MS = 30_000; // how long a handler that failed is left out
const ADVICE = { first_ms: [0, 1000], base_ms: 1000, cap_ms: 30_000 };

// Close codes: the seat or ticket was refused, and another handler may well have room.
const ELSEWHERE = new Set([1001, 1012, 1013, 4429, 4503]);

export class Link {
  // on.state({name, handlerId?, url?, retryInMs?, why?}), on.frame(object), on.loggedOut()
  // Names: "asking", "connecting", "connected", "waiting", "offline".
  constructor(on) {
    this.on = on;
    this.socket = null;
    this.handlerId = null;
    this.advice = ADVICE;
    this.failures = 0;
    this.failed = new Map(); // handler id -> when
    this.stopped = null;
    this.wake = () => {};
    addEventListener("online", () => this.wake());
  }

  start() {
    if (this.stopped) return;
    this.stopped = new AbortController();
    this.run(this.stopped.signal);
  }

  stop() {
    this.stopped?.abort();
    this.stopped = null;
    this.socket?.close(1000);
    this.socket = null;
    this.handlerId = null;
    this.failures = 0;
    this.failed.clear();
    this.wake();
  }

  get connected() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  // False when there is no connection: nothing is queued, so nothing is sent late by surprise.
  send(frame) {
    if (!this.connected) return false;
    this.socket.send(JSON.stringify(frame));
    return true;
  }

  async run(signal) {
    while (!signal.aborted) {
      const delayMs = await this.once(signal);
      if (signal.aborted) return;
      if (delayMs > 0) await this.pause(delayMs, signal);
    }
  }

  // One life of a connection; returns how many milliseconds to wait before the next.
  async once(signal) {
    let seat;
    try {
      this.on.state({ name: "asking" });
      seat = await api.askForHandler({ last: this.handlerId, exclude: this.excluded(), signal });
    } catch (error) {
      if (signal.aborted) return 0;
      if (error.status === 401 || error.status === 403) {
        this.on.loggedOut();
        return 0;
      }
      this.failures += 1;
      this.why = error.message;
      if (error.status === 503) this.failed.clear(); // better one that failed a while ago than none at all
      const least = (error.retryAfterS ?? 0) * 1000;
      return least + this.jitter();
    }
    this.advice = { ...ADVICE, ...seat.reconnect };
    const end = await this.live(seat, signal);
    if (signal.aborted) return 0;
    this.why = `${seat.handler_id} ${end.opened ? "closed the connection" : "can't be reached"}`;
    if (!end.opened || ELSEWHERE.has(end.code)) this.failed.set(seat.handler_id, performance.now());
    if (end.steady) {
      // Everybody on that handler lost it at the same moment: the first delay is spread by the gateway's advice.
      this.failures = 0;
      const [low, high] = this.advice.first_ms;
      return low + Math.random() * (high - low);
    }
    this.failures += 1;
    return this.jitter();
  }

  // Resolves when the connection is over, or was never made.
  live(seat, signal) {
    return new Promise((resolve) => {
      const url = seat.websocket_url ?? `${seat.websocket_handler_url.replace(/^http/, "ws")}/ws`;
      this.on.state({ name: "connecting", handlerId: seat.handler_id, url });
      let openedAt = null;
      let timer = null;
      const over = (code) => {
        clearTimeout(timer);
        this.socket = null;
        const steady = openedAt !== null && performance.now() - openedAt >= STEADY_MS;
        resolve({ opened: openedAt !== null, steady, code });
      };
      let socket;
      try {
        socket = new WebSocket(url, seat.ticket ? ["wst.v1", `wst.${seat.ticket}`] : []);
      } catch {
        over(0); // an address the browser refuses, such as ws: from an https page
        return;
      }
      timer = setTimeout(() => socket.close(), CONNECT_MS);
      signal.addEventListener("abort", () => socket.close(1000), { once: true });
      socket.onopen = () => {
        clearTimeout(timer);
        openedAt = performance.now();
        this.socket = socket;
        this.handlerId = seat.handler_id;
        this.failed.delete(seat.handler_id);
        this.on.state({ name: "connected", handlerId: seat.handler_id, url });
      };
      socket.onmessage = (event) => {
        let frame = null;
        try {
          frame = JSON.parse(event.data);
        } catch {
          return; // not for us
        }
        if (frame?.type === "advice") this.advice = { ...this.advice, ...frame.reconnect };
        else if (frame?.type) this.on.frame(frame);
      };
      socket.onclose = (event) => over(event.code);
    });
  }

  excluded() {
    const since = performance.now() - FORGIVE_MS;
    for (const [id, at] of this.failed) if (at < since) this.failed.delete(id);
    return [...this.failed.keys()];
  }

  // Full jitter: anything from nothing to the exponential bound.
  jitter() {
    const bound = Math.min(this.advice.cap_ms, this.advice.base_ms * 2 ** Math.min(this.failures - 1, 16));
    return Math.random() * bound;
  }

  pause(delayMs, signal) {
    return new Promise((resolve) => {
      const until = performance.now() + delayMs;
      const tell = () => {
        const left = Math.max(0, until - performance.now());
        this.on.state({ name: navigator.onLine ? "waiting" : "offline", retryInMs: left, why: this.why });
      };
      const ticks = setInterval(tell, 1000);
      const end = () => {
        clearInterval(ticks);
        clearTimeout(timer);
        this.wake = () => {};
        resolve();
      };
      const timer = setTimeout(end, delayMs);
      this.wake = end;
      signal.addEventListener("abort", end, { once: true });
      tell();
    });
  }
}
