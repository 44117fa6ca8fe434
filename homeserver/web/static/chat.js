// The list of conversations, and one of them with its messages.

import { blob, cs, enc, im, picture, send, session, upload } from "./api.js";
import { callButtons } from "./calls.js";
import { avatar, busy, clock, h, icon, localpart, notice, show, when } from "./dom.js";
import { groupPanel } from "./groups.js";
import { joined, loadOlder, rooms } from "./store.js";

const RECALL_MS = 120000;

function said(room, event) {
  if (!event) return "";
  if (event.type === "m.call.invite") return "Call";
  const body = event.content.msgtype === "m.image" ? "Picture" : event.content.body ?? "taken back";
  return room.kind === "direct" || event.sender === session.user_id ? body : `${room.name(event.sender)}: ${body}`;
}

export function listView(list, current) {
  const sorted = joined().sort((one, other) => other.ts - one.ts);
  show(list, h("header", {}, h("h1", {}, "Chats")),
    sorted.length ? h("ul", {}, sorted.map((room) => h("li", {}, h("a", {
      href: `#/room/${enc(room.id)}`, "aria-current": room.id === current ? "true" : null,
    }, avatar(room.title, room.peer || room.id),
    h("span", { class: "who" }, h("strong", {}, room.title),
      h("span", { class: "preview" }, room.typing.length ? "typing…" : said(room, room.last) || (room.kind === "group" ? "New group" : room.isFriendship ? "You are friends now" : "Request sent"))),
    h("span", { class: "meta" }, room.ts ? h("time", {}, when(room.ts)) : null,
      room.unread ? h("span", { class: "badge", "aria-label": `${room.unread} unread` }, String(room.unread)) : null)))))
      : h("p", { class: "hint" }, "No conversations yet."));
}

function body(event) {
  const { content } = event;
  if (!content.msgtype) return h("em", { class: "gone" }, "This message was taken back.");
  if (content.msgtype === "m.image" && content.url) {
    const image = h("img", { alt: content.body || "Picture", loading: "lazy" });
    picture(content.url, 640).catch(() => picture(content.url)).then((url) => { image.src = url; }).catch(() => {});
    return image;
  }
  if (["m.file", "m.audio", "m.video"].includes(content.msgtype) && content.url) {
    return h("button", { class: "link", onclick: busy(async () => {
      const path = content.url.slice("mxc://".length).split("/").map(enc).join("/");
      h("a", { href: await blob(`/_matrix/client/v1/media/download/${path}`), download: content.body || "file" }).click();
    }) }, content.body);
  }
  return h("span", { class: "text" }, content.body);
}

function line(room, event, before) {
  if (event.type === "m.call.invite") return h("li", { class: "event" }, `${room.name(event.sender)} called · ${clock(event.origin_server_ts)}`);
  if (event.type === "m.room.member") {
    if (room.kind === "direct") return null;
    const name = event.content.displayname || localpart(event.state_key);
    const verb = { join: "joined", leave: "left", invite: "was invited", knock: "asks to join", ban: "was banned" }[event.content.membership];
    return before?.content?.membership === event.content.membership && before.state_key === event.state_key ? null : h("li", { class: "event" }, `${name} ${verb}`);
  }
  if (event.type !== "m.room.message") return null;
  const own = event.sender === session.user_id;
  const follows = before?.type === "m.room.message" && before.sender === event.sender && event.origin_server_ts - before.origin_server_ts < 300000;
  const recall = own && event.content.msgtype && Date.now() - event.origin_server_ts < RECALL_MS
    ? h("button", { class: "recall icon", "aria-label": "Take this message back", title: "Take back", onclick: busy(() =>
      cs("PUT", `/rooms/${enc(room.id)}/redact/${enc(event.event_id)}/${Date.now()}`, {})) }, icon("undo")) : null;
  return h("li", { class: `message${own ? " own" : ""}${follows ? " follows" : ""}${event.content["im.hearth.announcement"] ? " announcement" : ""}` },
    own ? null : avatar(room.name(event.sender), event.sender),
    h("div", { class: "bubble" },
      !own && !follows && room.kind !== "direct" ? h("strong", { class: "sender" }, room.name(event.sender)) : null,
      body(event), h("time", {}, clock(event.origin_server_ts))), recall);
}

