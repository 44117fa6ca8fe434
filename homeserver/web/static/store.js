// What this device knows: every room, kept up by /sync. Whoever shows something listens for "change".

import { cs, enc, session } from "./api.js";
import { localpart } from "./dom.js";

export const GROUP = "im.hearth.group";
export const MOMENTS = "im.hearth.moments";
export const rooms = new Map();
export const store = new EventTarget();
const CALLS = /^m\.call\./;
const FILTER = JSON.stringify({ room: { timeline: { limit: 40 } }, presence: { types: [] } });

class Room {
  constructor(id) {
    Object.assign(this, { id, membership: "join", state: new Map(), timeline: [], unread: 0, typing: [], prev: null, version: 0,
      edits: new Map(), reactions: new Map(), read: new Map() });
  }

  content(type, key = "") {
    return this.state.get(`${type}|${key}`)?.content || {};
  }

  get type() {
    return this.content("m.room.create").type;
  }

  members(membership = "join") {
    const found = [];
    for (const event of this.state.values()) {
      if (event.type === "m.room.member" && event.content.membership === membership) found.push(event.state_key);
    }
    return found;
  }

  // The other one of a conversation between two, whatever has become of them.
  get peer() {
    if (this.type || this.content("m.room.name").name) return null;
    const people = new Set();
    for (const event of this.state.values()) if (event.type === "m.room.member") people.add(event.state_key);
    people.delete(session.user_id);
    return people.size === 1 ? [...people][0] : null;
  }

  get kind() {
    if (this.type === MOMENTS) return "moments";
    if (this.type === GROUP) return "group";
    return this.peer ? "direct" : "room";
  }

  get isFriendship() {
    return this.kind === "direct" && this.membership === "join" && this.content("m.room.member", this.peer).membership === "join";
  }

  name(user) {
    return this.content("m.room.member", user).displayname || localpart(user);
  }

  pictureOf(user) {
    return this.content("m.room.member", user).avatar_url;
  }

  get picture() {
    return this.peer ? this.pictureOf(this.peer) : this.content("m.room.avatar").url;
  }

  // What a message says now.
  edited(event) {
    return this.edits.get(event.event_id) || event.content;
  }

  // Of each sign, the events of those who gave it, by user.
  reactionsTo(id) {
    return this.reactions.get(id) || new Map();
  }

  // Whether somebody has read up to an event, or past it.
  hasRead(user, event) {
    const at = this.timeline.findIndex((one) => one.event_id === this.read.get(user));
    return at >= 0 && at >= this.timeline.indexOf(event);
  }

  get title() {
    const peer = this.peer;
    if (peer) return this.name(peer);
    return this.content("m.room.name").name || "Room";
  }

  get last() {
    return this.timeline.findLast((event) => event.type === "m.call.invite" ||
      (event.type === "m.room.message" && event.content["m.relates_to"]?.rel_type !== "m.replace"));
  }

  get ts() {
    return this.last?.origin_server_ts || this.content("m.room.create").ts || this.state.get("m.room.create|")?.origin_server_ts || 0;
  }

  level(user = session.user_id) {
    const levels = this.content("m.room.power_levels");
    return levels.users?.[user] ?? levels.users_default ?? 0;
  }

  take(event, live) {
    this.version += 1;
    if (event.state_key !== undefined) this.state.set(`${event.type}|${event.state_key}`, event);
    if (event.type === "m.room.redaction") {
      this.forget(event.redacts || event.content.redacts);
      return;
    }
    if (this.timeline.some((one) => one.event_id === event.event_id)) return;
    this.timeline.push(event);
    this.relate(event);
    if (live && CALLS.test(event.type)) {
      store.dispatchEvent(new CustomEvent("call", { detail: { room: this, event } }));
    }
  }

  // Edits and reactions belong to the message that they are about.
  relate(event) {
    const relation = event.content["m.relates_to"];
    const target = this.timeline.find((one) => one.event_id === relation?.event_id);
    if (relation?.rel_type === "m.replace" && event.content["m.new_content"] && (!target || target.sender === event.sender)) {
      this.edits.set(relation.event_id, event.content["m.new_content"]);
    }
    if (event.type === "m.reaction" && relation?.key) {
      if (!this.reactions.has(relation.event_id)) this.reactions.set(relation.event_id, new Map());
      const signs = this.reactions.get(relation.event_id);
      if (!signs.has(relation.key)) signs.set(relation.key, new Map());
      signs.get(relation.key).set(event.sender, event.event_id);
    }
  }

