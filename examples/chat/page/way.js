// The tab's way to its handler: Quaymaster's client, logged in as this tab's user, and in words for the status line.

import * as api from "./api.js";
import { HandlerConnection } from "./quaymaster.js";
import * as session from "./session.js";

export class Way {
  // on.status({state, text, url, canRetry}), on.connected(), on.frame(object), on.loggedOut()
  constructor(on) {
    this.on = on;
    this.connection = null;
    this.lost = false; // had a connection, and has none
    setInterval(() => this.connection?.status.state === "waiting" && this.tell(), 1000);
  }

  start() {
    if (this.connection) return;
    const { uid, sessionId = null, seq = null } = session.get();
    const connection = new HandlerConnection({ uid, token, sessionId, seq });
    connection.onstatus = (status) => this.connection === connection && this.changed(status);
    connection.onmessage = (message) => {
      if (message?.type) this.on.frame(message);
      // Kept after the message itself: a tab that is reloaded just now gets it again rather than not at all.
      if (message?.seq) session.update({ seq: connection.seq, sessionId: connection.sessionId });
    };
    this.connection = connection;
  }

  stop() {
    const connection = this.connection;
    this.connection = null;
    this.lost = false;
    connection?.close();
  }

  get connected() {
    return ["connected", "moving"].includes(this.connection?.status.state);
  }

  // False when there is no connection: nothing is queued, so nothing is sent late by surprise.
  send(frame) {
    return this.connection?.send(frame) ?? false;
  }

  retry() {
    this.connection?.retry();
  }

  changed(status) {
    this.status = status;
    if (status.state === "waiting") this.retryAt = performance.now() + status.waitMs;
    if (status.state === "closed" && [401, 403].includes(status.code)) {
      this.on.loggedOut();
      return;
    }
    this.tell();
    if (status.state === "waiting") this.lost = true;
    if (status.state !== "connected") return;
    this.lost = false;
    session.update({ sessionId: this.connection.sessionId });
    this.on.connected();
  }

  tell() {
    const { state, url } = this.status;
    const waits = state === "waiting";
    const offline = waits && !navigator.onLine;
    const text = offline ? "This computer is offline." : this.words(this.status);
    this.on.status({ state: offline ? "offline" : state, text, url, canRetry: waits });
  }

  leftMs() {
    return this.retryAt - performance.now();
  }

  words({ state, handlerId, movedFrom, why }) {
    if (state === "asking") return "Asking the gateway for a handler…";
    if (state === "connecting") return `Connecting to ${handlerId}…`;
    if (state === "moving") return `Connected to ${handlerId}, moving to another handler…`;
    if (state === "waiting") return `${why} Next try in ${Math.max(0, Math.ceil(this.leftMs() / 1000))} s.`;
    if (state === "closed") return `${why} Reload the page to connect again.`;
    if (movedFrom) return `Moved from ${movedFrom} to ${handlerId} without a gap`;
    return this.lost ? `Connected again, to ${handlerId}` : `Connected to ${handlerId}`;
  }
}

// The access token, renewed when the gateway refuses it. Nothing means that the login has ended.
async function token({ refused }) {
  try {
    if (refused) await api.refresh();
  } catch (error) {
    if (error.status === 401 || error.status === 403) return null;
    throw error;
  }
  return session.get().token;
}
