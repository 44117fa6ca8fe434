// Two people register, meet in a room, talk, and see each other through /sync.

import "./node20.mjs";

import * as sdk from "matrix-js-sdk";
import { check, login, register, run, say, sees, seesMembership, seesMessage, start } from "./people.mjs";

await run(async (baseUrl) => {
  const aliceSession = await register(baseUrl, "alice", "wonderland-1");
  const bobSession = await register(baseUrl, "bob", "builder-2");
  const alice = await start(baseUrl, aliceSession);
  const bob = await start(baseUrl, bobSession);
  say("registered and in sync");

  const { room_id: roomId } = await alice.createRoom({
    preset: sdk.Preset.PrivateChat,
    name: "Tea",
    invite: [bob.getUserId()],
  });
  await seesMembership(bob, roomId, "invite");
  check(bob.getRoom(roomId).name === "Tea", "the invited see the name of the room");
  await bob.joinRoom(roomId);
  await seesMembership(bob, roomId, "join");
  await sees(
    alice,
    ["RoomState.members", "sync"],
    () => alice.getRoom(roomId)?.getMember(bob.getUserId())?.membership === "join",
    "alice seeing bob join",
  );
  say("met");

  const { event_id: first } = await alice.sendTextMessage(roomId, "hello");
  const heard = await seesMessage(bob, roomId, "hello");
  check(heard.getId() === first, "what is heard is what was said");
  await bob.sendTextMessage(roomId, "hello yourself");
  await seesMessage(alice, roomId, "hello yourself");
  say("talked");

  await bob.sendTyping(roomId, true, 20_000);
  await sees(
    alice,
    ["RoomMember.typing"],
    () => alice.getRoom(roomId).getMember(bob.getUserId())?.typing,
    "alice seeing bob type",
  );
  const { event_id: second } = await alice.sendTextMessage(roomId, "cake?");
  await bob.sendReadReceipt(await seesMessage(bob, roomId, "cake?"));
  await sees(
    alice,
    ["Room.receipt"],
    () => alice.getRoom(roomId).getUsersReadUpTo(alice.getRoom(roomId).findEventById(second)).includes(bob.getUserId()),
    "alice seeing that bob has read it",
  );
  say("typed and read");

  const reaction = { "m.relates_to": { rel_type: "m.annotation", event_id: first, key: "👍" } };
  await bob.sendEvent(roomId, "m.reaction", reaction);
  await sees(
    alice,
    ["Room.timeline"],
    () => alice.getRoom(roomId).getLiveTimeline().getEvents().some((event) => event.getType() === "m.reaction"),
    "alice seeing the reaction",
  );
  const edited = {
    msgtype: "m.text",
    body: "* hello there",
    "m.new_content": { msgtype: "m.text", body: "hello there" },
    "m.relates_to": { rel_type: "m.replace", event_id: first },
  };
  await alice.sendMessage(roomId, edited);
  await sees(
    bob,
    ["Event.replaced", "Room.timeline", "sync"],
    () => bob.getRoom(roomId).findEventById(first).getContent().body === "hello there",
    "bob seeing the edit",
  );
  await alice.redactEvent(roomId, first);
  await sees(
    bob,
    ["Room.redaction", "sync"],
    () => bob.getRoom(roomId).findEventById(first).isRedacted(),
    "bob seeing the redaction",
  );
  say("reacted, edited, redacted");

  await alice.setRoomTopic(roomId, "cakes");
  await sees(
    bob,
    ["RoomState.events"],
    () => bob.getRoom(roomId).currentState.getStateEvents("m.room.topic", "")?.getContent().topic === "cakes",
    "bob seeing the topic",
  );
  await alice.setDisplayName("Alice Liddell");
  await sees(
    bob,
    ["RoomState.members", "RoomMember.name"],
    () => bob.getRoom(roomId).getMember(alice.getUserId())?.rawDisplayName === "Alice Liddell",
    "bob seeing the new name",
  );
  say("changed topic and name");

  const again = await start(baseUrl, await login(baseUrl, bob.getUserId(), "builder-2"));
  check(again.getDeviceId() !== bob.getDeviceId(), "another login is another device");
  await seesMessage(again, roomId, "hello yourself");
  const room = again.getRoom(roomId);
  await again.scrollback(room, 50);
  check(
    room.getLiveTimeline().getEvents().some((event) => event.getType() === "m.room.create"),
    "scrolling back leads to the beginning",
  );
  say("looked from another device");

  await bob.leave(roomId);
  await seesMembership(again, roomId, "leave");
  await alice.logout(true);
  say("left");
});
