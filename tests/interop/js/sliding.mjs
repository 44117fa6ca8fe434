// Somebody who follows by sliding sync and somebody who polls meet, talk encrypted, type and read.

import "./node20.mjs";

import * as sdk from "matrix-js-sdk";
import { SlidingSync } from "matrix-js-sdk/lib/sliding-sync.js";
import { check, register, run, say, sees, seesMembership, seesMessage, start } from "./people.mjs";

const EVERYTHING = [["*", "*"]];

// A client for a session that follows by sliding sync, with crypto.
async function slide(baseUrl, session) {
  const client = sdk.createClient({
    baseUrl,
    userId: session.user_id,
    deviceId: session.device_id,
    accessToken: session.access_token,
  });
  await client.initRustCrypto({ useIndexedDB: false });
  const lists = new Map([["rooms", { ranges: [[0, 19]], timeline_limit: 5, required_state: EVERYTHING }]]);
  const looking = { timeline_limit: 20, required_state: EVERYTHING };
  const slidingSync = new SlidingSync(baseUrl, lists, looking, client, 5_000);
  await client.startClient({ slidingSync });
  await sees(client, ["sync"], () => client.isInitialSyncComplete(), "the first answer");
  return { client, slidingSync };
}

await run(async (baseUrl) => {
  const alice = await start(baseUrl, await register(baseUrl, "alice", "wonderland-1"), { encrypted: true });
  const { client: bob, slidingSync } = await slide(baseUrl, await register(baseUrl, "bob", "builder-2"));
  say("one polls and one slides");

  const { room_id: roomId } = await alice.createRoom({
    preset: "trusted_private_chat",
    name: "Tea",
    invite: [bob.getUserId()],
    initial_state: [
      { type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } },
    ],
  });
  await seesMembership(bob, roomId, "invite");
  await bob.joinRoom(roomId);
  await seesMembership(bob, roomId, "join");
  slidingSync.modifyRoomSubscriptions(new Set([roomId]));
  await sees(
    alice,
    ["RoomState.members", "sync"],
    () => alice.getRoom(roomId)?.getMember(bob.getUserId())?.membership === "join",
    "alice seeing bob join",
  );
  check(bob.getRoom(roomId).name === "Tea", "the room has its name");
  say("met");

  for (let number = 0; number < 3; number++) {
    await alice.sendTextMessage(roomId, `psst ${number}`);
    const heard = await seesMessage(bob, roomId, `psst ${number}`);
    check(heard.getWireType() === "m.room.encrypted", "it went over the wire encrypted");
    await bob.sendTextMessage(roomId, `yes? ${number}`);
    await seesMessage(alice, roomId, `yes? ${number}`);
  }
  const bodies = bob.getRoom(roomId).getLiveTimeline().getEvents().map((event) => event.getContent().body);
  check(bodies.filter((body) => body === "psst 1").length === 1, "nothing is told twice");
  say("talked in secret");

  await alice.sendTyping(roomId, true, 20_000);
  await sees(
    bob,
    ["RoomMember.typing"],
    () => bob.getRoom(roomId).getMember(alice.getUserId())?.typing,
    "bob seeing alice type",
  );
  const mine = bob.getRoom(roomId).getLiveTimeline().getEvents().find((one) => one.getContent().body === "yes? 2");
  await alice.sendReadReceipt(await seesMessage(alice, roomId, "yes? 2"));
  await sees(
    bob,
    ["Room.receipt"],
    () => bob.getRoom(roomId).getUsersReadUpTo(mine).includes(alice.getUserId()),
    "bob seeing that alice has read it",
  );
  await bob.setRoomTag(roomId, "m.favourite", { order: 0.5 });
  await sees(bob, ["Room.tags"], () => bob.getRoom(roomId).tags["m.favourite"], "the tag");
  await alice.setRoomTopic(roomId, "cakes");
  await sees(
    bob,
    ["RoomState.events"],
    () => bob.getRoom(roomId).currentState.getStateEvents("m.room.topic", "")?.getContent().topic === "cakes",
    "the topic",
  );
  say("typed, read, tagged");

  await bob.leave(roomId);
  await seesMembership(bob, roomId, "leave");
  say("left");
});
