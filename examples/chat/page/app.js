// The page's three views (door, lobby, chat) and what leads from one to the other.

import * as api from "./api.js";
import { demoPerson } from "./demo.js";
import * as session from "./session.js";
import { Talk } from "./talk.js";
import { Way } from "./way.js";

const byId = (id) => document.getElementById(id);
const ASK_AGAIN_S = 2;
const ASK_AT_LEAST_S = 5; // the slowest we ask: who doesn't ask for longer is taken for gone
const MOST_EARLY = 20;

let looking = null; // {abort, wake} while we look for a partner
let early = []; // frames of somebody who is our partner before we have been told
let partnerHandler = null;

const way = new Way({
  status({ state, text, url, canRetry }) {
    if (byId("link-text").textContent !== text) byId("link-text").textContent = text;
    byId("link-text").title = url ?? "";
    byId("link-dot").className = `dot ${state}`;
    byId("link-now").hidden = !canRetry;
  },
  connected: () => talk.resume(),
  frame(frame) {
    if (talk.frame(frame)) return;
    early = [...early, frame].slice(-MOST_EARLY);
    if (looking) looking.wake();
    else if (frame.type === "hello" || frame.type === "message") look();
  },
  loggedOut: () => logOut("Your login has ended. Please log in again."),
});

const talk = new Talk(way, {
  ended: () => byId("new-partner").classList.add("primary"),
  partnerHandler(id) {
    partnerHandler = id;
    showRoute();
  },
});

// --- views

function show(view) {
  for (const id of ["door", "lobby", "chat"]) byId(id).hidden = id !== view;
  const { uid, username } = session.get();
  byId("me").hidden = !uid;
  byId("ways").hidden = !uid;
  document.title = view === "chat" ? `${username} · Quaymaster chat` : "Quaymaster chat";
}

function paint(avatar, name, code) {
  avatar.textContent = (Array.from(name ?? "")[0] ?? "?").toUpperCase();
  avatar.style.setProperty("--hue", String(((code ?? 0) * 137) % 360));
}

function showRoute() {
  const route = byId("route");
  route.replaceChildren();
  if (byId("chat").hidden || !talk.partner) return;
  const handler = Object.assign(document.createElement("b"), { textContent: partnerHandler ?? "…" });
  route.append(`${talk.partner.username} is on `, handler);
}

function enter(andLook) {
  const { username, avatarCode } = session.get();
  byId("my-name").textContent = username;
  paint(byId("my-avatar"), username, avatarCode);
  paint(byId("lobby-avatar"), username, avatarCode);
  way.start();
  if (andLook) look();
  else rest(`Hello, ${username}`, "Ready when you are.");
}

function rest(title, text) {
  byId("radar").classList.remove("looking");
  byId("lobby-title").textContent = title;
  byId("lobby-text").textContent = text;
  byId("find").hidden = false;
  byId("stop").hidden = true;
  show("lobby");
  byId("find").focus();
}

function openChat(partner) {
  partnerHandler = null;
  byId("partner-name").textContent = partner.username;
  byId("partner-about").textContent = [partner.age, partner.sex].filter(Boolean).join(", ");
  paint(byId("partner-avatar"), partner.username, partner.avatar_code);
  byId("new-partner").classList.remove("primary");
  show("chat");
  talk.open(partner);
  for (const frame of early) talk.frame(frame);
  early = [];
  showRoute();
  byId("text").focus();
}

// --- looking for a partner

async function look(again = false) {
  looking?.abort.abort();
  const abort = new AbortController();
  const mine = { abort, wake: () => {} };
  looking = mine;
  byId("radar").classList.add("looking");
  byId("lobby-title").textContent = "Looking for somebody who fits…";
  byId("lobby-text").textContent = "";
  byId("find").hidden = true;
  byId("stop").hidden = false;
  show("lobby");
  byId("lobby-title").focus();
  for (let asked = 1; !abort.signal.aborted; asked += 1) {
    let pauseS = Math.min(ASK_AGAIN_S + asked / 20, ASK_AT_LEAST_S);
    try {
      const found = await api.findMatch(again, abort.signal);
      if (abort.signal.aborted) return;
      again = false;
      if (found.uid) {
        looking = null;
        openChat({ username: "Your match", ...found.partner, uid: found.uid });
        return;
      }
      byId("lobby-text").textContent = "Nobody yet. Keep this tab open: you are in the waiting room.";
      pauseS = Math.max(pauseS, found.ask_again_s ?? 0);
    } catch (error) {
      if (abort.signal.aborted) return;
      if (error.status === 401 || error.status === 403) {
        logOut("Your login has ended. Please log in again.");
        return;
      }
      byId("lobby-text").textContent = `${error.message} Trying again…`;
      pauseS = Math.max(pauseS, error.retryAfterS ?? 0);
    }
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, pauseS * 1000 * (0.9 + Math.random() * 0.2));
      mine.wake = () => {
        clearTimeout(timer);
        resolve();
      };
      abort.signal.addEventListener("abort", mine.wake, { once: true });
    });
  }
}

