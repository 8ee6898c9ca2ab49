// What a browser gets. Nothing from elsewhere; what people write only ever becomes text.
#pragma once

#include <string>
#include <string_view>

namespace chat {

// ":8081", "/chat", "wss://chat.example.org/": what may stand in the page as it is.
inline bool is_address(std::string_view address) {
  constexpr std::string_view kLetters =
      "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-._~:/[]";
  if (address.find_first_not_of(kLetters) != std::string_view::npos) return false;
  if (address.starts_with(':'))
    return address.size() > 1 && address.size() <= 6 &&
           address.find_first_not_of("0123456789", 1) == std::string_view::npos;
  return address.starts_with('/') || address.starts_with("ws://") || address.starts_with("wss://");
}

inline std::string page(std::string_view websocket) {
  return R"(<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>chat</title>
<link rel="stylesheet" href="chat.css">
<main data-websocket=")" +
         std::string(websocket) + R"(">
  <form id="join">
    <label>Your name <input id="name" maxlength="32" required autocomplete="nickname"></label>
    <label>Room <input id="room" maxlength="32" required value="lobby"></label>
    <button>Join</button>
  </form>
  <p id="state" role="status"></p>
  <ol id="lines" aria-live="polite"></ol>
  <p id="who" hidden></p>
  <form id="say" hidden>
    <input id="text" autocomplete="off" aria-label="What you say" placeholder="Say something, or: /to NAME something">
    <button>Send</button>
    <button id="leave" type="button">Another room</button>
  </form>
</main>
<script src="chat.js"></script>
</html>
)";
}

constexpr const char* kStyle = R"(* { box-sizing: border-box; }
body { margin: 0; font: 1rem/1.4 system-ui, sans-serif; }
main { display: flex; flex-direction: column; height: 100vh; height: 100dvh; max-width: 45rem; margin: auto; padding: .5rem; }
form { display: flex; flex-wrap: wrap; gap: .5rem; align-items: end; }
[hidden] { display: none; }
label { display: flex; flex-direction: column; flex: 1 1 8rem; font-size: .85rem; }
input, button { font: inherit; padding: .5rem; min-width: 0; }
#text { flex: 1; }
#state, #who { min-height: 1.4em; margin: .3rem 0; color: #666; }
#lines { flex: 1; overflow-y: auto; margin: 0 0 .5rem; padding: 0; list-style: none; overflow-wrap: anywhere; }
#lines bdi { font-weight: bold; margin-right: .4em; }
#lines time { color: #666; font-size: .75rem; margin-right: .4em; }
#lines .note { color: #666; font-style: italic; }
#lines .private { background: #8883; }
#lines .waits { opacity: .5; }
)";

constexpr const char* kScript = R"js("use strict";
const byId = (id) => document.getElementById(id);
const fresh = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
const MOST_LINES = 500, MOST_WAITING = 100, MOST_TOLD = 500;
const PATIENCE = 15000, ASK_EVERY = 20000, SHORTEST = 500, LONGEST = 15000;

// A name is taken back after a lost connection with the key that it was taken with.
let key = fresh();
let name = "", room = "";    // as joined
let socket = null;
let joined = false;          // on this socket
let delay = SHORTEST;
let asked = false;           // and nothing has come since
let retry = 0, resend = 0;   // timers
const waiting = [];          // what was not kept yet, the oldest first; it alone is on its way
const told = [];             // ids of private messages that were shown
const entries = new Map();   // the lines shown, by seq
const pending = new Map();   // entries of what waits, by id
let present = new Set();     // the names that were told, of
let count = 0;               // so many

function state(text) { byId("state").textContent = text; }

// Lines stand in the order of seq, whatever order they come in; all else where it came.
function place(entry, seq) {
  const lines = byId("lines");
  const atEnd = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 50;
  let before = lines.lastElementChild;
  while (seq && before && Number(before.dataset.seq || 0) > seq) before = before.previousElementSibling;
  if (before) before.after(entry); else lines.prepend(entry);
  if (seq) entry.dataset.seq = seq;
  for (const [, each] of pending) lines.append(each);
  while (lines.childElementCount > MOST_LINES) {
    const oldest = lines.firstElementChild;
    entries.delete(Number(oldest.dataset.seq));
    oldest.remove();
  }
  if (atEnd) lines.scrollTop = lines.scrollHeight;
}

function entry(time, who, text, kind) {
  const item = document.createElement("li");
  const when = document.createElement("time");
  when.textContent = new Date(time).toLocaleTimeString();
  const by = document.createElement("bdi");
  by.textContent = who;
  const what = document.createElement("span");
  what.dir = "auto";
  what.textContent = text;
  item.append(when, by, what);
  if (kind) item.className = kind;
  return item;
}

function note(who, text) { place(entry(Date.now(), who, text, "note")); }

function showPresent() {
  byId("who").hidden = false;
  byId("who").textContent = count + " here: " + [...present].join(", ") + (count > present.size ? ", ..." : "");
}

function isMine(who) { return who.toLowerCase() === name.toLowerCase(); }

function unshow(id) {
  const shown = pending.get(id);
  if (shown) shown.remove();
  pending.delete(id);
}