export function chatView(main, id) {
  let read = null;
  let typed = 0;
  let drawn = "";
  let atEnd = true;
  const title = h("h2", {});
  const status = h("p", { class: "status" });
  const tools = h("div", { class: "tools" });
  const log = h("ol", { class: "log", role: "log", "aria-label": "Messages", tabindex: "0" });
  log.addEventListener("scroll", () => { atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 80; });
  // Pictures take their place when they have come.
  log.addEventListener("load", () => { if (atEnd) log.scrollTop = log.scrollHeight; }, true);
  const input = h("textarea", { rows: 1, placeholder: "Message", "aria-label": "Message", enterkeyhint: "send" });
  const file = h("input", { type: "file", accept: "image/*", hidden: true, onchange: async () => {
    for (const one of file.files) {
      try {
        const url = await upload(one);
        await send(id, "m.room.message", { msgtype: "m.image", body: one.name, filename: one.name, url, info: { mimetype: one.type, size: one.size } });
      } catch (error) {
        notice(error.message);
      }
    }
    file.value = "";
  } });
  const form = h("form", { class: "composer", onsubmit: busy(async () => {
    const text = input.value.trim();
    if (!text) return;
    typed = 0;
    cs("PUT", `/rooms/${enc(id)}/typing/${enc(session.user_id)}`, { typing: false }).catch(() => {});
    input.value = "";
    input.style.height = "";
    try {
      await send(id, "m.room.message", { msgtype: "m.text", body: text });
    } catch (error) {
      input.value = text;
      throw error;
    } finally {
      input.focus();
    }
  }) }, file, h("button", { class: "icon", type: "button", "aria-label": "Send a picture", onclick: () => file.click() }, icon("picture")),
  input, h("button", { class: "primary send", type: "submit", "aria-label": "Send" }, icon("send")));
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  input.addEventListener("input", () => {
    input.style.height = "auto";
    input.style.height = `${Math.min(input.scrollHeight, 160)}px`;
    if (Date.now() - typed > 4000) {
      typed = Date.now();
      cs("PUT", `/rooms/${enc(id)}/typing/${enc(session.user_id)}`, { typing: true, timeout: 6000 }).catch(() => {});
    }
  });
  show(main, h("header", { class: "bar" }, h("a", { class: "back icon button", href: "#/chats", "aria-label": "Back to chats" }, icon("back")),
    h("div", { class: "titles" }, title, status), tools), log, form);

  function draw() {
    const room = rooms.get(id);
    if (!room) {
      show(main, h("div", { class: "empty" }, h("p", {}, "You are not in this conversation.")));
      return;
    }
    title.textContent = room.title;
    const muted = room.level() < (room.content("m.room.power_levels").events_default ?? 0);
    status.textContent = room.typing.length ? `${room.typing.map((user) => room.name(user)).join(", ")} typing…`
      : room.kind === "direct" ? room.isFriendship ? room.peer : "has not answered yet" : `${room.members().length} members`;
    input.disabled = muted;
    input.placeholder = muted ? "You cannot speak here now" : "Message";
    if (!tools.childElementCount) {
      if (room.kind === "direct") show(tools, callButtons(room));
      if (room.kind === "group") show(tools, h("button", { class: "icon", "aria-label": "About this group", onclick: busy(() => groupPanel(room)) }, icon("info")));
    }
    const key = `${room.timeline.length} ${room.timeline.at(-1)?.event_id} ${room.timeline.filter((event) => !event.content.msgtype).length} ${room.prev}`;
    if (key !== drawn) {
      drawn = key;
      let before = null;
      const lines = room.timeline.map((event) => {
        const shown = line(room, event, before);
        if (shown) before = event;
        return shown;
      });
      const hasOlder = room.prev && room.timeline[0]?.type !== "m.room.create";
      show(log, hasOlder ? h("li", { class: "event" }, h("button", { class: "link", onclick: busy(() => loadOlder(room)) }, "Earlier messages")) : null, lines);
      if (atEnd) log.scrollTop = log.scrollHeight;
    }
    const last = room.timeline.at(-1);
    if (last && last.event_id !== read && document.visibilityState === "visible") {
      read = last.event_id;
      cs("POST", `/rooms/${enc(id)}/receipt/m.read/${enc(last.event_id)}`, {}).catch(() => {});
    }
  }
  return { draw };
}

export async function announcementOf(room) {
  return im("GET", `/groups/${enc(room.id)}/announcement`).catch(() => null);
}