function stopLooking() {
  looking?.abort.abort();
  looking = null;
}

byId("find").addEventListener("click", () => look());
byId("stop").addEventListener("click", () => {
  stopLooking();
  rest(`Hello, ${session.get().username}`, "You have stopped looking.");
});
byId("link-now").addEventListener("click", () => way.retry());
byId("new-partner").addEventListener("click", async () => {
  byId("new-partner").disabled = true;
  await talk.leave();
  byId("new-partner").disabled = false;
  talk.close();
  early = [];
  look(true);
});

// --- the door

function problem(text) {
  byId("door-problem").textContent = text;
}

// Puts what is wrong with a field under it. Returns whether all of it has found its place.
function markFields(form, fields) {
  for (const old of form.querySelectorAll(".wrong")) old.remove();
  const inputs = [...form.elements].filter((input) => input.name);
  for (const input of inputs) {
    const wrong = fields[input.name];
    input.setAttribute("aria-invalid", String(Boolean(wrong)));
    input.removeAttribute("aria-describedby");
    if (!wrong) continue;
    const text = Object.assign(document.createElement("span"), { className: "wrong", textContent: wrong });
    text.id = `${form.id}-${input.name}-wrong`;
    input.setAttribute("aria-describedby", text.id);
    input.after(text);
  }
  inputs.find((input) => fields[input.name])?.focus();
  return Object.keys(fields).length > 0 && Object.keys(fields).every((name) => form.elements[name]);
}

async function logIn(email, password, andLook) {
  const answer = await api.login(email, password);
  session.update({
    uid: answer.uid,
    token: answer.access_token,
    refreshToken: answer.refresh_token,
    username: answer.username ?? email,
    avatarCode: answer.avatar_code,
  });
  problem("");
  enter(andLook);
}

// Runs what a form or button asks for, once at a time, and shows what went wrong.
async function attempt(form, work) {
  const buttons = byId("door").querySelectorAll("button");
  for (const button of buttons) button.disabled = true;
  problem("");
  if (form) markFields(form, {});
  try {
    await work();
    form?.reset();
  } catch (error) {
    if (!(error instanceof api.ApiError)) throw error;
    const placed = form ? markFields(form, error.fields) : false;
    if (!placed) problem(error.message);
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  const { email, password } = Object.fromEntries(new FormData(event.target));
  attempt(event.target, () => logIn(email, password, false));
});

byId("signup").addEventListener("submit", (event) => {
  event.preventDefault();
  const person = Object.fromEntries(new FormData(event.target));
  person.age = person.age === "" ? null : Number(person.age);
  attempt(event.target, async () => {
    await api.register(person);
    await logIn(person.email, person.password, true);
  });
});

byId("demo").addEventListener("click", () => {
  const person = demoPerson();
  attempt(null, async () => {
    await api.register(person);
    await logIn(person.email, person.password, true);
  });
});

const tabs = [byId("tab-login"), byId("tab-signup")];

function choose(tab) {
  for (const each of tabs) {
    const chosen = each === tab;
    each.setAttribute("aria-selected", String(chosen));
    each.tabIndex = chosen ? 0 : -1;
    byId(each.getAttribute("aria-controls")).hidden = !chosen;
  }
  problem("");
}

for (const tab of tabs) {
  tab.addEventListener("click", () => choose(tab));
  tab.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const other = tabs.find((each) => each !== tab);
    choose(other);
    other.focus();
  });
}

async function logOut(why = "") {
  stopLooking();
  if (!why) await talk.leave();
  way.stop();
  talk.close();
  session.clear();
  early = [];
  show("door");
  problem(why);
}

byId("log-out").addEventListener("click", () => logOut());

if (session.get().uid) enter(Boolean(session.get().partner));
else show("door");
