// Who is logged in in this tab. sessionStorage belongs to one tab, so two tabs are two users.

const KEY = "quaymaster-chat";
const MOST_MESSAGES = 200;

let state = read();

function read() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY)) ?? {};
  } catch {
    return {};
  }
}

// {uid, token, refreshToken, username, avatarCode, partner, messages}
export function get() {
  return state;
}

export function update(changes) {
  state = { ...state, ...changes };
  if (state.messages?.length > MOST_MESSAGES) state.messages = state.messages.slice(-MOST_MESSAGES);
  try {
    sessionStorage.setItem(KEY, JSON.stringify(state));
  } catch {
    // Storage is full or switched off: the tab works on, it only forgets when reloaded.
  }
}

export function clear() {
  state = {};
  try {
    sessionStorage.removeItem(KEY);
  } catch {
    // As above.
  }
}

// A random id. crypto.randomUUID exists only on https and localhost.
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
