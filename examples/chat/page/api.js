// The gateway's HTTP calls. Every failure is an ApiError that can be shown to a person.

import * as session from "./session.js";

const PATIENCE_MS = 20_000;

export class ApiError extends Error {
  // status 0: no answer at all. `fields` maps a field of the request to what is wrong with it.
  constructor(status, message, { reason = "", fields = {}, retryAfterS = null } = {}) {
    super(message);
    Object.assign(this, { status, reason, fields, retryAfterS });
  }
}

async function call(method, path, { body, headers = {}, signal } = {}) {
  const patience = AbortSignal.timeout(PATIENCE_MS);
  let answer;
  let data = null;
  try {
    answer = await fetch(path, {
      method,
      headers: body === undefined ? headers : { ...headers, "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, patience]) : patience,
      cache: "no-store",
      credentials: "omit",
    });
    data = await answer.json().catch(() => null);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, "The gateway does not answer.");
  }
  if (answer.ok && data) return data;
  const retryAfterS = Number.parseFloat(answer.headers.get("Retry-After"));
  throw new ApiError(answer.status, data?.message ?? `The gateway answered ${answer.status}.`, {
    reason: data?.reason,
    fields: data?.errors,
    retryAfterS: Number.isFinite(retryAfterS) ? retryAfterS : null,
  });
}

export const register = (person) => call("POST", "/register", { body: person });
export const login = (email, password) => call("POST", "/login", { body: { email, password } });

let refreshing = null;

export function refresh() {
  refreshing ??= call("POST", "/refresh", { body: { refresh_token: session.get().refreshToken } })
    .then((answer) => session.update({ token: answer.access_token }))
    .finally(() => {
      refreshing = null;
    });
  return refreshing;
}

// A call as the user. An access token that has ended is renewed once; a 401 that is left means "log in again".
async function callAsUser(method, path, options = {}) {
  const attempt = () => {
    const { token, uid } = session.get();
    return call(method, path, { ...options, headers: { ...options.headers, token, uid } });
  };
  try {
    return await attempt();
  } catch (error) {
    if (error.status !== 401) throw error;
  }
  await refresh();
  return attempt();
}

export function findMatch(again, signal) {
  return callAsUser("POST", "/matching", { body: { uid: session.get().uid, again }, signal });
}