function done(id) {
  unshow(id);
  const index = waiting.findIndex((each) => each.id === id);
  if (index < 0) return;
  waiting.splice(index, 1);
  if (index === 0) pump();
}

const handlers = {
  welcome(message) {
    joined = true;
    delay = SHORTEST;
    state("in " + message.room + " as " + message.name);
    handlers.who(message);
    if (!message.history) note("", "what was said before cannot be shown now");
    byId("join").hidden = true;
    byId("say").hidden = false;
    byId("text").focus();
    pump();
  },
  said(message) {
    if (message.room !== room || entries.has(message.seq)) return;
    if (isMine(message.name)) unshow(message.id);
    const line = entry(message.time, message.name, message.text);
    entries.set(message.seq, line);
    place(line, message.seq);
  },
  told(message) {
    if (told.includes(message.id)) return;
    told.push(message.id);
    if (told.length > MOST_TOLD) told.shift();
    const who = isMine(message.name) ? "to " + message.to : message.name + " to you";
    place(entry(message.time, who, message.text, "private"));
  },
  kept(message) { done(message.id); },
  came(message) {
    if (message.room !== room) return;
    note(message.name, "came");
    if (!present.has(message.name)) ++count;
    present.add(message.name);
    showPresent();
  },
  left(message) {
    if (message.room !== room) return;
    note(message.name, "left");
    count = Math.max(0, count - 1);
    present.delete(message.name);
    showPresent();
  },
  who(message) {
    if (message.room !== room) return;
    present = new Set(message.names);
    count = message.count;
    showPresent();
  },
  no(message) {
    if (message.do === "join") {
      if (message.again) { again("not joined: " + message.why); return; }
      leave("not joined: " + message.why);
    } else if (!message.id) {
      note("", message.why);
    } else if (message.again) {
      state(message.why + ": it is sent again");
      schedule(2000);
    } else {
      note("", "not sent: " + message.why);
      done(message.id);
    }
  },
};

function send(message) { if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message)); }

// One at a time, so that what is sent once more stays in its order.
function pump() {
  clearTimeout(resend);
  if (!joined || waiting.length === 0) return;
  send(waiting[0]);
  schedule(PATIENCE);
}
function schedule(time) { clearTimeout(resend); resend = setTimeout(pump, time); }

// The socket is over for us, whether or not its end has been told.
function drop() {
  clearTimeout(retry);
  clearTimeout(resend);
  joined = false;
  if (!socket) return;
  const old = socket;
  socket = null;
  old.onopen = old.onmessage = old.onclose = null;
  old.close();
}

// At some moment within the delay: not all at once, where all have lost it at once.
function again(why) {
  drop();
  state(why + ": trying again");
  retry = setTimeout(connect, delay / 2 + Math.random() * delay / 2);
  delay = Math.min(delay * 2, LONGEST);
}

function leave(why) {
  drop();
  state(why);
  byId("join").hidden = false;
  byId("say").hidden = true;
  byId("who").hidden = true;
}

function address() {
  const given = document.querySelector("main").dataset.websocket;
  if (given.startsWith("ws:") || given.startsWith("wss:")) return given;
  const found = new URL(given.startsWith(":") ? "/" : given, location.href);
  if (given.startsWith(":")) found.port = given.slice(1);
  found.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  return found.href;
}

function connect() {
  drop();
  asked = false;
  socket = new WebSocket(address());
  socket.onopen = () => send({do: "join", name, room, key});
  socket.onmessage = (event) => {
    asked = false;
    const message = JSON.parse(event.data);
    if (Object.hasOwn(handlers, message.is)) handlers[message.is](message);
  };
  socket.onclose = (event) => {
    if (event.code === 4001 || event.code === 4003) leave(event.reason);
    else again("not connected");
  };
}

// A connection may be lost without a word.
setInterval(() => {
  if (!joined) return;
  if (asked) { again("no answer"); return; }
  asked = true;
  send({do: "who"});
}, ASK_EVERY);

// What waits was meant for the room before.
function enter(wanted) {
  const lost = waiting.length;
  waiting.length = 0;
  pending.clear();
  entries.clear();
  byId("lines").replaceChildren();
  if (lost > 0) note("", lost + " not sent in " + room);
  room = wanted;
}

byId("join").onsubmit = (event) => {
  event.preventDefault();
  const wanted = byId("room").value.trim();
  if (wanted !== room) enter(wanted);
  name = byId("name").value.trim();
  delay = SHORTEST;
  state("connecting");
  connect();
};
byId("leave").onclick = () => leave("");
byId("say").onsubmit = (event) => {
  event.preventDefault();
  const text = byId("text").value.trim();
  if (!text) return;
  if (waiting.length >= MOST_WAITING) { state("too much waits to be sent"); return; }
  const to = /^\/to (?:"([^"]+)"|(\S+)) +(.+)$/.exec(text);
  const message = to ? {do: "tell", id: fresh(), to: to[1] || to[2], text: to[3]} : {do: "say", id: fresh(), text};
  waiting.push(message);
  const shown = entry(Date.now(), name, message.text, "waits");
  pending.set(message.id, shown);
  place(shown);
  byId("text").value = "";
  if (waiting.length === 1) pump();
};
)js";

}  // namespace chat
