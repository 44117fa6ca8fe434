// Somebody on matrix-js-sdk talks encrypted with somebody on another client, and they verify each other's devices.

import { VerificationPhase } from "matrix-js-sdk/lib/crypto-api/index.js";

import { check, register, run, say, sees, seesMembership, seesMessage, start } from "./people.mjs";

await run(async (baseUrl) => {
  const [otherUser, otherDevice] = process.argv.slice(3);
  const client = await start(baseUrl, await register(baseUrl, "jane", "pride-1"), { encrypted: true });
  const crypto = client.getCrypto();
  say(`${client.getUserId()} ${client.getDeviceId()}`);

  const room = await sees(
    client,
    ["Room", "Room.myMembership", "sync"],
    () => client.getRooms().find((one) => one.getMyMembership() === "invite"),
    "the invitation",
  );
  await client.joinRoom(room.roomId);
  await seesMembership(client, room.roomId, "join");
  const heard = await seesMessage(client, room.roomId, "psst");
  check(heard.getWireType() === "m.room.encrypted", "it went over the wire encrypted");
  await client.sendTextMessage(room.roomId, "yes?");
  await seesMessage(client, room.roomId, "I heard you");
  say("talked");

  const request = await crypto.requestDeviceVerification(otherUser, otherDevice);
  await sees(request, ["change"], () => request.phase === VerificationPhase.Ready, "the other being ready");
  const verifier = await request.startVerification("m.sas.v1");
  verifier.on("show_sas", async (sas) => {
    say(`emoji ${sas.sas.emoji.map(([symbol]) => symbol).join("")}`);
    await sas.confirm();
  });
  await verifier.verify();
  const status = await crypto.getDeviceVerificationStatus(otherUser, otherDevice);
  check(status.isVerified(), "the other's device is verified");
  say("verified");
});
