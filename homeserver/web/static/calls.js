// Calls between two browsers: the server carries the m.call.* events, voices and faces go directly.

import { cs, send, session } from "./api.js";
import { avatar, dialog, h, icon, notice } from "./dom.js";
import { store } from "./store.js";

const VERSION = "1";
let current = null;

export function startCalls() {
  if ("RTCPeerConnection" in window) store.addEventListener("call", ({ detail }) => heard(detail.room, detail.event));
}

export function callButtons(room) {
  if (!("RTCPeerConnection" in window)) return [];
  return [["call", "Call", false], ["video", "Call with video", true]].map(([drawing, label, video]) =>
    h("button", { class: "icon", "aria-label": label, title: label, onclick: () => begin(room, video).catch(failed) }, icon(drawing)));
}

function failed(error) {
  notice(error.name === "NotAllowedError" || error.name === "NotFoundError" ? "No microphone or camera can be used." : error.message);
  current?.end();
}

class Call {
  constructor(room, id) {
    this.room = room;
    this.id = id;
    this.party = session.device_id;
    this.waiting = [];
  }

  async open(video) {
    const turn = await cs("GET", "/voip/turnServer").catch(() => ({}));
    const servers = turn.uris?.length ? [{ urls: turn.uris, username: turn.username, credential: turn.password }] : [];
    this.media = await navigator.mediaDevices.getUserMedia({ audio: true, video });
    this.peer = new RTCPeerConnection({ iceServers: servers });
    for (const track of this.media.getTracks()) this.peer.addTrack(track, this.media);
    const found = [];
    let timer = 0;
    this.peer.onicecandidate = ({ candidate }) => {
      found.push(candidate ? candidate.toJSON() : { candidate: "" });
      clearTimeout(timer);
      timer = setTimeout(() => this.say("candidates", { candidates: found.splice(0) }), 200);
    };
    this.peer.ontrack = ({ streams: [stream] }) => { this.theirs.srcObject = stream; };
    this.peer.onconnectionstatechange = () => {
      this.status.textContent = { connected: "Connected", failed: "The connection failed", disconnected: "Reconnecting…" }[this.peer.connectionState] || "Connecting…";
    };
    this.theirs = h("video", { class: "theirs", autoplay: true, playsInline: true });
    this.mine = h("video", { class: "mine", autoplay: true, playsInline: true, muted: true });
    this.mine.srcObject = this.media;
    this.status = h("p", { class: "hint", role: "status" }, "Calling…");
    this.box = dialog(`Call with ${this.room.title}`, h("div", { class: `call${video ? " video" : ""}` }, video ? null : avatar(this.room.title, this.room.peer), this.theirs, this.mine), this.status,
      h("button", { class: "danger wide", onclick: () => this.hangUp() }, "Hang up"));
    this.box.addEventListener("close", () => current === this && this.hangUp());
  }

  say(kind, more = {}) {
    return send(this.room.id, `m.call.${kind}`, { call_id: this.id, party_id: this.party, version: VERSION, ...more });
  }

  async remote(description) {
    await this.peer.setRemoteDescription(description);
    for (const candidate of this.waiting.splice(0)) await this.add(candidate);
  }

  async add(candidate) {
    if (!this.peer?.remoteDescription) this.waiting.push(candidate);
    else if (candidate.candidate) await this.peer.addIceCandidate(candidate);
  }

  hangUp() {
    this.say("hangup", { reason: "user_hangup" }).catch(() => {});
    this.end();
  }

  end() {
    if (current === this) current = null;
    this.peer?.close();
    this.media?.getTracks().forEach((track) => track.stop());
    this.box?.close();
    this.ring?.close();
  }
}

async function begin(room, video) {
  if (current) throw new Error("You are in a call.");
  const call = (current = new Call(room, crypto.randomUUID()));
  await call.open(video);
  const offer = await call.peer.createOffer();
  await call.peer.setLocalDescription(offer);
  await call.say("invite", { lifetime: 60000, offer: { type: offer.type, sdp: offer.sdp }, invitee: room.peer });
}

async function answer(call, event) {
  const { sdp } = event.content.offer;
  await call.open(/m=video/.test(sdp));
  await call.remote({ type: "offer", sdp });
  const reply = await call.peer.createAnswer();
  await call.peer.setLocalDescription(reply);
  await call.say("answer", { answer: { type: reply.type, sdp: reply.sdp } });
}

function ring(room, event) {
  if (event.origin_server_ts + (event.content.lifetime || 60000) < Date.now()) return;
  const call = new Call(room, event.content.call_id);
  if (current) {
    call.say("reject").catch(() => {});
    return;
  }
  current = call;
  const accept = () => {
    const box = call.ring;
    call.ring = null;
    box.close();
    answer(call, event).catch(failed);
  };
  call.ring = dialog(`${room.name(event.sender)} is calling`,
    h("div", { class: "actions" }, h("button", { class: "primary", onclick: accept }, "Answer"),
      h("button", { class: "danger", onclick: () => {
        call.say("reject").catch(() => {});
        call.end();
      } }, "Decline")));
}

function heard(room, event) {
  const { content } = event;
  const own = event.sender === session.user_id;
  if (event.type === "m.call.invite") {
    if (!own) ring(room, event);
    return;
  }
  const call = current;
  if (!call || content.call_id !== call.id || content.party_id === call.party) return;
  if (own) {
    // Another device of ours has answered.
    if (["m.call.answer", "m.call.reject"].includes(event.type)) call.end();
  } else if (event.type === "m.call.answer") {
    call.remote(content.answer).then(() => call.say("select_answer", { selected_party_id: content.party_id })).catch(failed);
  } else if (event.type === "m.call.candidates") {
    for (const candidate of content.candidates) call.add(candidate).catch(() => {});
  } else if (["m.call.hangup", "m.call.reject"].includes(event.type)) {
    notice("The call has ended.");
    call.end();
  }
}
