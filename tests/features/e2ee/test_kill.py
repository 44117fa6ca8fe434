"""`kill -9` while keys are claimed: no key is given to two, and no message that was acknowledged is lost."""

from __future__ import annotations

import json
from http.client import HTTPConnection, HTTPException
from threading import Event, Lock, Thread
from typing import Any
from urllib.parse import quote

from tests.harness.device_crypto import OTK, DeviceCrypto
from tests.harness.process import ServerProcess

API = "/_matrix/client/v3"
KEYS = 600
ASKERS = 8
BEFORE_THE_KILL = 80


class Given:
    """What the askers were given, in whichever life of the server."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.names: list[str] = []
        self.enough = Event()

    def add(self, name: str) -> None:
        with self.lock:
            self.names.append(name)
            if len(self.names) % BEFORE_THE_KILL == 0:
                self.enough.set()


def call(
    connection: HTTPConnection, method: str, path: str, token: str, body: dict[str, Any] | None = None
) -> Any:
    connection.request(
        method, path, None if body is None else json.dumps(body), {"Authorization": f"Bearer {token}"}
    )
    answer = connection.getresponse()
    parsed = json.loads(answer.read())
    assert answer.status == 200, parsed
    return parsed


def claim_until_killed(server: ServerProcess, token: str, device: tuple[str, str], given: Given) -> None:
    """Claim keys one after the other until there are none, or no server."""
    user_id, device_id = device
    connection = server.connect()
    wanted = {"one_time_keys": {user_id: {device_id: OTK}}}
    try:
        while True:
            answer = call(connection, "POST", f"{API}/keys/claim", token, wanted)
            keys = answer["one_time_keys"].get(user_id, {}).get(device_id, {})
            if not keys:
                given.enough.set()
                return
            for name in keys:
                given.add(name)
    except (OSError, HTTPException):
        # The kill.
        return


def test_no_key_is_given_twice_across_kills(process: ServerProcess) -> None:
    process.start()
    token = process.register("alice")
    connection = process.connect()
    me = call(connection, "GET", f"{API}/account/whoami", token)
    user_id, device_id = me["user_id"], me["device_id"]
    crypto = DeviceCrypto(user_id, device_id)
    keys = crypto.one_time_keys(KEYS)
    body = {"device_keys": crypto.device_keys(), "one_time_keys": keys}
    assert call(connection, "POST", f"{API}/keys/upload", token, body)["one_time_key_counts"] == {OTK: KEYS}

    given = Given()
    for _ in range(3):
        given.enough.clear()
        askers = [
            Thread(target=claim_until_killed, args=(process, token, (user_id, device_id), given))
            for _ in range(ASKERS)
        ]
        for asker in askers:
            asker.start()
        assert given.enough.wait(60), process.log()[-4000:]
        process.kill()
        for asker in askers:
            asker.join()
        process.start()
        # The client, whose upload may have been lost for all it knows, sends it again.
        status, answer = process.request("POST", f"{API}/keys/upload", {"one_time_keys": keys}, token=token)
        assert status == 200, answer
        assert answer["one_time_key_counts"].get(OTK, 0) <= KEYS - len(given.names)

    claim_until_killed(process, token, (user_id, device_id), given)
    assert len(given.names) == len(set(given.names)), "a key was given twice"
    assert set(given.names) <= set(keys)
    # Lost are only keys whose claim was committed while nobody was left to hear of it.
    assert len(given.names) >= KEYS - 3 * ASKERS
    assert given.names[:BEFORE_THE_KILL]


def test_no_message_is_lost_across_kills(process: ServerProcess) -> None:
    process.start()
    alice, bob = process.register("alice"), process.register("bob")
    me = call(process.connect(), "GET", f"{API}/account/whoami", bob)
    sent: set[int] = set()
    enough = Event()

    def send_until_killed(first: int) -> None:
        connection = process.connect()
        number = first
        try:
            while True:
                body = {"messages": {me["user_id"]: {me["device_id"]: {"n": number}}}}
                call(connection, "PUT", f"{API}/sendToDevice/m.dummy/t{number}", alice, body)
                sent.add(number)
                number += 1
                if len(sent) % 100 == 0:
                    enough.set()
        except (OSError, HTTPException):
            # The kill.
            return

    got: list[int] = []
    since = ""
    for life in range(2):
        enough.clear()
        senders = [Thread(target=send_until_killed, args=((life * 4 + n) * 100_000,)) for n in range(4)]
        for sender in senders:
            sender.start()
        assert enough.wait(60), process.log()[-4000:]
        process.kill()
        for sender in senders:
            sender.join()
        process.start()
        while True:
            status, answer = process.request("GET", f"{API}/sync?timeout=0{since}", token=bob)
            assert status == 200, answer
            events = answer.get("to_device", {}).get("events", [])
            if not events:
                break
            got += [event["content"]["n"] for event in events]
            since = f"&since={quote(answer['next_batch'])}"
    assert len(got) == len(set(got)), "a message came twice"
    assert sent <= set(got), "a message that was acknowledged is lost"
