// People on stock clients, and the patience to wait for what they should see.

import "./node20.mjs";

import * as sdk from "matrix-js-sdk";
import { logger } from "matrix-js-sdk/lib/logger.js";

logger.disableAll?.();
logger.setLevel?.("silent", false);
if (!process.env.HEARTH_JOURNEY_LOG) {
  for (const level of ["trace", "debug", "info", "log", "warn"]) console[level] = () => {};
}

const PATIENCE_MS = 30_000;

export function say(step) {
  process.stdout.write(`${step}\n`);
}

export function check(holds, what) {
  if (!holds) throw new Error(`it does not hold that ${what}`);
}

// Wait until `look` finds something, looking again whenever `emitter` says one of `events`.
export function sees(emitter, events, look, what) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      for (const event of events) emitter.off(event, tryIt);
    };
    const tryIt = () => {
      const found = look();
      if (found) {
        stop();
        resolve(found);
      }
    };
    const timer = setTimeout(() => {
      stop();
      reject(new Error(`waited in vain for ${what}`));
    }, PATIENCE_MS);
    for (const event of events) emitter.on(event, tryIt);
    tryIt();
  });
}

// Wait until the asynchronous `look` finds something; for what no event tells of.
export async function comes(look, what) {
  const end = Date.now() + PATIENCE_MS;
  while (Date.now() < end) {
    const found = await look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`waited in vain for ${what}`);
}

export async function register(baseUrl, localpart, password) {
  const anonymous = sdk.createClient({ baseUrl });
  const username = `${localpart}-${Math.random().toString(36).slice(2, 10)}`;
  let session;
  try {
    await anonymous.registerRequest({ username, password });
  } catch (error) {
    session = error.data?.session;
    if (!session) throw error;
  }
  const auth = { type: "m.login.dummy", session };
  return await anonymous.registerRequest({ username, password, auth });
}

export async function login(baseUrl, userId, password) {
  return await sdk.createClient({ baseUrl }).loginRequest({
    type: "m.login.password",
    identifier: { type: "m.id.user", user: userId },
    password,
  });
}

// A client for what `register` or `login` answered; started, and with crypto if `encrypted`.
export async function start(baseUrl, session, { encrypted = false, secrets } = {}) {
  const client = sdk.createClient({
    baseUrl,
    userId: session.user_id,
    deviceId: session.device_id,
    accessToken: session.access_token,
    cryptoCallbacks: secrets,
    verificationMethods: ["m.sas.v1"],
  });
  if (encrypted) await client.initRustCrypto({ useIndexedDB: false });
  await client.startClient({ initialSyncLimit: 20, lazyLoadMembers: true, threadSupport: true });
  await sees(client, ["sync"], () => client.isInitialSyncComplete(), "the first sync");
  return client;
}

export async function seesMembership(client, roomId, membership) {
  await sees(
    client,
    ["Room", "Room.myMembership", "sync"],
    () => client.getRoom(roomId)?.getMyMembership() === membership,
    `${client.getUserId()} being ${membership} in ${roomId}`,
  );
}

export async function seesMessage(client, roomId, body) {
  return await sees(
    client,
    ["Room.timeline", "Event.decrypted", "sync"],
    () => client.getRoom(roomId)?.getLiveTimeline().getEvents().find((event) => event.getContent().body === body),
    `${client.getUserId()} hearing ${JSON.stringify(body)}`,
  );
}

// Run a journey and end the process: clients leave timers behind.
export async function run(journey) {
  try {
    await journey(process.argv[2]);
    say("done");
    process.exit(0);
  } catch (error) {
    process.stderr.write(`${error.stack ?? error}\n${error.cause?.stack ?? ""}\n`);
    process.exit(1);
  }
}
