"""A bridge made with mautrix works on a running server: ghosts, a portal room, words both ways."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from mautrix.appservice import AppService, ASStateStore
from mautrix.client.state_store import MemoryStateStore
from mautrix.types import EventType, Membership, MessageType, TextMessageEventContent, UserID

from tests.harness.process import ServerProcess, free_port

DOMAIN = "localhost"
PATIENCE_S = 20.0


class Store(ASStateStore, MemoryStateStore):
    """What the bridge knows, for as long as the test runs."""

    def __init__(self) -> None:
        ASStateStore.__init__(self)
        MemoryStateStore.__init__(self)


class IrcBridge:
    """Writes down what it hears."""

    def __init__(self, base_url: str) -> None:
        self.service = AppService(
            base_url,
            DOMAIN,
            "as token",
            "hs token",
            "ircbot",
            "irc",
            state_store=Store(),
            ephemeral_events=True,
        )
        self.heard: list[tuple[str, str]] = []
        self.memberships: list[tuple[str, Membership]] = []
        self.typing: list[list[str]] = []
        self.service.matrix_event_handler(self._hear)

    async def _hear(self, event: Any) -> None:
        if event.type == EventType.ROOM_MESSAGE:
            self.heard.append((event.sender, event.content.body))
        elif event.type == EventType.ROOM_MEMBER:
            self.memberships.append((event.state_key, event.content.membership))
        elif event.type == EventType.TYPING:
            self.typing.append(event.content.user_ids)

    async def waits_until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until something holds, as long as it may take another process."""
        ends = asyncio.get_running_loop().time() + PATIENCE_S
        while not holds():
            assert asyncio.get_running_loop().time() < ends, f"{what}: heard {self.heard}, {self.memberships}"
            # Nothing tells when the server, a process of its own, has told everything.
            await asyncio.sleep(0.02)


@pytest.fixture
def bridge_port() -> int:
    return free_port()


@pytest.fixture
def server(tmp_path: Path, bridge_port: int) -> Iterator[ServerProcess]:
    registration = {
        "id": "irc",
        "url": f"http://127.0.0.1:{bridge_port}",
        "as_token": "as token",
        "hs_token": "hs token",
        "sender_localpart": "ircbot",
        "namespaces": {
            "users": [{"exclusive": True, "regex": "@_irc_.*"}],
            "aliases": [{"exclusive": True, "regex": "#_irc_.*"}],
        },
        "rate_limited": False,
        "receive_ephemeral": True,
    }
    file = tmp_path / "registration.yaml"
    file.write_text(yaml.safe_dump(registration))
    process = ServerProcess(tmp_path / "server", app_service_config_files=[str(file)])
    process.start()
    yield process
    process.stop()


def test_a_bridge_carries_words_both_ways(server: ServerProcess, bridge_port: int) -> None:
    token = server.register("alice")
    asyncio.run(_journey(server, bridge_port, token))


async def _journey(server: ServerProcess, bridge_port: int, token: str) -> None:
    bridge = IrcBridge(server.base_url)
    await bridge.service.start("127.0.0.1", bridge_port)
    try:
        await _bridges(server, bridge, token)
    finally:
        await bridge.service.stop()


async def _bridges(server: ServerProcess, bridge: IrcBridge, token: str) -> None:
    alice = f"@alice:{DOMAIN}"
    loop = asyncio.get_running_loop()

    async def asks(method: str, path: str, body: Any = None) -> Any:
        status, answer = await loop.run_in_executor(
            None, lambda: server.request(method, f"/_matrix/client/v3{path}", body, token=token)
        )
        assert status == 200, answer
        return answer

    bot = bridge.service.intent
    assert await bridge.service.ping_self("ping 1") >= 0
    # The bot makes the portal room, and fetches Alice and a ghost into it.
    await bot.ensure_registered()
    room = await bot.create_room(alias_localpart="_irc_cakes", name="#cakes", invitees=[alice])
    ghost = bot.user(UserID(f"@_irc_nick:{DOMAIN}"))
    await ghost.ensure_registered()
    await ghost.set_displayname("nick")
    await ghost.ensure_joined(room)
    await asks("POST", f"/join/{room}")
    await bridge.waits_until(lambda: (alice, Membership.JOIN) in bridge.memberships, "Alice has come")
    # From Matrix to IRC.
    text = {"msgtype": "m.text", "body": "hello IRC"}
    said = await asks("PUT", f"/rooms/{room}/send/m.room.message/1", text)
    await bridge.waits_until(lambda: (alice, "hello IRC") in bridge.heard, "her words")
    await ghost.mark_read(room, said["event_id"])
    # From IRC to Matrix.
    content = TextMessageEventContent(msgtype=MessageType.TEXT, body="hello Matrix")
    sent = await ghost.send_message_event(room, EventType.ROOM_MESSAGE, content)
    event = await asks("GET", f"/rooms/{room}/event/{sent}")
    assert event["sender"] == ghost.mxid
    assert event["content"]["body"] == "hello Matrix"
    members = await asks("GET", f"/rooms/{room}/joined_members")
    assert members["joined"][ghost.mxid]["display_name"] == "nick"
    # What passes.
    await asks("PUT", f"/rooms/{room}/typing/{alice}", {"typing": True, "timeout": 30_000})
    await bridge.waits_until(lambda: [alice] in bridge.typing, "her typing")
    # What happens where the ghost is no more is the bot's to hear still, and nothing comes twice.
    await ghost.leave_room(room)
    await bridge.waits_until(
        lambda: (ghost.mxid, Membership.LEAVE) in bridge.memberships, "the ghost has left"
    )
    heard = [words for words in bridge.heard if words[0] == alice]
    assert heard == [(alice, "hello IRC")]
