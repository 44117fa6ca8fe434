// Moments: what friends have posted, and a place to post.

import { enc, im, picture, session, upload } from "./api.js";
import { avatar, busy, choice, h, icon, show, when } from "./dom.js";
import { known } from "./store.js";

const AUDIENCES = { friends: "Friends", public: "Everybody", private: "Only me" };

function shown(media) {
  const image = h("img", { alt: media.alt || "Picture", loading: "lazy" });
  picture(media.mxc, 800).catch(() => picture(media.mxc)).then((url) => { image.src = url; }).catch(() => {});
  return image;
}

function card(item, refresh) {
  const path = `/moments/${enc(item.moment_id)}`;
  const own = item.author === session.user_id;
  const author = known(item.author);
  const act = (method, rest, body) => busy(async () => {
    await im(method, path + rest, body);
    await refresh();
  });
  const reply = h("form", { class: "reply", onsubmit: busy(async (event) => {
    const body = event.target.elements.body.value.trim();
    if (!body) return;
    await im("POST", `${path}/comments`, { body });
    await refresh();
  }) }, h("input", { name: "body", placeholder: "Say something", "aria-label": "Comment", maxlength: "2000" }), h("button", { type: "submit", class: "small" }, "Send"));
  return h("article", { class: "moment card" },
    h("header", { class: "row" }, avatar(author.name, item.author, author.picture),
      h("div", { class: "grow" }, h("strong", {}, author.name), h("p", { class: "hint" }, `${when(item.ts)} · ${AUDIENCES[item.visibility]}`)),
      own ? h("button", { class: "icon", "aria-label": "Delete this moment", onclick: act("DELETE", "") }, icon("remove")) : null),
    item.text ? h("p", { class: "text" }, item.text) : null,
    item.location ? h("p", { class: "hint" }, `at ${item.location.name || item.location.geo_uri}`) : null,
    item.media.length ? h("div", { class: `pictures n${Math.min(item.media.length, 4)}` }, item.media.map(shown)) : null,
    h("div", { class: "row" }, h("button", { class: `like${item.liked ? " liked" : ""}`, "aria-pressed": String(item.liked),
      "aria-label": `Like, ${item.like_count}`, onclick: act(item.liked ? "DELETE" : "PUT", "/like", item.liked ? undefined : {}) },
    `${item.liked ? "♥" : "♡"} ${item.like_count || ""}`),
    h("span", { class: "hint" }, item.likes.map((user) => known(user).name).join(", "))),
    h("ul", { class: "comments" }, item.comments.map((one) => h("li", {}, h("strong", {}, known(one.user_id).name), " ", one.body,
      own || one.user_id === session.user_id
        ? h("button", { class: "icon", "aria-label": "Delete this comment", onclick: act("DELETE", `/comments/${enc(one.comment_id)}`) }, icon("close")) : null))),
    reply);
}

export function momentsView(main) {
  const feed = h("section", { "aria-label": "Moments" });
  const chosen = h("p", { class: "hint", "aria-live": "polite" });
  const files = h("input", { type: "file", name: "files", accept: "image/*", multiple: true, hidden: true, onchange: () => {
    chosen.textContent = [...files.files].map((file) => file.name).join(", ");
  } });
  const form = h("form", { class: "card", onsubmit: busy(async () => {
    const media = [];
    for (const file of [...files.files].slice(0, 9)) media.push({ mxc: await upload(file), mimetype: file.type, alt: file.name });
    await im("POST", "/moments", { text: form.elements.text.value, media, visibility: form.elements.visibility.value });
    form.reset();
    chosen.textContent = "";
    await refresh();
  }) }, h("textarea", { name: "text", rows: 2, placeholder: "What is new?", "aria-label": "What is new?" }), chosen,
  h("div", { class: "row" }, files, h("button", { type: "button", class: "icon", "aria-label": "Add pictures", onclick: () => files.click() }, icon("picture")),
    h("div", { class: "grow" }, choice("For", "visibility", Object.entries(AUDIENCES))), h("button", { class: "primary", type: "submit" }, "Post")));
  show(main, h("div", { class: "page" }, h("h1", {}, "Moments"), form, feed));

  let before = "";
  async function refresh() {
    const { items } = await im("GET", "/moments/timeline?limit=50");
    const key = JSON.stringify(items);
    if (key === before) return;
    before = key;
    show(feed, items.length ? items.map((item) => card(item, refresh)) : h("p", { class: "hint" }, "Nothing yet. Your friends will see what you post."));
  }
  let waiting = 0;
  return {
    draw: () => {
      if (feed.contains(document.activeElement) && document.activeElement.value) return;
      clearTimeout(waiting);
      waiting = setTimeout(() => refresh().catch(() => {}), before ? 300 : 0);
    },
    close: () => clearTimeout(waiting),
  };
}