  forget(id) {
    const target = this.timeline.find((one) => one.event_id === id);
    const relation = target?.content["m.relates_to"];
    const people = this.reactions.get(relation?.event_id)?.get(relation?.key);
    if (people?.get(target.sender) === id) {
      people.delete(target.sender);
      if (!people.size) this.reactions.get(relation.event_id).delete(relation.key);
    }
    this.edits.delete(id);
    if (target) target.content = {};
  }

  heard(content) {
    for (const [id, kinds] of Object.entries(content)) {
      for (const user of Object.keys(kinds["m.read"] || {})) this.read.set(user, id);
    }
    this.version += 1;
  }
}

function apply(answer, live) {
  const { join = {}, invite = {}, leave = {} } = answer.rooms || {};
  for (const [id, news] of Object.entries(invite)) {
    const room = new Room(id);
    room.membership = "invite";
    for (const event of news.invite_state.events) room.state.set(`${event.type}|${event.state_key}`, event);
    rooms.set(id, room);
  }
  for (const [id, news] of Object.entries(join)) {
    let room = rooms.get(id);
    if (!room || room.membership !== "join") rooms.set(id, (room = new Room(id)));
    for (const event of news.state?.events || []) room.state.set(`${event.type}|${event.state_key}`, event);
    if (news.timeline?.limited && live) room.timeline = [];
    if (news.timeline?.prev_batch && (!room.prev || news.timeline.limited)) room.prev = news.timeline.prev_batch;
    for (const event of news.timeline?.events || []) room.take(event, live);
    room.unread = news.unread_notifications?.notification_count ?? room.unread;
    for (const event of news.ephemeral?.events || []) {
      if (event.type === "m.receipt") room.heard(event.content);
      if (event.type === "m.typing") room.typing = event.content.user_ids.filter((user) => user !== session.user_id);
    }
  }
  for (const id of Object.keys(leave)) rooms.delete(id);
}

export async function follow() {
  let since = null;
  let pause = 1000;
  for (;;) {
    const query = new URLSearchParams({ timeout: since ? "25000" : "0", filter: FILTER });
    if (since) query.set("since", since);
    try {
      const answer = await cs("GET", `/sync?${query}`);
      apply(answer, since !== null);
      since = answer.next_batch;
      pause = 1000;
      store.dispatchEvent(new Event("change"));
    } catch (error) {
      if (error.status === 401) return;
      await new Promise((resolve) => setTimeout(resolve, pause));
      pause = Math.min(pause * 2, 30000);
    }
  }
}

export async function loadOlder(room) {
  if (!room.prev) return;
  const answer = await cs("GET", `/rooms/${enc(room.id)}/messages?dir=b&limit=40&from=${enc(room.prev)}`);
  const older = answer.chunk.reverse().filter((event) => !room.timeline.some((one) => one.event_id === event.event_id));
  room.timeline.unshift(...older);
  older.forEach((event) => room.relate(event));
  room.version += 1;
  room.prev = answer.chunk.length ? answer.end : null;
  store.dispatchEvent(new Event("change"));
}

export const joined = () => [...rooms.values()].filter((room) => room.membership === "join" && room.kind !== "moments");
export const friendships = () => joined().filter((room) => room.isFriendship);
export const requests = () => [...rooms.values()].filter((room) => room.membership === "invite" && room.type !== MOMENTS);

// What people call themselves, as far as any room of ours says.
export function known(user) {
  for (const room of rooms.values()) {
    const { displayname, avatar_url: picture } = room.content("m.room.member", user);
    if (displayname || picture) return { name: displayname || localpart(user), picture };
  }
  return { name: localpart(user), picture: null };
}

export function until(holds) {
  return new Promise((resolve) => {
    const look = () => {
      const found = holds();
      if (!found) return;
      store.removeEventListener("change", look);
      resolve(found);
    };
    store.addEventListener("change", look);
    look();
  });
}
