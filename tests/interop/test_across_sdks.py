"""matrix-nio and matrix-js-sdk meet on a running server: they talk encrypted both ways and verify each other's devices.

nio knows the older half of verification, in which nobody asks before they start; what it lacks (to be ready, and to be
done) is said here for it.
"""

from __future__ import annotations

import asyncio
import subprocess
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any

import nio

from homeserver.events.hashes import encode_base64
from tests.harness.process import ServerProcess
from tests.interop.test_js_sdk import WALKS_WITHIN_S, workshop
from tests.interop.test_nio import ENCRYPTION, Person

__all__ = ["workshop"]

SAS = "m.sas.v1"
VARIATION = "\ufe0f"
"""Asks for a coloured emoji; not everybody writes it."""


class Jane:
    """The script at the other end: what it says is a line each."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def says(self) -> str:
        assert self._process.stdout is not None
        line = (await self._process.stdout.readline()).decode().strip()
        if not line:
            assert self._process.stderr is not None
            raise AssertionError((await self._process.stderr.read()).decode())
        return line


async def tells(person: Person, kind: str, to: str, device: str, transaction: str, **content: Any) -> None:
    message = nio.ToDeviceMessage(kind, to, device, {"transaction_id": transaction, **content})
    answer = await person.client.to_device(message)
    assert isinstance(answer, nio.ToDeviceResponse), answer


async def verifies(ned: Person, jane: Jane, user: str, device: str) -> None:
    def latest(wanted: type, kind: str | None = None) -> Any:
        return next(
            (
                event
                for event in ned.to_device
                if isinstance(event, wanted) and (kind is None or getattr(event, "type", None) == kind)
            ),
            None,
        )

    asked = "m.key.verification.request"
    await ned.sees(lambda: latest(nio.UnknownToDeviceEvent, asked), "the request")
    transaction = latest(nio.UnknownToDeviceEvent, asked).source["content"]["transaction_id"]
    ready = {"from_device": ned.client.device_id, "methods": [SAS]}
    await tells(ned, "m.key.verification.ready", user, device, transaction, **ready)
    await ned.sees(lambda: latest(nio.KeyVerificationStart), "the start")
    verification = ned.client.key_verifications[transaction]
    # COMPAT(matrix-nio 0.26): it writes the hash of its key in hexadecimals instead of base64, and names its codes
    # by the older name, whose broken encoding they no longer have.
    verification._mac_normal = "hkdf-hmac-sha256.v2"
    verification.commitment = encode_base64(bytes.fromhex(verification.commitment))
    await ned.client.accept_key_verification(transaction)
    await ned.sees(lambda: latest(nio.KeyVerificationKey), "the key")
    await ned.client.send_to_device_messages()
    # COMPAT(matrix-nio 0.26): it takes the indices of the emoji for bytes and shows others than these.
    shown = verification.established_sas.bytes(verification._extra_info).emoji_indices
    emoji = "".join(verification.emoji[index][0] for index in shown).replace(VARIATION, "")
    assert (await jane.says()).replace(VARIATION, "") == f"emoji {emoji}"
    await ned.client.confirm_short_auth_string(transaction)
    await ned.sees(lambda: latest(nio.KeyVerificationMac), "the confirmation")
    await tells(ned, "m.key.verification.done", user, device, transaction)
    assert await jane.says() == "verified"
    assert ned.client.device_store[user][device].verified


async def meets(ned: Person, jane: Jane) -> None:
    user, device = (await jane.says()).split()
    created = await ned.client.room_create(name="Tea", invite=[user], initial_state=[ENCRYPTION])
    assert isinstance(created, nio.RoomCreateResponse), created
    room_id = str(created.room_id)
    await ned.sees(
        lambda: room_id in ned.client.rooms and user in ned.client.rooms[room_id].users, "jane joining"
    )
    await ned.sees_encryption(room_id)
    await ned.sees(lambda: device in ned.client.device_store[user], "jane's device")
    await ned.says(room_id, "psst")
    await ned.sees(lambda: (room_id, user, "yes?") in ned.heard, "jane's answer")
    await ned.says(room_id, "I heard you")
    assert await jane.says() == "talked"
    await verifies(ned, jane, user, device)
    assert await jane.says() == "done"


def test_two_clients_of_different_make(workshop: Path, live_server: ServerProcess, tmp_path: Path) -> None:
    async def run() -> None:
        ned = Person(live_server.base_url, f"ned{live_server.new_number()}", tmp_path, encrypted=True)
        await ned.registers("ned likes tea")
        await ned.syncs()
        words = ["node", "across.mjs", live_server.base_url, ned.client.user_id, ned.client.device_id]
        process = await asyncio.create_subprocess_exec(
            *words, cwd=workshop, stdin=subprocess.DEVNULL, stdout=PIPE, stderr=PIPE
        )
        try:
            async with asyncio.timeout(WALKS_WITHIN_S):
                await meets(ned, Jane(process))
        finally:
            await ned.leaves_the_machine()
            if process.returncode is None:
                process.kill()
            await process.wait()

    asyncio.run(run())
