// What a browser gets. Nothing from elsewhere; what people write only ever becomes text.
#pragma once

namespace chat {

constexpr const char* kPage = R"(<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>chat</title>
<link rel="stylesheet" href="chat.css">
<main>
  <form id="join">
    <label>Your name <input id="name" maxlength="32" required autocomplete="nickname"></label>
    <label>Room <input id="room" maxlength="32" required value="lobby"></label>
    <button>Join</button>
  </form>
  <p id="state" role="status"></p>
  <ol id="lines" aria-live="polite"></ol>
  <form id="say" hidden>
    <input id="text" autocomplete="off" aria-label="What you say" placeholder="Say something">
    <button>Send</button>
  </form>
</main>
<script src="chat.js"></script>
</html>
)";

constexpr const char* kStyle = R"(* { box-sizing: border-box; }
body { margin: 0; font: 1rem/1.4 system-ui, sans-serif; }
main { display: flex; flex-direction: column; height: 100vh; height: 100dvh; max-width: 45rem; margin: auto; padding: .5rem; }
form { display: flex; flex-wrap: wrap; gap: .5rem; align-items: end; }
[hidden] { display: none; }
label { display: flex; flex-direction: column; flex: 1 1 8rem; font-size: .85rem; }
input, button { font: inherit; padding: .5rem; min-width: 0; }
#text { flex: 1; }
#state { min-height: 1.4em; margin: .3rem 0; color: #666; }
#lines { flex: 1; overflow-y: auto; margin: 0 0 .5rem; padding: 0; list-style: none; overflow-wrap: anywhere; }
#lines b { margin-right: .4em; }
#lines time { color: #666; font-size: .75rem; margin-right: .4em; }
#lines .note { color: #666; font-style: italic; }
)";

constexpr const char* kScript = R"("use strict";
const byId = (id) => document.getElementById(id);
let socket = null;
let delay = 500;

function show(line) {
  const entry = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = line.time ? new Date(line.time).toLocaleTimeString() : "";
  const who = document.createElement("b");
  who.textContent = line.name || "";
  const text = document.createElement("span");
  text.textContent = line.text || line.kind;
  if (line.kind !== "said") entry.className = "note";
  entry.append(time, who, text);
  const lines = byId("lines");
  const atEnd = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 50;
  lines.append(entry);
  while (lines.childElementCount > 500) lines.firstElementChild.remove();
  if (atEnd) lines.scrollTop = lines.scrollHeight;
}

function connect() {
  const address = new URL("chat", location.href);
  address.protocol = address.protocol.replace("http", "ws");
  address.searchParams.set("room", byId("room").value);
  address.searchParams.set("name", byId("name").value);
  socket = new WebSocket(address);
  socket.onopen = () => {
    delay = 500;
    byId("lines").replaceChildren();
    byId("state").textContent = "in " + byId("room").value;
    byId("join").hidden = true;
    byId("say").hidden = false;
    byId("text").focus();
  };
  socket.onmessage = (event) => show(JSON.parse(event.data));
  socket.onclose = () => {
    byId("state").textContent = "not connected: trying again";
    setTimeout(connect, delay);
    delay = Math.min(delay * 2, 15000);
  };
}

byId("join").onsubmit = (event) => {
  event.preventDefault();
  byId("state").textContent = "connecting";
  if (!socket) connect();
};
byId("say").onsubmit = (event) => {
  event.preventDefault();
  const text = byId("text").value.trim();
  if (!text || socket.readyState !== WebSocket.OPEN) return;
  socket.send(text);
  byId("text").value = "";
};
)";

}  // namespace chat
