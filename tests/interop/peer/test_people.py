"""What passes between people on Hearth and on Synapse beside the events of rooms.

Each scenario has the host do what the guest notices; as either server has the host once, it is seen both ways.
"""

from __future__ import annotations

import io

from PIL import Image

from tests.harness.client import segment
from tests.harness.device_crypto import DeviceCrypto, UserCrypto
from tests.interop.peer.people import Person
from tests.interop.peer.test_rooms import they_meet

ENCRYPTED = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}


def picture() -> bytes:
    """A PNG with more pixels than a thumbnail."""
    written = io.BytesIO()
    Image.radial_gradient("L").save(written, "PNG")
    return written.getvalue()


async def test_who_types_is_seen_to_type(host: Person, guest: Person) -> None:
    room = await they_meet(host, guest)
    await host.types_in(room)
    await guest.sees(room, typing=[host])
    await host.stops_typing_in(room)
    await guest.sees(room, typing=[])


async def test_who_reads_is_seen_to_have_read(host: Person, guest: Person) -> None:
    room = await they_meet(host, guest)
    said = await guest.says(room, "hello")
    asked = await guest.says(room, "anybody?")
    await host.sees(room, event=asked)
    await host.reads(room, said)
    await guest.sees(room, read={host: said})
    await host.reads(room, asked, receipt_type="m.read.private")
    reply = await guest.says(
        room, "in a thread", **{"m.relates_to": {"rel_type": "m.thread", "event_id": said}}
    )
    await host.sees(room, event=reply)
    await host.reads(room, reply, thread_id=said)
    await guest.waits_until(
        lambda _: guest.room(room).receipts.get(("m.read", host.user_id, said)) == reply, "the receipt"
    )
    await guest.sees(room, read={host: said})


async def test_who_is_there_is_seen_to_be_there(host: Person, guest: Person) -> None:
    await they_meet(host, guest)
    status = {"presence": "unavailable", "status_msg": "at tea"}
    await host.request("PUT", f"/presence/{segment(host.user_id)}/status", status)

    def is_at_tea(of: dict[str, dict[str, object]]) -> bool:
        return status.items() <= of.get(host.user_id, {}).items()

    await guest.waits_until(lambda client: is_at_tea(client.presence), f"{host} at tea")


async def test_profiles_are_known_and_their_changes_seen(host: Person, guest: Person) -> None:
    room = await they_meet(host, guest)
    await host.sets_profile("displayname", "Dr Tea")
    await host.sets_profile("avatar_url", "mxc://localhost/face")
    guise = {"displayname": "Dr Tea", "avatar_url": "mxc://localhost/face"}

    def is_in_it() -> bool:
        content = guest.room(room).content("m.room.member", host.user_id)
        return content is not None and guise.items() <= content.items()

    await guest.waits_until(lambda _: is_in_it(), f"{host} in a new guise")
    profile = await guest.request("GET", f"/profile/{segment(host.user_id)}")
    assert guise.items() <= profile.items()
    assert await guest.request("GET", f"/profile/{segment(host.user_id)}/displayname") == {
        "displayname": "Dr Tea"
    }


async def test_files_are_fetched_across(host: Person, guest: Person) -> None:
    data = picture()
    uri = await host.uploads(data, content_type="image/png", filename="tea.png")
    answer = await guest.downloads(uri)
    assert answer.status == 200
    assert answer.body == data
    assert answer.media_type == "image/png"
    assert "tea.png" in answer.headers["content-disposition"]
    path = "/_matrix/client/v1/media/thumbnail/" + uri.removeprefix("mxc://")
    thumbnail = await guest.ask("GET", path, query={"width": 32, "height": 32, "method": "crop"})
    assert thumbnail.status == 200
    assert Image.open(io.BytesIO(thumbnail.body)).size == (32, 32)
    missing = await guest.downloads(f"mxc://{host.place.name}/nothing")
    assert missing.status == 404
    assert missing.errcode == "M_NOT_FOUND"


async def test_devices_are_known_and_reached(host: Person, guest: Person) -> None:
    room = await they_meet(host, guest, initial_state=[ENCRYPTED])
    await guest.sees(room, member={host: "join"})
    keys, signing = DeviceCrypto(host.user_id, host.device_id), UserCrypto(host.user_id)
    published = keys.device_keys()
    await host.request(
        "POST", "/keys/upload", {"device_keys": published, "one_time_keys": keys.one_time_keys(2)}
    )
    await guest.waits_until(lambda client: host.user_id in client.changed_devices, f"a device of {host}")
    answer = await guest.request("POST", "/keys/query", {"device_keys": {host.user_id: []}})
    assert answer["device_keys"][host.user_id][host.device_id]["keys"] == published["keys"]
    claim = {"one_time_keys": {host.user_id: {host.device_id: "signed_curve25519"}}}
    answer = await guest.request("POST", "/keys/claim", claim)
    assert len(answer["one_time_keys"][host.user_id][host.device_id]) == 1

    await host.confirms("POST", "/keys/device_signing/upload", signing.keys())

    async def known_keys() -> list[list[str]]:
        answer = await guest.request("POST", "/keys/query", {"device_keys": {host.user_id: []}})
        found = [answer.get(kind, {}).get(host.user_id, {}) for kind in ("master_keys", "self_signing_keys")]
        return [list(key.get("keys", {}).values()) for key in found]

    names = [list(signing.keys()[kind]["keys"].values()) for kind in ("master_key", "self_signing_key")]
    await guest.waits_for(known_keys, names)

    ping = {"messages": {host.user_id: {host.device_id: {"from": "the guest"}}}}
    await guest.request("PUT", f"/sendToDevice/org.example.ping/{guest.new_transaction_id()}", ping)
    await host.waits_until(
        lambda client: {"from": "the guest"} in [each["content"] for each in client.to_device], "the ping"
    )
