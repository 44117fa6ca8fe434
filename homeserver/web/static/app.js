// The page's frame: the way in, the four places, and which of them is shown (by the address behind the #).

import { cs, enc, im, logIn, logOut, picture, session, signUp, upload } from "./api.js";
import { startCalls } from "./calls.js";
import { chatView, listView } from "./chat.js";
import { avatar, busy, dialog, field, h, icon, localpart, notice, show, showPicturesWith } from "./dom.js";
import { groupsView } from "./groups.js";
import { momentsView } from "./moments.js";
import { peopleView } from "./people.js";
import { follow, joined, requests, store } from "./store.js";

const app = document.getElementById("app");
const PLACES = [["chats", "Chats"], ["people", "Friends"], ["groups", "Groups"], ["moments", "Moments"]];

function entrance() {
  let isNew = true;
  const say = h("p", { class: "error", role: "alert" });
  const submit = h("button", { class: "primary wide", type: "submit" }, "Sign up");
  const other = h("button", { class: "link", type: "button" }, "I have an account");
  const password = h("input", { name: "password", type: "password", required: true, minLength: 8, autocomplete: "new-password" });
  const form = h("form", {
    onsubmit: busy(async () => {
      say.textContent = "";
      const { user, password: secret } = form.elements;
      try {
        await (isNew ? signUp : logIn)(user.value.trim(), secret.value);
        enter();
      } catch (error) {
        say.textContent = error.message;
      }
    }),
  },
  field("Name", { name: "user", required: true, autocomplete: "username", autocapitalize: "none", spellcheck: "false" }),
  h("label", { class: "field" }, h("span", {}, "Password"), password),
  say, submit, other);
  other.addEventListener("click", () => {
    isNew = !isNew;
    submit.textContent = isNew ? "Sign up" : "Log in";
    other.textContent = isNew ? "I have an account" : "I am new here";
    password.autocomplete = isNew ? "new-password" : "current-password";
  });
  show(app, h("main", { class: "entrance" },
    h("img", { src: "/web/icon.svg", alt: "", width: 72, height: 72 }),
    h("h1", {}, "Hearth"),
    h("p", { class: "hint" }, `Chats, groups and moments on ${location.host}, and with everybody on Matrix.`),
    form));
}

function place() {
  const [where = "chats", ...rest] = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  return { where: where || "chats", what: rest.join("/") };
}

function frame() {
  const nav = h("nav", { "aria-label": "Places" });
  const list = h("section", { class: "list" });
  const main = h("main", { tabindex: "-1" });
  const me = h("button", { class: "me", "aria-label": "You", onclick: busy(() => showMe(drawMe)) });

  async function drawMe() {
    const { displayname, avatar_url: face } = await profile();
    show(me, avatar(displayname || localpart(session.user_id), session.user_id, face));
  }
  show(me, avatar(localpart(session.user_id), session.user_id));
  drawMe().catch(() => {});
  show(app, h("div", { class: "frame" }, h("aside", {}, nav, me), list, main));
  let shown = "";
  let view = null;

  function drawNav() {
    const { where } = place();
    const counts = { chats: joined().reduce((sum, room) => sum + room.unread, 0), people: requests().filter((room) => !room.type).length,
      groups: requests().filter((room) => room.type).length };
    show(nav, PLACES.map(([key, text]) => h("a", {
      href: `#/${key}`, "aria-current": where === key || (where === "room" && key === "chats") ? "page" : null,
    }, icon(key), h("span", {}, text),
    counts[key] ? h("span", { class: "badge", "aria-label": `${counts[key]} new` }, String(counts[key])) : null)));
  }

  function draw() {
    const { where, what } = place();
    drawNav();
    app.firstChild.className = `frame ${where === "room" ? "in-room" : where}`;
    const key = `${where}/${what}`;
    if (key !== shown) {
      shown = key;
      view?.close?.();
      if (where === "room") view = chatView(main, what);
      else if (where === "people") view = peopleView(main);
      else if (where === "groups") view = groupsView(main);
      else if (where === "moments") view = momentsView(main);
      else view = { draw: () => show(main, h("div", { class: "empty" }, h("p", {}, "Choose a conversation, or find a friend."),
        h("a", { class: "primary button", href: "#/people" }, "Find friends"))) };
    }
    listView(list, where === "room" ? what : "");
    view.draw();
  }
  window.addEventListener("hashchange", () => {
    redeem();
    draw();
  });
  store.addEventListener("change", draw);
  draw();
}

async function redeem() {
  const { where, what } = place();
  if (where !== "join") return;
  location.hash = "#/groups";
  try {
    const group = await im("GET", `/invite-links/${what}`);
    const box = dialog(`Join ${group.name}?`,
      h("p", {}, `${localpart(group.invited_by)} invites you. ${group.member_count} members.`),
      h("button", { class: "primary wide", onclick: busy(async () => {
        const answer = await im("POST", `/invite-links/${what}/join`, {});
        box.close();
        if (answer.state === "joined") location.hash = `#/room/${answer.gid}`;
        else notice("They will let you in.");
      }) }, group.approval ? "Ask to join" : "Join"));
  } catch (error) {
    notice(error.message);
  }
}

const profile = () => cs("GET", `/profile/${enc(session.user_id)}`);

async function showMe(changed) {
  const path = `/profile/${enc(session.user_id)}`;
  const { displayname, avatar_url: face } = await profile();
  const name = displayname || localpart(session.user_id);
  const file = h("input", { type: "file", accept: "image/*", hidden: true, onchange: busy(async () => {
    await cs("PUT", `${path}/avatar_url`, { avatar_url: await upload(file.files[0]) });
    await changed();
    box.close();
  }) });
  const box = dialog("You",
    h("div", { class: "portrait" }, avatar(name, session.user_id, face), h("button", { onclick: () => file.click() }, "Choose a picture"), file),
    h("form", { onsubmit: busy(async () => {
      await cs("PUT", `${path}/displayname`, { displayname: box.querySelector("[name=name]").value.trim() });
      await changed();
      box.close();
    }) }, field("Your name", { name: "name", value: name, maxlength: "100" }), h("button", { class: "primary", type: "submit" }, "Save")),
    h("p", { class: "hint" }, "Friends find you as ", h("code", {}, session.user_id)),
    h("button", { class: "wide", onclick: busy(logOut) }, "Log out"));
}

async function enter() {
  show(app, h("p", { class: "loading" }, "Fetching your conversations…"));
  showPicturesWith(picture);
  startCalls();
  follow();
  store.addEventListener("change", () => {
    frame();
    redeem();
  }, { once: true });
}

if (session) enter();
else entrance();
