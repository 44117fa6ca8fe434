// The server: the Matrix client-server API under /_matrix, and what it lacks under /im/v1.

const KEY = "hearth.session";
const CS = "/_matrix/client/v3";
export const enc = encodeURIComponent;

export let session = JSON.parse(localStorage.getItem(KEY) || "null");

function keep(answer) {
  session = answer && { user_id: answer.user_id, device_id: answer.device_id, access_token: answer.access_token };
  if (session) localStorage.setItem(KEY, JSON.stringify(session));
  else localStorage.removeItem(KEY);
}

export class Refusal extends Error {
  constructor(status, body) {
    super(body.error || `The server answered ${status}.`);
    this.status = status;
    this.errcode = body.errcode;
    this.body = body;
  }
}

export async function call(method, path, body, { signal, type } = {}) {
  const headers = {};
  if (session) headers.Authorization = `Bearer ${session.access_token}`;
  if (type) headers["Content-Type"] = type;
  else if (body !== undefined) headers["Content-Type"] = "application/json";
  const sent = type || body === undefined ? body : JSON.stringify(body);
  const response = await fetch(path, { method, headers, body: sent, signal });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    if (response.status === 401 && answer.errcode === "M_UNKNOWN_TOKEN") {
      keep(null);
      location.reload();
    }
    throw new Refusal(response.status, answer);
  }
  return answer;
}

export const cs = (method, path, body, options) => call(method, CS + path, body, options);
export const im = (method, path, body) => call(method, "/im/v1" + path, body);

export async function signUp(username, password) {
  const body = { username, password, initial_device_display_name: "Hearth page" };
  try {
    keep(await cs("POST", "/register", body));
  } catch (error) {
    if (error.status !== 401 || !error.body.flows) throw error;
    const stages = error.body.flows.find((flow) => flow.stages.every((stage) => stage === "m.login.dummy"));
    if (!stages) throw new Error("This server asks for more than a name and a password; use another client to sign up.");
    keep(await cs("POST", "/register", { ...body, auth: { type: "m.login.dummy", session: error.body.session } }));
  }
}

export async function logIn(user, password) {
  keep(await cs("POST", "/login", {
    type: "m.login.password", identifier: { type: "m.id.user", user }, password, initial_device_display_name: "Hearth page",
  }));
}

export async function logOut() {
  await cs("POST", "/logout", {}).catch(() => {});
  keep(null);
  location.hash = "";
  location.reload();
}

let txn = 0;

export function send(room, type, content) {
  return cs("PUT", `/rooms/${enc(room)}/send/${type}/${Date.now()}.${txn++}`, content);
}

export async function upload(file) {
  const answer = await call("POST", `/_matrix/media/v3/upload?filename=${enc(file.name)}`, file,
    { type: file.type || "application/octet-stream" });
  return answer.content_uri;
}

const pictures = new Map();

// Media need the token, which an <img> cannot send: they are fetched, and shown from memory.
export function picture(mxc, size = 0) {
  const key = `${mxc} ${size}`;
  if (!pictures.has(key)) {
    const path = mxc.slice("mxc://".length).split("/").map(enc).join("/");
    const url = size
      ? `/_matrix/client/v1/media/thumbnail/${path}?width=${size}&height=${size}&method=scale`
      : `/_matrix/client/v1/media/download/${path}`;
    pictures.set(key, blob(url));
  }
  return pictures.get(key);
}

export async function blob(url) {
  const response = await fetch(url, { headers: { Authorization: `Bearer ${session.access_token}` } });
  if (!response.ok) throw new Error("The picture is not available.");
  return URL.createObjectURL(await response.blob());
}
