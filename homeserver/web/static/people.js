// Friends: asking, answering, and those one has. A friendship is a room of two; a request is an invitation to one.

import { enc, im, session } from "./api.js";
import { avatar, busy, dialog, field, h, localpart, notice, show } from "./dom.js";
import { known, rooms, until } from "./store.js";

function fullId(text) {
  const name = text.trim();
  if (name.startsWith("@") && name.includes(":")) return name;
  return `@${name.replace(/^@/, "").toLowerCase()}:${session.user_id.split(":").slice(1).join(":")}`;
}

async function ask(user, message) {
  if (user === session.user_id) throw new Error("That is you.");
  try {
    const answer = await im("POST", "/friends/requests", { user_id: user, message });
    notice(answer.state === "accepted" ? `${localpart(user)} has asked you as well: you are friends.` : `${localpart(user)} has been asked.`);
  } catch (error) {
    if (error.errcode === "M_NOT_FOUND") throw new Error(`Nobody is called ${localpart(user)} here.`);
    if (error.errcode === "IM_ALREADY_FRIEND") throw new Error(`${localpart(user)} is your friend already.`);
    if (error.errcode === "IM_REQUEST_TOO_SOON") throw new Error(`${localpart(user)} has declined. Ask again tomorrow.`);
    throw error;
  }
}

async function open(roomId) {
  await until(() => rooms.get(roomId)?.membership === "join");
  location.hash = `#/room/${enc(roomId)}`;
}

function incoming(request, refresh) {
  const { user } = request;
  const answer = (action) => im("PUT", `/friends/requests/${enc(request.request_id)}`, { action });
  return h("div", { class: "card row" }, avatar(user.nickname, user.user_id, user.avatar),
    h("div", { class: "grow" }, h("strong", {}, user.nickname), h("p", { class: "hint" }, request.message || user.user_id)),
    h("button", { class: "primary", onclick: busy(async () => {
      await answer("accept");
      await open(request.room_id);
    }) }, "Accept"),
    h("button", { onclick: busy(() => answer("reject").then(refresh)) }, "Decline"));
}

function outgoing(request, refresh) {
  const { user } = request;
  return h("div", { class: "card row" }, avatar(user.nickname, user.user_id, user.avatar),
    h("div", { class: "grow" }, h("strong", {}, user.nickname), h("p", { class: "hint" }, "has not answered yet")),
    h("button", { onclick: busy(() => im("PUT", `/friends/requests/${enc(request.request_id)}`, { action: "cancel" }).then(refresh)) }, "Take back"));
}

function card(friend) {
  const there = friend.presence?.status === "online";
  return h("a", { class: "card row", href: `#/room/${enc(friend.room_id)}` },
    h("span", { class: "face" }, avatar(friend.remark || friend.nickname, friend.user_id, friend.avatar), there ? h("span", { class: "there", title: "Online" }) : null),
    h("div", { class: "grow" }, h("strong", {}, friend.remark || friend.nickname), h("p", { class: "hint" }, friend.user_id)),
    friend.blocked ? h("span", { class: "role" }, "blocked") : null);
}

async function everyFriend() {
  const found = [];
  let from = "";
  do {
    const page = await im("GET", `/friends?limit=100${from && `&from=${enc(from)}`}`);
    found.push(...page.items);
    from = page.next_batch || "";
  } while (from && found.length < 2000);
  return found;
}

export function peopleView(main) {
  const asked = h("section", { "aria-live": "polite" });
  const friends = h("section");
  const form = h("form", { class: "card", onsubmit: busy(async () => {
    await ask(fullId(form.elements.user.value), form.elements.message.value.trim());
    form.reset();
    await refresh();
  }) }, h("h2", {}, "Find a friend"),
  field("Name", { name: "user", required: true, placeholder: "alice or @alice:example.org", autocapitalize: "none", spellcheck: "false" }),
  field("Message", { name: "message", maxlength: "255", placeholder: "Hi, it is me" }),
  h("button", { class: "primary", type: "submit" }, "Send request"));
  show(main, h("div", { class: "page" }, h("h1", {}, "Friends"), asked, form, friends));

  let before = "";
  async function refresh() {
    const [mine, theirs, all] = await Promise.all([im("GET", "/friends/requests?direction=out&state=pending&limit=100"),
      im("GET", "/friends/requests?direction=in&state=pending&limit=100"), everyFriend()]);
    const key = JSON.stringify([mine, theirs, all]);
    if (key === before) return;
    before = key;
    show(asked, theirs.items.length ? h("h2", {}, "They ask you") : null, theirs.items.map((request) => incoming(request, refresh)));
    show(friends, h("h2", {}, "Your friends"), all.length ? all.map(card) : h("p", { class: "hint" }, "Nobody yet."),
      mine.items.map((request) => outgoing(request, refresh)));
  }
  let waiting = 0;
  return {
    draw: () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => refresh().catch((error) => notice(error.message)), before ? 300 : 0);
    },
    close: () => clearTimeout(waiting),
  };
}

// What one keeps about a friend, and the ways to part.
export async function friendPanel(room) {
  const user = room.peer;
  const path = `/friends/${enc(user)}`;
  const friend = await im("GET", path).catch((error) => {
    if (error.status === 404) return null;
    throw error;
  });
  const { name, picture } = known(user);
  const act = (action) => busy(async () => {
    await action();
    box.close();
  });
  const box = dialog(friend?.remark || name,
    h("div", { class: "portrait" }, avatar(name, user, picture), h("code", {}, user)),
    friend ? h("form", { onsubmit: act(() => im("PATCH", path, { remark: box.querySelector("[name=remark]").value.trim() })) },
      field("What you call them", { name: "remark", value: friend.remark, maxlength: "100" }),
      h("button", { class: "primary", type: "submit" }, "Save")) : h("p", { class: "hint" }, "You are not friends now."),
    h("div", { class: "actions" },
      h("button", { onclick: act(() => im(friend?.blocked ? "DELETE" : "PUT", `/blocks/${enc(user)}`)) }, friend?.blocked ? "Unblock" : "Block"),
      friend ? h("button", { class: "danger", onclick: act(async () => {
        if (!confirm(`Part from ${name}? Both of you keep what was said.`)) return;
        await im("DELETE", path);
        location.hash = "#/people";
      }) }, "Remove friend") : null));
}
