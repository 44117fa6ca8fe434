"""Hearth gets a new signing key while it shares rooms with Synapse."""

from __future__ import annotations

import os
import time
from pathlib import Path

import yaml

from homeserver.events.signatures import SigningKey, format_signing_key, parse_signing_keys
from tests.harness.process import ServerProcess
from tests.interop.peer.people import Person, Place
from tests.interop.peer.test_rooms import they_agree, they_meet


def rotate(process: ServerProcess) -> None:
    """What docs/federation.md says: the new key in the file, the old one in the configuration, and a restart."""
    configuration = yaml.safe_load(process.configuration_file.read_text())
    key_file = Path(configuration["signing_key_path"])
    (old,) = parse_signing_keys(key_file.read_text(encoding="ascii"))
    key_file.write_text(format_signing_key(SigningKey.of("a_new", os.urandom(32))), encoding="ascii")
    process.stop()
    configuration["old_signing_keys"] = {
        old.key_id: {"key": old.public_base64, "expired_ts": int(time.time() * 1000)}
    }
    process.configuration_file.write_text(yaml.safe_dump(configuration))
    process.start()


async def test_a_new_key_is_believed_and_the_old_one_remembered(
    hearth: Place, synapse: Place, alice: Person, sam: Person
) -> None:
    shared = await they_meet(alice, sam)
    untold = await alice.creates_room(public=True, name="Signed by the old key")
    await alice.says(untold, "long ago")
    rotate(hearth.process)
    await alice.says(shared, "by the new key")
    await sam.sees(shared, "by the new key")
    # Synapse has seen nothing of this room while the old key was in use.
    tess = await synapse.user("tess")
    await tess.joins(untold, via=[hearth.name])
    await alice.sees(untold, member={tess: "join"})
    await tess.says(untold, "what was said here?")
    await alice.sees(untold, "what was said here?")
    await they_agree(untold, alice, tess)
    await they_agree(shared, alice, sam)
