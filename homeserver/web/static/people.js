// Friends: asking, answering, and those one has. A friendship is a room of two; a request is an invitation to one.

import { cs, enc, session } from "./api.js";
import { avatar, busy, field, h, localpart, notice, show } from "./dom.js";
import { friendships, joined, requests, rooms, until } from "./store.js";

// What the IM API makes of a request: whoever is asked stays below, so that a request can be taken back.
function requestTo(user, message) {
  return cs("POST", "/createRoom", {
    preset: "private_chat", room_version: "11", is_direct: true,
    power_level_content_override: { users: { [session.user_id]: 100, [user]: 50 }, invite: 50, kick: 50, state_default: 50 },
    initial_state: [
      { type: "m.room.join_rules", state_key: "", content: { join_rule: "knock" } },
      { type: "m.room.guest_access", state_key: "", content: { guest_access: "forbidden" } },
    ],
  }).then((room) => cs("PUT", `/rooms/${enc(room.room_id)}/state/m.room.member/${enc(user)}`,
    { membership: "invite", is_direct: true, reason: message }).then(() => room.room_id));
}

function fullId(text) {
  const name = text.trim();
  if (name.startsWith("@") && name.includes(":")) return name;
  return `@${name.replace(/^@/, "").toLowerCase()}:${session.user_id.split(":").slice(1).join(":")}`;
}

async function ask(user, message) {
  if (user === session.user_id) throw new Error("That is you.");
  const known = joined().find((room) => room.peer === user);
  if (known) {
    location.hash = `#/room/${enc(known.id)}`;
    return;
  }
  await cs("GET", `/profile/${enc(user)}`).catch((error) => {
    throw error.status === 404 ? new Error(`Nobody is called ${localpart(user)} here.`) : error;
  });
  await requestTo(user, message);
  notice(`${localpart(user)} has been asked.`);
}

export function peopleView(main) {
  const asked = h("section", { "aria-live": "polite" });
  const friends = h("section");
  const form = h("form", { class: "card", onsubmit: busy(async () => {
    await ask(fullId(form.elements.user.value), form.elements.message.value.trim() || undefined);
    form.reset();
  }) }, h("h2", {}, "Find a friend"),
  field("Name", { name: "user", required: true, placeholder: "alice or @alice:example.org", autocapitalize: "none", spellcheck: "false" }),
  field("Message", { name: "message", maxlength: "255", placeholder: "Hi, it is me" }),
  h("button", { class: "primary", type: "submit" }, "Send request"));
  show(main, h("div", { class: "page" }, h("h1", {}, "Friends"), asked, form, friends));

  function draw() {
    const waiting = requests().filter((room) => !room.type);
    show(asked, waiting.length ? h("h2", {}, "They ask you") : null, waiting.map((room) => {
      const own = room.content("m.room.member", session.user_id);
      const inviter = [...room.state.values()].find((event) => event.type === "m.room.member" && event.state_key === session.user_id).sender;
      return h("div", { class: "card row" }, avatar(localpart(inviter), inviter),
        h("div", { class: "grow" }, h("strong", {}, localpart(inviter)), h("p", { class: "hint" }, own.reason || inviter)),
        h("button", { class: "primary", onclick: busy(async () => {
          await cs("POST", `/join/${enc(room.id)}`, {});
          await until(() => rooms.get(room.id)?.membership === "join");
          location.hash = `#/room/${enc(room.id)}`;
        }) }, "Accept"),
        h("button", { onclick: busy(() => cs("POST", `/rooms/${enc(room.id)}/leave`, {})) }, "Decline"));
    }));
    const known = friendships().sort((one, other) => one.title.localeCompare(other.title));
    const sent = joined().filter((room) => room.kind === "direct" && room.content("m.room.member", room.peer).membership === "invite");
    show(friends, h("h2", {}, "Your friends"),
      known.length ? known.map((room) => h("a", { class: "card row", href: `#/room/${enc(room.id)}` },
        avatar(room.title, room.peer), h("div", { class: "grow" }, h("strong", {}, room.title), h("p", { class: "hint" }, room.peer))))
        : h("p", { class: "hint" }, "Nobody yet."),
      sent.map((room) => h("div", { class: "card row" }, avatar(room.title, room.peer),
        h("div", { class: "grow" }, h("strong", {}, room.title), h("p", { class: "hint" }, "has not answered yet")),
        h("button", { onclick: busy(async () => {
          await cs("POST", `/rooms/${enc(room.id)}/kick`, { user_id: room.peer });
          await cs("POST", `/rooms/${enc(room.id)}/leave`, {});
        }) }, "Take back"))));
  }
  return { draw };
}
