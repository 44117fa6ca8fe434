// Two people talk encrypted, verify each other, keep their keys on the server and get them back on a new device.

import { CryptoEvent } from "matrix-js-sdk/lib/crypto-api/index.js";

import { check, comes, login, register, run, say, sees, seesMembership, seesMessage, start } from "./people.mjs";

const SAS = "m.sas.v1";

// Where a client keeps the key of its secret storage while it runs.
function secretsOf(holder) {
  return {
    getSecretStorageKey: async ({ keys }) => [Object.keys(keys)[0], holder.key.privateKey],
    cacheSecretStorageKey: () => {},
  };
}

// Give a new account its cross-signing identity, and a backup that only its recovery key opens.
async function setUp(client, password, holder) {
  const crypto = client.getCrypto();
  holder.key = await crypto.createRecoveryKeyFromPassphrase();
  await crypto.bootstrapCrossSigning({
    authUploadDeviceSigningKeys: async (upload) => {
      try {
        return await upload(null);
      } catch (error) {
        if (!error.data?.session) throw error;
        return await upload({
          type: "m.login.password",
          identifier: { type: "m.id.user", user: client.getUserId() },
          password,
          session: error.data.session,
        });
      }
    },
  });
  await crypto.bootstrapSecretStorage({
    createSecretStorageKey: async () => holder.key,
    setupNewSecretStorage: true,
    setupNewKeyBackup: true,
  });
}

async function compareEmoji(verifier) {
  const emoji = [];
  const shown = new Promise((resolve) => {
    verifier.on("show_sas", async (sas) => {
      emoji.push(...sas.sas.emoji.map(([symbol]) => symbol));
      resolve();
      await sas.confirm();
    });
  });
  await Promise.all([verifier.verify(), shown]);
  return emoji.join("");
}

async function verifyEachOther(alice, bob, roomId) {
  const asked = new Promise((resolve) => bob.once(CryptoEvent.VerificationRequestReceived, resolve));
  const aliceRequest = await alice.getCrypto().requestVerificationDM(bob.getUserId(), roomId);
  const bobRequest = await asked;
  await bobRequest.accept();
  await sees(aliceRequest, ["change"], () => aliceRequest.otherPartySupportsMethod(SAS), "bob being ready");
  const aliceVerifier = await aliceRequest.startVerification(SAS);
  const aliceEmoji = compareEmoji(aliceVerifier);
  const bobVerifier = await sees(bobRequest, ["change"], () => bobRequest.verifier, "the verification beginning");
  const bobEmoji = compareEmoji(bobVerifier);
  check((await aliceEmoji) === (await bobEmoji), "both see the same emoji");
  for (const [one, other] of [[alice, bob], [bob, alice]]) {
    await comes(
      async () => (await one.getCrypto().getUserVerificationStatus(other.getUserId())).isCrossSigningVerified(),
      `${one.getUserId()} trusting ${other.getUserId()}`,
    );
  }
}

await run(async (baseUrl) => {
  const keys = { alice: {}, bob: {} };
  const aliceSession = await register(baseUrl, "alice", "wonderland-1");
  const bobSession = await register(baseUrl, "bob", "builder-2");
  const alice = await start(baseUrl, aliceSession, { encrypted: true, secrets: secretsOf(keys.alice) });
  const bob = await start(baseUrl, bobSession, { encrypted: true, secrets: secretsOf(keys.bob) });
  await setUp(alice, "wonderland-1", keys.alice);
  await setUp(bob, "builder-2", keys.bob);
  check(await alice.getCrypto().isCrossSigningReady(), "cross-signing is ready");
  say("keys uploaded");

  const { room_id: roomId } = await alice.createRoom({
    preset: "trusted_private_chat",
    invite: [bob.getUserId()],
    is_direct: true,
    initial_state: [
      { type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } },
    ],
  });
  await seesMembership(bob, roomId, "invite");
  await bob.joinRoom(roomId);
  await seesMembership(bob, roomId, "join");
  await sees(
    alice,
    ["RoomState.members", "sync"],
    () => alice.getRoom(roomId)?.getMember(bob.getUserId())?.membership === "join",
    "alice seeing bob join",
  );

  await alice.sendTextMessage(roomId, "psst");
  const heard = await seesMessage(bob, roomId, "psst");
  check(heard.getWireType() === "m.room.encrypted", "it went over the wire encrypted");
  await bob.sendTextMessage(roomId, "yes?");
  await seesMessage(alice, roomId, "yes?");
  say("talked in secret");

  await verifyEachOther(alice, bob, roomId);
  say("verified each other");

  for (const client of [alice, bob]) {
    // The SDK remembers its first answer to this question.
    await comes(async () => (await client.http.authedRequest("GET", "/room_keys/version")).count, "keys in the backup");
  }
  const again = await start(baseUrl, await login(baseUrl, bob.getUserId(), "builder-2"), {
    encrypted: true,
    secrets: secretsOf(keys.bob),
  });
  check(await again.getCrypto().userHasCrossSigningKeys(bob.getUserId(), true), "the new device finds the identity");
  await again.getCrypto().bootstrapCrossSigning({});
  await again.getCrypto().loadSessionBackupPrivateKeyFromSecretStorage();
  const restored = await again.getCrypto().restoreKeyBackup();
  check(restored.imported >= 1, "the backup gives keys back");
  await seesMessage(again, roomId, "psst");
  await seesMessage(again, roomId, "yes?");
  say("restored on a new device");

  await alice.sendTextMessage(roomId, "hello, new device");
  await seesMessage(again, roomId, "hello, new device");
  await again.sendTextMessage(roomId, "hello from it");
  await seesMessage(alice, roomId, "hello from it");
  await seesMessage(bob, roomId, "hello from it");
  say("talked with the new device");
});
