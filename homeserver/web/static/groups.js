// Groups: making, finding and running them, through /im/v1.

import { blob, enc, im, session } from "./api.js";
import { avatar, busy, choice, dialog, field, h, localpart, notice, show } from "./dom.js";
import { friendships, GROUP, joined, requests, rooms, until } from "./store.js";

async function enter(gid) {
  await until(() => rooms.get(gid)?.membership === "join");
  location.hash = `#/room/${enc(gid)}`;
}

function create() {
  const people = friendships().map((room) => h("label", { class: "check" },
    h("input", { type: "checkbox", name: "member", value: room.peer }), avatar(room.title, room.peer), room.title));
  const box = dialog("New group", h("form", { onsubmit: busy(async (event) => {
    const form = event.target;
    const members = [...form.querySelectorAll("[name=member]:checked")].map((one) => one.value);
    const mode = form.elements.join_mode.value;
    const group = await im("POST", "/groups", {
      name: form.elements.name.value, description: form.elements.description.value || null, members,
      join_mode: mode, searchable: mode !== "invite",
    });
    box.close();
    await enter(group.gid);
  }) }, field("Name", { name: "name", required: true, maxlength: "100" }), field("What it is about", { name: "description" }),
  choice("Who joins", "join_mode", [["invite", "Whoever is invited"], ["approval", "Whoever asks and is let in"], ["open", "Everybody"]]),
  people.length ? h("fieldset", {}, h("legend", {}, "Invite"), people) : null,
  h("button", { class: "primary wide", type: "submit" }, "Create group")));
}

export function groupsView(main) {
  const invited = h("section", { "aria-live": "polite" });
  const own = h("section");
  const found = h("section", { "aria-live": "polite" });
  const search = h("form", { class: "card", role: "search", onsubmit: busy(async () => {
    const { items } = await im("GET", `/groups/search?q=${enc(search.elements.q.value)}`);
    show(found, h("h2", {}, "Found"), items.length ? items.map((group) => h("div", { class: "card row" }, avatar(group.name, group.gid),
      h("div", { class: "grow" }, h("strong", {}, group.name), h("p", { class: "hint" }, `${group.member_count} members · ${group.number || ""}`)),
      h("button", { class: "primary", onclick: busy(async () => {
        const answer = await im("POST", `/groups/${enc(group.gid)}/requests`, {});
        if (answer.state === "joined") await enter(group.gid);
        else notice("They will let you in.");
      }) }, group.join_mode === "open" ? "Join" : "Ask to join"))) : h("p", { class: "hint" }, "No group of this name wants to be found."));
  }) }, h("h2", {}, "Find a group"), field("Name or number", { name: "q", required: true, type: "search" }),
  h("button", { type: "submit" }, "Search"));
  show(main, h("div", { class: "page" }, h("div", { class: "row" }, h("h1", { class: "grow" }, "Groups"),
    h("button", { class: "primary", onclick: create }, "New group")), invited, own, search, found));

  function draw() {
    show(invited, requests().filter((room) => room.type === GROUP).map((room) => h("div", { class: "card row" }, avatar(room.title, room.id),
      h("div", { class: "grow" }, h("strong", {}, room.title), h("p", { class: "hint" }, "You are invited")),
      h("button", { class: "primary", onclick: busy(async () => {
        await im("PUT", `/groups/${enc(room.id)}/invitations/${enc(session.user_id)}`, { action: "accept" });
        await enter(room.id);
      }) }, "Join"),
      h("button", { onclick: busy(() => im("PUT", `/groups/${enc(room.id)}/invitations/${enc(session.user_id)}`, { action: "reject" })) }, "Decline"))));
    const groups = joined().filter((room) => room.kind === "group");
    show(own, groups.length ? groups.map((room) => h("a", { class: "card row", href: `#/room/${enc(room.id)}` }, avatar(room.title, room.id),
      h("div", { class: "grow" }, h("strong", {}, room.title),
        h("p", { class: "hint" }, room.content("m.room.topic").topic || `${room.members().length} members`))))
      : h("p", { class: "hint" }, "You are in no group yet."));
  }
  return { draw };
}

