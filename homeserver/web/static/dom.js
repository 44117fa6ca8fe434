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
      h("button", { class: "icon", "aria-label": "Close", onclick: () => element.close() }, "✕")),
    content);
  document.body.append(element);
  element.showModal();
  return element;
}

export function localpart(id) {
  return id.slice(1).split(":")[0];
}

export function avatar(name, id) {
  let sum = 0;
  for (const character of id) sum = (sum * 31 + character.codePointAt(0)) % 997;
  return h("span", { class: `avatar c${sum % 8}`, "aria-hidden": "true" }, [...name.replace(/^[@#!]/, "")][0]?.toUpperCase() || "?");
}

export function clock(ts) {
  return new Date(ts).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

export function when(ts) {
  const date = new Date(ts);
  const sameDay = date.toDateString() === new Date().toDateString();
  return sameDay ? clock(ts) : date.toLocaleDateString([], { day: "numeric", month: "short" });
}
