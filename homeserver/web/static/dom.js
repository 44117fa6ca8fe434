// Elements without markup: text stays text, so nothing that people write can become part of the page.

export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && typeof value !== "string") element[name] = value;
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function show(element, ...children) {
  element.replaceChildren(...children.flat(9).filter(Boolean));
  return element;
}

let noticeTimer = 0;

export function notice(text) {
  const element = document.getElementById("notice");
  element.textContent = text;
  element.classList.add("shown");
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => element.classList.remove("shown"), 5000);
}

// Runs what a button starts; what goes wrong is said, and the button waits meanwhile.
export function busy(action) {
  return async (event) => {
    event.preventDefault();
    const button = event.submitter || event.currentTarget.closest("button") || event.currentTarget;
    button.disabled = true;
    try {
      await action(event);
    } catch (error) {
      notice(error.message);
    } finally {
      button.disabled = false;
    }
  };
}

export function field(label, props) {
  return h("label", { class: "field" }, h("span", {}, label), h(props.rows ? "textarea" : "input", props));
}

export function choice(label, name, options) {
  return h("label", { class: "field" }, h("span", {}, label),
    h("select", { name }, options.map(([value, text]) => h("option", { value }, text))));
}

export function dialog(title, ...content) {
  const element = h("dialog", { "aria-label": title, onclose: () => element.remove() },
    h("header", {}, h("h2", {}, title),
      h("button", { class: "icon", "aria-label": "Close", onclick: () => element.close() }, icon("close"))),
    content);
  document.body.append(element);
  element.showModal();
  return element;
}

export function localpart(id) {
  return id.slice(1).split(":")[0];
}

let loadPicture = () => Promise.reject(new Error("nobody shows pictures yet"));

export function showPicturesWith(load) {
  loadPicture = load;
}

// A face: the picture if there is one, and meanwhile the first letter.
export function avatar(name, id, mxc = null) {
  let sum = 0;
  for (const character of id) sum = (sum * 31 + character.codePointAt(0)) % 997;
  const face = h("span", { class: `avatar c${sum % 8}`, "aria-hidden": "true" }, [...name.replace(/^[@#!]/, "")][0]?.toUpperCase() || "?");
  if (mxc?.startsWith("mxc://")) {
    loadPicture(mxc, 96).catch(() => loadPicture(mxc)).then((url) => face.replaceChildren(h("img", { src: url, alt: "" }))).catch(() => {});
  }
  return face;
}

export function day(ts) {
  const date = new Date(ts);
  const days = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(ts).setHours(0, 0, 0, 0)) / 86400000);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  return date.toLocaleDateString([], { weekday: "long", day: "numeric", month: "long" });
}

export function clock(ts) {
  return new Date(ts).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

export function when(ts) {
  const date = new Date(ts);
  const sameDay = date.toDateString() === new Date().toDateString();
  return sameDay ? clock(ts) : date.toLocaleDateString([], { day: "numeric", month: "short" });
}

// Drawn here, since not every system has a font with pictures.
const PATHS = {
  chats: "M4 5h16v11H10l-4 4v-4H4z",
  people: "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2 20c0-4 3-6 7-6s7 2 7 6M16 4.5a3.3 3.3 0 0 1 0 6.2M18 14.5c2.5.8 4 2.600 4 5.500",
  groups: "M12 4l9 16H3zM12 13l4 7H8z",
  moments: "M12 3l2.500 6.500L21 12l-6.500 2.500L12 21l-2.500-6.500L3 12l6.500-2.500z",
  picture: "M3 5h18v14H3zM3 16l5-5 4 4 3-3 6 5M16 9.500h.01",
  call: "M6 3l3 5-2 2c1 3 4 6 7 7l2-2 5 3c0 2-2 3-4 3C10 20 4 14 3 7c0-2 1-4 3-4z",
  video: "M3 6h12v12H3zM15 10l6-3v10l-6-3z",
  info: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 11v6M12 7.500h.01",
  send: "M4 12L20 4l-4 16-4-7z",
  more: "M12 6.500h.01M12 12h.01M12 17.500h.01",
  remove: "M5 7h14M9 7V4h6v3M7 7l1 13h8l1-13",
  close: "M6 6l12 12M18 6L6 18",
  back: "M15 5l-7 7 7 7",
};

export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const drawing = document.createElementNS(space, "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", "aria-hidden": "true", class: "drawn" })) drawing.setAttribute(key, value);
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", PATHS[name]);
  drawing.append(path);
  return drawing;
}
