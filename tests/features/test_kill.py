"""`kill -9` in the middle of writing: what the server has acknowledged is there when it starts again."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from threading import Event, Lock, Thread
from typing import Any
from urllib.parse import quote

from tests.harness.process import ServerProcess

API = "/_matrix/client/v3"
WRITERS = 8
ACKNOWLEDGED_BEFORE_THE_KILL = 200


@dataclass(slots=True)
class Acknowledged:
    """What the writers were promised, in the order of each."""

    enough: Event
    lock: Lock = field(default_factory=Lock)
    events: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Event ID -> (transaction ID, body)."""
    topics: list[str] = field(default_factory=list)

    def add(self, event_id: str, transaction_id: str, body: str) -> None:
        with self.lock:
            self.events[event_id] = transaction_id, body
            if len(self.events) >= ACKNOWLEDGED_BEFORE_THE_KILL:
                self.enough.set()


def put(connection: HTTPConnection, path: str, token: str, body: dict[str, Any]) -> dict[str, Any]:
    connection.request("PUT", path, json.dumps(body), {"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    parsed: dict[str, Any] = json.loads(answer.read())
    assert answer.status == 200, parsed
    return parsed


def write_until_killed(
    server: ServerProcess, token: str, room: str, number: int, promised: Acknowledged
) -> None:
    """Send messages one after the other, noting what was acknowledged."""
    connection = server.connect()
    where = f"{API}/rooms/{quote(room)}"
    count = 0
    try:
        while True:
            count += 1
            transaction_id, body = f"w{number}-{count}", f"{number}:{count}"
            content = {"msgtype": "m.text", "body": body}
            sent = put(connection, f"{where}/send/m.room.message/{transaction_id}", token, content)
            promised.add(sent["event_id"], transaction_id, body)
            if number == 0 and count % 10 == 0:
                put(connection, f"{where}/state/m.room.topic/", token, {"topic": body})
                promised.topics.append(body)
    except (OSError, HTTPException):
        # The kill.
        return


def history(server: ServerProcess, room: str, token: str) -> list[dict[str, Any]]:
    """Every event of the room, newest first."""
    found: list[dict[str, Any]] = []
    start = ""
    while True:
        path = f"{API}/rooms/{quote(room)}/messages?dir=b&limit=500{start}"
        status, page = server.request("GET", path, token=token)
        assert status == 200, page
        found += page["chunk"]
        if "end" not in page:
            return found
        start = f"&from={quote(page['end'])}"


def test_a_kill_loses_nothing_acknowledged(process: ServerProcess) -> None:
    process.start()
    token = process.register("alice")
    status, created = process.request("POST", f"{API}/createRoom", {"preset": "public_chat"}, token=token)
    assert status == 200, created
    room = created["room_id"]
    status, first = process.request("GET", f"{API}/sync", token=token)
    assert status == 200, first

    promised = Acknowledged(Event())
    writers = [
        Thread(target=write_until_killed, args=(process, token, room, number, promised))
        for number in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    assert promised.enough.wait(60), process.log()[-4000:]
    process.kill()
    for writer in writers:
        writer.join()

    process.start()
    events = history(process, room, token)
    stored = {event["event_id"]: event["content"].get("body") for event in events}
    assert len(events) == len(stored), "an event is there twice"
    lost = {event_id: said for event_id, said in promised.events.items() if stored.get(event_id) != said[1]}
    assert not lost
    bodies = [event["content"]["body"] for event in events if event["type"] == "m.room.message"]
    assert len(set(bodies)) == len(bodies), "a message was stored twice"
    for number in range(WRITERS):
        own = [int(body.partition(":")[2]) for body in reversed(bodies) if body.startswith(f"{number}:")]
        assert own == list(range(1, len(own) + 1)), "a message is missing or out of order"

    # The room's state is that of its last event, acknowledged or not.
    topics = [event["content"]["topic"] for event in events if event["type"] == "m.room.topic"]
    _, topic = process.request("GET", f"{API}/rooms/{quote(room)}/state/m.room.topic", token=token)
    assert topic["topic"] == topics[0]
    assert set(promised.topics) <= set(topics)

    # A client that never got its answer asks again, and gets it; one that did is told the same.
    event_id, (transaction_id, body) = next(reversed(promised.events.items()))
    path = f"{API}/rooms/{quote(room)}/send/m.room.message/{transaction_id}"
    status, again = process.request("PUT", path, {"msgtype": "m.text", "body": body}, token=token)
    assert (status, again) == (200, {"event_id": event_id})

    # A client that was following goes on where it was, and life goes on too.
    status, later = process.request("GET", f"{API}/sync?since={quote(first['next_batch'])}", token=token)
    assert status == 200, later
    timeline = later["rooms"]["join"][room]["timeline"]
    assert timeline["events"][-1]["event_id"] == events[0]["event_id"]
    status, sent = process.request("PUT", f"{path}-new", {"msgtype": "m.text", "body": "alive"}, token=token)
    assert status == 200, sent
    process.stop()
    process.start()
    assert history(process, room, token)[0]["content"]["body"] == "alive"