async function shareLink(gid, box) {
  const link = await im("POST", `/groups/${enc(gid)}/invite-links`, {});
  const url = `${location.origin}/#/join/${link.token}`;
  const code = await blob(`/im/v1/groups/${enc(gid)}/invite-links/${link.link_id}/qr.svg`);
  show(box, h("img", { class: "code", src: code, alt: "The link as a QR code" }),
    h("input", { readonly: true, value: url, "aria-label": "Invite link", onfocus: (event) => event.target.select() }),
    h("button", { onclick: busy(async () => {
      await navigator.clipboard.writeText(url);
      notice("Copied.");
    }) }, "Copy link"));
}

export async function groupPanel(room) {
  const gid = enc(room.id);
  const group = await im("GET", `/groups/${gid}`);
  const { items: members } = await im("GET", `/groups/${gid}/members?limit=100`);
  const announcement = await announcementOf(room);
  const leads = group.my_role !== "member";
  const asking = leads && group.join_mode === "approval" ? (await im("GET", `/groups/${gid}/requests`)).items : [];
  const again = () => {
    box.close();
    groupPanel(room);
  };
  const act = (method, path, body) => busy(async () => {
    await im(method, `/groups/${gid}${path}`, body);
    again();
  });
  const link = h("div", { class: "link-box" });
  const box = dialog(group.name,
    h("p", { class: "hint" }, [group.description, group.number && `Number ${group.number}`].filter(Boolean).join(" · ")),
    announcement ? h("blockquote", {}, h("strong", {}, "Announcement"), h("p", {}, announcement.text)) : null,
    asking.map((one) => h("div", { class: "card row" }, avatar(one.nickname, one.user_id, one.avatar),
      h("div", { class: "grow" }, h("strong", {}, localpart(one.user_id)), h("p", { class: "hint" }, one.message || "asks to join")),
      h("button", { class: "primary", onclick: act("PUT", `/requests/${enc(one.user_id)}`, { action: "accept" }) }, "Let in"),
      h("button", { onclick: act("PUT", `/requests/${enc(one.user_id)}`, { action: "reject" }) }, "Decline"))),
    h("ul", { class: "members" }, members.map((member) => h("li", { class: "row" }, avatar(member.nickname, member.user_id, member.avatar),
      h("span", { class: "grow" }, room.name(member.user_id), member.role === "member" ? null : h("span", { class: "role" }, member.role)),
      leads && member.role === "member" ? h("button", { class: "small", onclick: act("PATCH", `/members/${enc(member.user_id)}`,
        member.muted ? { muted: false } : { muted_until: Date.now() + 600000 }) }, member.muted ? "Unmute" : "Mute 10 min") : null,
      group.my_role === "owner" && member.role !== "owner" ? h("button", { class: "small", onclick: act("PATCH", `/members/${enc(member.user_id)}`,
        { role: member.role === "admin" ? "member" : "admin" }) }, member.role === "admin" ? "Not admin" : "Make admin") : null,
      leads && member.role === "member" ? h("button", { class: "small", onclick: act("DELETE", `/members/${enc(member.user_id)}`) }, "Remove") : null))),
    h("div", { class: "actions" },
      h("button", { onclick: busy(() => shareLink(room.id, link)) }, "Invite by link or QR code"),
      leads ? h("button", { onclick: act("PUT", "/mute", { enabled: !group.muted_all }) }, group.muted_all ? "Let everybody speak" : "Let only admins speak") : null,
      leads ? h("button", { onclick: busy(async () => {
        const text = prompt("Announce to everybody");
        if (text) await im("PUT", `/groups/${gid}/announcement`, { text }).then(again);
      }) }, "Announce") : null,
      h("button", { onclick: busy(async () => {
        await im("POST", `/groups/${gid}/leave`, {});
        box.close();
        location.hash = "#/chats";
      }) }, "Leave"),
      group.my_role === "owner" ? h("button", { class: "danger", onclick: busy(async () => {
        if (!confirm(`Dissolve ${group.name}? Nobody can undo this.`)) return;
        await im("DELETE", `/groups/${gid}`);
        box.close();
        location.hash = "#/chats";
      }) }, "Dissolve") : null), link);
}

async function announcementOf(room) {
  return im("GET", `/groups/${enc(room.id)}/announcement`).catch(() => null);
}
