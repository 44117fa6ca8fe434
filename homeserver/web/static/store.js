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
    Object.assign(this, { id, membership: "join", state: new Map(), timeline: [], unread: 0, typing: [], prev: null });
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

  get title() {
    const peer = this.peer;
    if (peer) return this.name(peer);
    return this.content("m.room.name").name || "Room";
  }

  get last() {
    return this.timeline.findLast((event) => event.type === "m.room.message" || event.type === "m.call.invite");
  }

  get ts() {
    return this.last?.origin_server_ts || this.content("m.room.create").ts || this.state.get("m.room.create|")?.origin_server_ts || 0;
  }

  level(user = session.user_id) {
    const levels = this.content("m.room.power_levels");
    return levels.users?.[user] ?? levels.users_default ?? 0;
  }

  take(event, live) {
    if (event.state_key !== undefined) this.state.set(`${event.type}|${event.state_key}`, event);
    if (event.type === "m.room.redaction") {
      const target = this.timeline.find((one) => one.event_id === (event.redacts || event.content.redacts));
      if (target) target.content = {};
      return;
    }
    if (this.timeline.some((one) => one.event_id === event.event_id)) return;
    this.timeline.push(event);
    if (live && CALLS.test(event.type)) {
      store.dispatchEvent(new CustomEvent("call", { detail: { room: this, event } }));
    }
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
  room.timeline.unshift(...answer.chunk.reverse().filter((event) => !room.timeline.some((one) => one.event_id === event.event_id)));
  room.prev = answer.chunk.length ? answer.end : null;
  store.dispatchEvent(new Event("change"));
}

export const joined = () => [...rooms.values()].filter((room) => room.membership === "join" && room.kind !== "moments");
export const friendships = () => joined().filter((room) => room.isFriendship);
export const requests = () => [...rooms.values()].filter((room) => room.membership === "invite" && room.type !== MOMENTS);

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
