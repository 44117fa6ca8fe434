// Two people organise a party: a space with rooms, pictures, threads, reactions, edits, and a search for it all.

import "./node20.mjs";

import zlib from "node:zlib";

import { check, comes, register, run, say, seesMembership, seesMessage, start } from "./people.mjs";

// A PNG of one colour: header, pixels and end, each with its checksum.
function picture(width, height) {
  const chunk = (type, data) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(data.length);
    const checksum = Buffer.alloc(4);
    checksum.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, checksum]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  const row = Buffer.concat([Buffer.from([0]), Buffer.alloc(width * 3, 0x80)]);
  const pixels = zlib.deflateSync(Buffer.concat(Array(height).fill(row)));
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([signature, chunk("IHDR", header), chunk("IDAT", pixels), chunk("IEND", Buffer.alloc(0))]);
}

function crc32(data) {
  let crc = 0xffffffff;
  for (const byte of data) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}

async function fetchFile(client, uri, ...size) {
  const url = client.mxcUrlToHttp(uri, size[0], size[1], size[2], false, true, true);
  return await fetch(url, { headers: { Authorization: `Bearer ${client.getAccessToken()}` } });
}

async function organises(alice, bob) {
  const { room_id: spaceId } = await alice.createRoom({
    name: "The party",
    creation_content: { type: "m.space" },
    invite: [bob.getUserId()],
  });
  const { room_id: roomId } = await alice.createRoom({
    name: "Music",
    initial_state: [
      {
        type: "m.room.join_rules",
        state_key: "",
        content: { join_rule: "restricted", allow: [{ type: "m.room_membership", room_id: spaceId }] },
      },
    ],
  });
  const via = [alice.getDomain()];
  await alice.sendStateEvent(spaceId, "m.space.child", { via, suggested: true, order: "a" }, roomId);
  await alice.sendStateEvent(roomId, "m.space.parent", { via, canonical: true }, spaceId);

  let refused;
  await bob.joinRoom(roomId).catch((error) => (refused = error));
  check(refused?.errcode === "M_FORBIDDEN", "nobody from outside the space comes in");
  await seesMembership(bob, spaceId, "invite");
  check(bob.getRoom(spaceId).isSpaceRoom(), "the invited see that it is a space");
  await bob.joinRoom(spaceId);
  const { rooms } = await bob.getRoomHierarchy(spaceId, 50, 3);
  check(rooms.map((room) => room.name).join() === "The party,Music", "the space has its room");
  check(rooms[0].children_state[0].content.suggested === true, "the room is suggested");
  const summary = await bob.getRoomSummary(roomId, via);
  check(summary.name === "Music" && summary.num_joined_members === 1, "the room has a summary");
  await bob.joinRoom(roomId);
  await seesMembership(bob, roomId, "join");
  say("organised a space");
  return roomId;
}

async function shares(alice, bob, roomId) {
  const data = picture(200, 100);
  const { content_uri: uri } = await alice.uploadContent(new Blob([data], { type: "image/png" }), { name: "cover.png" });
  await alice.sendImageMessage(roomId, uri, { mimetype: "image/png", w: 200, h: 100, size: data.length }, "cover");
  const shown = (await seesMessage(bob, roomId, "cover")).getContent();
  const whole = await fetchFile(bob, shown.url);
  check(whole.status === 200 && whole.headers.get("content-type") === "image/png", "the picture is there");
  check(Buffer.from(await whole.arrayBuffer()).equals(data), "the picture is as it was");
  const small = await fetchFile(bob, shown.url, 32, 32, "scale");
  const { length } = Buffer.from(await small.arrayBuffer());
  check(small.status === 200 && length > 0 && length < 5_000, "there is a thumbnail");
  const stranger = await fetch(bob.mxcUrlToHttp(shown.url, undefined, undefined, undefined, false, true, true));
  check(stranger.status === 401, "strangers do not get it");
  const { "m.upload.size": largest } = await bob.getMediaConfig(true);
  check(largest > 1_000_000, "the largest size is told");
  say("shared a picture");
}

async function discusses(alice, bob, roomId) {
  const { event_id: rootId } = await alice.sendTextMessage(roomId, "which song first?");
  // A client that opens a thread panel begins the thread, as far as it is concerned.
  for (const client of [alice, bob]) {
    const root = await seesMessage(client, roomId, "which song first?");
    client.getRoom(roomId).createThread(rootId, root, [], false);
  }
  const { event_id: replyId } = await bob.sendTextMessage(roomId, rootId, "the long one");
  await alice.sendTextMessage(roomId, rootId, "the short one");
  const thread = alice.getRoom(roomId).getThread(rootId);
  await comes(() => thread.length === 2, "both replies in the thread");
  await alice.sendEvent(roomId, rootId, "m.reaction", {
    "m.relates_to": { rel_type: "m.annotation", event_id: replyId, key: "🎉" },
  });
  const { chunk } = await comes(async () => {
    const found = await bob.fetchRelations(roomId, replyId, "m.annotation", "m.reaction");
    return found.chunk.length ? found : undefined;
  }, "the reaction");
  check(chunk[0].content["m.relates_to"].key === "🎉", "the reaction is on the reply");
  await bob.sendMessage(roomId, rootId, {
    msgtype: "m.text",
    body: "* the longest one",
    "m.new_content": { msgtype: "m.text", body: "the longest one" },
    "m.relates_to": { rel_type: "m.replace", event_id: replyId },
  });
  await comes(
    () => thread.findEventById(replyId)?.getContent().body === "the longest one",
    "alice seeing the edit in the thread",
  );
  const fresh = await bob.fetchRoomEvent(roomId, rootId);
  const { count, current_user_participated: took } = fresh.unsigned["m.relations"]["m.thread"];
  check(count === 2 && took === true, "the root sums its thread up");
  const room = alice.getRoom(roomId);
  await room.createThreadsTimelineSets();
  await room.fetchRoomThreads();
  check(room.getThreads().some((one) => one.id === rootId), "the thread is listed");
  say("discussed in a thread");
}

async function finds(alice, bob, roomId) {
  const results = await comes(async () => {
    const found = await bob.searchRoomEvents({ term: "song", filter: { rooms: [roomId] } });
    return found.count ? found : undefined;
  }, "the search to find something");
  check(results.results[0].context.getEvent().getContent().body === "which song first?", "the right words are found");
  check(results.highlights.includes("song"), "what was searched for is told");
  const nothing = await bob.searchRoomEvents({ term: "symphony" });
  check(nothing.count === 0, "what nobody said is not found");
  const { results: people } = await bob.searchUserDirectory({ term: alice.getUserIdLocalpart(), limit: 5 });
  check(people.some((one) => one.user_id === alice.getUserId()), "people are found");
  const mutual = await bob._unstable_getSharedRooms(alice.getUserId());
  check(mutual.includes(roomId), "the rooms in common are told");
  say("found everything again");
}

await run(async (baseUrl) => {
  const alice = await start(baseUrl, await register(baseUrl, "alice", "wonderland-1"));
  const bob = await start(baseUrl, await register(baseUrl, "bob", "builder-2"));
  const roomId = await organises(alice, bob);
  await shares(alice, bob, roomId);
  await discusses(alice, bob, roomId);
  await finds(alice, bob, roomId);
});
