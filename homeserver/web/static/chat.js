// The list of conversations, and one of them with its messages.

import { cs, enc, im, send, session, upload } from "./api.js";
import { callButtons } from "./calls.js";
import { avatar, busy, day, h, icon, notice, show, when } from "./dom.js";
import { groupPanel } from "./groups.js";
import { line, summaryOf } from "./message.js";
import { friendPanel } from "./people.js";
import { joined, loadOlder, rooms } from "./store.js";

function said(room, event) {
  const text = summaryOf(room, event);
  return !event || room.kind === "direct" || event.sender === session.user_id ? text : `${room.name(event.sender)}: ${text}`;
}

export function listView(list, current) {
  const sorted = joined().sort((one, other) => other.ts - one.ts);
  show(list, h("header", {}, h("h1", {}, "Chats")),
    sorted.length ? h("ul", {}, sorted.map((room) => h("li", {}, h("a", {
      href: `#/room/${enc(room.id)}`, "aria-current": room.id === current ? "true" : null,
    }, avatar(room.title, room.peer || room.id, room.picture),
    h("span", { class: "who" }, h("strong", {}, room.title),
      h("span", { class: "preview" }, room.typing.length ? "typing…" : said(room, room.last) || (room.kind === "group" ? "New group" : room.isFriendship ? "You are friends now" : "Request sent"))),
    h("span", { class: "meta" }, room.ts ? h("time", {}, when(room.ts)) : null,
      room.unread ? h("span", { class: "badge", "aria-label": `${room.unread} unread` }, String(room.unread)) : null)))))
      : h("p", { class: "hint" }, "No conversations yet."));
}

export function chatView(main, id) {
  let read = null;
  let typed = 0;
  let drawn = "";
  let atEnd = true;
  let top = 0;
  let about = { kind: null, event: null };
  const title = h("h2", {});
  const status = h("p", { class: "status" });
  const tools = h("div", { class: "tools" });
  const log = h("ol", { class: "log", role: "log", "aria-label": "Messages", tabindex: "0" });
  function toEnd() {
    log.scrollTop = log.scrollHeight;
    top = log.scrollTop;
  }
  // Only who scrolls up leaves the end: pictures that come late push it away as well.
  log.addEventListener("scroll", () => {
    if (log.scrollHeight - log.scrollTop - log.clientHeight < 80) atEnd = true;
    else if (log.scrollTop < top) atEnd = false;
    top = log.scrollTop;
  });
  // Pictures take their place when they have come.
  log.addEventListener("load", () => { if (atEnd) toEnd(); }, true);
  // A keyboard on the screen makes the page lower.
  const size = new ResizeObserver(() => { if (atEnd) toEnd(); });
  size.observe(log);
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
    const { kind, event } = about;
    refer(null);
    try {
      await send(id, "m.room.message", composed(text, kind, event));
    } catch (error) {
      input.value = text;
      refer(kind, event);
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
  const subject = h("div", { class: "subject", hidden: true });

  // The message that the next one answers or changes.
  function refer(kind, event = null) {
    about = { kind, event };
    subject.hidden = !kind;
    if (!kind) return;
    const room = rooms.get(id);
    show(subject, h("span", { class: "grow" }, h("strong", {}, kind === "edit" ? "Edit" : `Reply to ${room.name(event.sender)}`), " ", summaryOf(room, event)),
      h("button", { class: "icon", type: "button", "aria-label": "Not any more", onclick: () => refer(null) }, icon("close")));
    if (kind === "edit") input.value = room.edited(event).body;
    input.focus();
  }
  const acts = { reply: (event) => refer("reply", event), edit: (event) => refer("edit", event) };
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && about.kind) refer(null);
  });
  show(main, h("header", { class: "bar" }, h("a", { class: "back icon button", href: "#/chats", "aria-label": "Back to chats" }, icon("back")),
    h("div", { class: "titles" }, title, status), tools), log, subject, form);

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
      if (room.kind === "direct") {
        show(tools, callButtons(room), h("button", { class: "icon", "aria-label": "About this friend", onclick: busy(() => friendPanel(room)) }, icon("info")));
      }
      if (room.kind === "group") show(tools, h("button", { class: "icon", "aria-label": "About this group", onclick: busy(() => groupPanel(room)) }, icon("info")));
    }
    const key = `${room.version} ${room.prev}`;
    if (key !== drawn) {
      drawn = key;
      let before = null;
      let date = "";
      const lastOwn = room.timeline.findLast((event) => event.type === "m.room.message" && event.sender === session.user_id && event.content.msgtype);
      const lines = room.timeline.flatMap((event) => {
        const shown = line(room, event, before, acts);
        if (!shown) return [];
        before = event;
        const today = day(event.origin_server_ts);
        const divider = today === date ? [] : [h("li", { class: "day" }, h("span", {}, today))];
        date = today;
        const seen = event === lastOwn && room.kind === "direct" && room.hasRead(room.peer, event) ? [h("li", { class: "seen" }, "Seen")] : [];
        return [...divider, shown, ...seen];
      });
      const hasOlder = room.prev && room.timeline[0]?.type !== "m.room.create";
      show(log, hasOlder ? h("li", { class: "event" }, h("button", { class: "link", onclick: busy(() => loadOlder(room)) }, "Earlier messages")) : null, lines);
      if (atEnd) toEnd();
    }
    const last = room.timeline.at(-1);
    if (last && last.event_id !== read && document.visibilityState === "visible") {
      read = last.event_id;
      cs("POST", `/rooms/${enc(id)}/receipt/m.read/${enc(last.event_id)}`, {}).catch(() => {});
    }
  }
  return { draw, close: () => size.disconnect() };
}

function composed(text, kind, event) {
  const content = { msgtype: "m.text", body: text };
  if (kind === "reply") return { ...content, "m.relates_to": { "m.in_reply_to": { event_id: event.event_id } }, "m.mentions": { user_ids: [event.sender] } };
  if (kind === "edit") {
    return { msgtype: "m.text", body: `* ${text}`, "m.new_content": content, "m.relates_to": { rel_type: "m.replace", event_id: event.event_id } };
  }
  return content;
}
