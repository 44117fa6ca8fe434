// A message as it is shown: its text or picture, what it answers, who likes it, and what one may do with it.

import { blob, cs, enc, picture, send, session } from "./api.js";
import { avatar, busy, clock, dialog, h, icon, localpart, notice } from "./dom.js";

const RECALL_MS = 120000;
const SOON_MS = 300000;
const LIKES = ["❤️", "👍", "😂", "😮", "😢", "🙏"];
const LINK = /(https?:\/\/[^\s<>"]+[^\s<>".,;:!?)])/;

export function summaryOf(room, event) {
  if (!event) return "";
  if (event.type === "m.call.invite") return "Call";
  const content = room.edited(event);
  if (!content.msgtype) return "Taken back";
  return content.msgtype === "m.image" ? "Picture" : content.body;
}

function withLinks(text) {
  return text.split(LINK).map((part, index) => index % 2
    ? h("a", { href: part, target: "_blank", rel: "noopener noreferrer", class: "outside" }, part) : part);
}

function body(content) {
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
  return h("span", { class: "text" }, withLinks(content.body || ""));
}

function quoted(room, event) {
  const id = event.content["m.relates_to"]?.["m.in_reply_to"]?.event_id;
  if (!id) return null;
  const said = room.timeline.find((one) => one.event_id === id);
  return h("div", { class: "quote" }, said
    ? [h("strong", {}, room.name(said.sender)), " ", summaryOf(room, said)] : "An earlier message");
}

// Once more with the same sign takes it back.
async function react(room, event, key) {
  const own = room.reactionsTo(event.event_id).get(key)?.get(session.user_id);
  if (own) await cs("PUT", `/rooms/${enc(room.id)}/redact/${enc(own)}/${Date.now()}`, {});
  else await send(room.id, "m.reaction", { "m.relates_to": { rel_type: "m.annotation", event_id: event.event_id, key } });
}

function reactions(room, event) {
  const found = [...room.reactionsTo(event.event_id)];
  if (!found.length) return null;
  return h("div", { class: "reactions" }, found.map(([key, people]) => h("button", {
    class: "small", "aria-pressed": String(people.has(session.user_id)),
    "aria-label": `${key}: ${[...people.keys()].map((user) => room.name(user)).join(", ")}`,
    onclick: busy(() => react(room, event, key)),
  }, `${key} ${people.size}`)));
}

function menu(room, event, acts) {
  const own = event.sender === session.user_id;
  const { msgtype, body: text } = room.edited(event);
  const act = (label, action) => h("button", { class: "wide", onclick: busy(async () => {
    box.close();
    await action();
  }) }, label);
  const box = dialog("Message",
    h("div", { class: "likes" }, LIKES.map((key) => h("button", { class: "icon", "aria-label": `React with ${key}`, onclick: busy(async () => {
      box.close();
      await react(room, event, key);
    }) }, key))),
    h("div", { class: "menu" }, act("Reply", () => acts.reply(event)),
      msgtype === "m.text" ? act("Copy text", async () => {
        await navigator.clipboard.writeText(text);
        notice("Copied.");
      }) : null,
      own && msgtype === "m.text" ? act("Edit", () => acts.edit(event)) : null,
      own && Date.now() - event.origin_server_ts < RECALL_MS ? act("Take back", () =>
        cs("PUT", `/rooms/${enc(room.id)}/redact/${enc(event.event_id)}/${Date.now()}`, {})) : null));
}

function arrival(room, event, before) {
  if (room.kind === "direct") return null;
  const name = event.content.displayname || localpart(event.state_key);
  const verb = { join: "joined", leave: "left", invite: "was invited", knock: "asks to join", ban: "was banned" }[event.content.membership];
  const again = before?.content?.membership === event.content.membership && before.state_key === event.state_key;
  return again ? null : h("li", { class: "event" }, `${name} ${verb}`);
}

// One line of a conversation; null if there is nothing to see.
export function line(room, event, before, acts) {
  if (event.type === "m.call.invite") return h("li", { class: "event" }, `${room.name(event.sender)} called · ${clock(event.origin_server_ts)}`);
  if (event.type === "m.room.member") return arrival(room, event, before);
  if (event.type !== "m.room.message" || event.content["m.relates_to"]?.rel_type === "m.replace") return null;
  const own = event.sender === session.user_id;
  const content = room.edited(event);
  const follows = before?.type === "m.room.message" && before.sender === event.sender && event.origin_server_ts - before.origin_server_ts < SOON_MS;
  const more = content.msgtype ? h("button", { class: "more icon", "aria-label": "Message actions", title: "More", onclick: () => menu(room, event, acts) }, icon("more")) : null;
  return h("li", { class: `message${own ? " own" : ""}${follows ? " follows" : ""}${content["im.hearth.announcement"] ? " announcement" : ""}` },
    own ? null : avatar(room.name(event.sender), event.sender, room.pictureOf(event.sender)),
    h("div", { class: "bubble" },
      !own && !follows && room.kind !== "direct" ? h("strong", { class: "sender" }, room.name(event.sender)) : null,
      quoted(room, event), body(content),
      h("time", {}, `${content === event.content ? "" : "edited "}${clock(event.origin_server_ts)}`), reactions(room, event)), more);
}
