"""Messages of the IM API as Matrix content, and back: pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from homeserver.errors import InvalidParam
from homeserver.events.event import Event
from homeserver.ids import NAMESPACE, UserID, is_user_id
from homeserver.media.mxc import parse_mxc

CUSTOM = f"{NAMESPACE}custom"
ENCRYPTED = "m.room.encrypted"
VOICE = "org.matrix.msc3245.voice"
AUDIO = "org.matrix.msc1767.audio"
ANNOUNCEMENT = f"{NAMESPACE}announcement"

# IM Backend's numbers for the same.
NUMBERED = {1: "text", 2: "image", 3: "voice", 4: "video", 5: "file"}
_MSGTYPES = {
    "text": "m.text",
    "notice": "m.notice",
    "emote": "m.emote",
    "image": "m.image",
    "voice": "m.audio",
    "audio": "m.audio",
    "video": "m.video",
    "file": "m.file",
    "location": "m.location",
}
_TYPES = {msgtype: name for name, msgtype in _MSGTYPES.items() if name != "voice"}
_WITH_MEDIA = frozenset({"image", "voice", "audio", "video", "file", "sticker"})
MAX_MENTIONS = 100


class Media(msgspec.Struct):
    """A file that was uploaded before; `url` is its `mxc://` URI."""

    url: str
    name: str | None = None
    mimetype: str | None = None
    size: int | None = None
    width: int | None = None
    height: int | None = None
    duration_ms: int | None = None
    waveform: list[int] | None = None
    thumbnail_url: str | None = None


class Location(msgspec.Struct):
    latitude: float
    longitude: float
    name: str | None = None


class NewMessage(msgspec.Struct):
    """What somebody wants to say. `type` is text unless it says otherwise; 1 to 5 are taken as numbers of types.

    `data` is what a custom message carries, and the whole content of one that the client has encrypted.
    """

    body: str = ""
    type: str | int = "text"
    client_msg_id: str | None = None
    media: Media | None = None
    location: Location | None = None
    data: dict[str, Any] | None = None
    reply_to: str | None = None
    thread: str | None = None
    mentions: list[UserID] = []
    mention_all: bool = False


def event_type_and_content(message: NewMessage) -> tuple[str, dict[str, Any]]:
    """The event that says it.

    Raises:
        InvalidParam: the message says nothing, or of its type something else.
    """
    kind = NUMBERED.get(message.type, "") if isinstance(message.type, int) else message.type
    if kind == "custom":
        content: dict[str, Any] = {"body": message.body, "data": message.data or {}}
        event_type = CUSTOM
    elif kind == "encrypted":
        event_type, content = ENCRYPTED, _encrypted(message)
    elif kind in _WITH_MEDIA:
        event_type, content = _with_media(kind, message)
    elif kind == "location":
        event_type, content = "m.room.message", _location(message)
    elif kind in _MSGTYPES:
        if not message.body:
            raise InvalidParam("body must not be empty")
        event_type, content = "m.room.message", {"msgtype": _MSGTYPES[kind], "body": message.body}
    else:
        raise InvalidParam(f"{message.type!r} is not a type of messages")
    _relate(content, message)
    return event_type, content


def _relate(content: dict[str, Any], message: NewMessage) -> None:
    if len(message.mentions) > MAX_MENTIONS or not all(is_user_id(user) for user in message.mentions):
        raise InvalidParam(f"mentions are at most {MAX_MENTIONS} user IDs")
    mentions: dict[str, Any] = {}
    if message.mentions:
        mentions["user_ids"] = list(dict.fromkeys(message.mentions))
    if message.mention_all:
        mentions["room"] = True
    if mentions or "algorithm" not in content:
        content["m.mentions"] = mentions
    relation: dict[str, Any] = {}
    if message.thread is not None:
        relation |= {"rel_type": "m.thread", "event_id": message.thread}
        relation["is_falling_back"] = message.reply_to is None
        relation["m.in_reply_to"] = {"event_id": message.reply_to or message.thread}
    elif message.reply_to is not None:
        relation["m.in_reply_to"] = {"event_id": message.reply_to}
    if relation:
        content["m.relates_to"] = relation


def _with_media(kind: str, message: NewMessage) -> tuple[str, dict[str, Any]]:
    media = message.media
    if media is None or parse_mxc(media.url) is None:
        raise InvalidParam("media.url must be an mxc URI")
    info = {
        "mimetype": media.mimetype,
        "size": media.size,
        "w": media.width,
        "h": media.height,
        "duration": media.duration_ms,
        "thumbnail_url": media.thumbnail_url,
    }
    content: dict[str, Any] = {
        "body": message.body or media.name or kind,
        "url": media.url,
        "info": {key: value for key, value in info.items() if value is not None},
    }
    if kind == "sticker":
        return "m.sticker", content
    content["msgtype"] = _MSGTYPES[kind]
    content["filename"] = media.name or content["body"]
    if kind == "voice":
        content[VOICE] = {}
        content[AUDIO] = {"duration": media.duration_ms or 0, "waveform": media.waveform or []}
    return "m.room.message", content


def _encrypted(message: NewMessage) -> dict[str, Any]:
    """What the client has encrypted by itself: this server passes it on and cannot read it."""
    content = dict(message.data or {})
    if not isinstance(content.get("algorithm"), str) or "ciphertext" not in content:
        raise InvalidParam("data must be the content of m.room.encrypted, with algorithm and ciphertext")
    return content


def _location(message: NewMessage) -> dict[str, Any]:
    where = message.location
    if where is None or not (-90 <= where.latitude <= 90 and -180 <= where.longitude <= 180):
        raise InvalidParam("location must have a latitude and a longitude")
    uri = f"geo:{where.latitude},{where.longitude}"
    body = message.body or where.name or uri
    return {
        "msgtype": "m.location",
        "body": body,
        "geo_uri": uri,
        "org.matrix.msc3488.location": {"uri": uri, "description": body},
    }


def type_of(event: Event) -> str:
    """What the IM API calls it."""
    content = event.content
    if event.type == "m.room.message":
        if VOICE in content:
            return "voice"
        msgtype = content.get("msgtype")
        return _TYPES.get(msgtype, "text") if isinstance(msgtype, str) else "text"
    known = {
        "m.sticker": "sticker",
        CUSTOM: "custom",
        ENCRYPTED: "encrypted",
        "m.room.member": "member",
    }
    if event.type.startswith("m.call."):
        return "call"
    return known.get(event.type, "event")


def shown(event: Event, content: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a message that its content says; `content` is that of its latest edit, if it was edited."""
    kind = type_of(event)
    body = content.get("body")
    message: dict[str, Any] = {"type": kind, "body": body if isinstance(body, str) else ""}
    if isinstance(content.get("url"), str):
        message["media"] = _media(content)
    if isinstance(content.get("geo_uri"), str):
        message["location"] = {"geo_uri": content["geo_uri"], "name": message["body"]}
    if kind == "custom":
        message["data"] = content.get("data", {})
    if kind in ("encrypted", "call", "event", "member"):
        message["event_type"], message["content"] = event.type, dict(content)
    mentions = content.get("m.mentions")
    if isinstance(mentions, dict):
        if isinstance(mentions.get("user_ids"), list) and mentions["user_ids"]:
            message["mentions"] = [user for user in mentions["user_ids"] if isinstance(user, str)]
        if mentions.get("room") is True:
            message["mention_all"] = True
    if content.get(ANNOUNCEMENT) is True:
        message["announcement"] = True
    relation = event.content.get("m.relates_to")
    if isinstance(relation, dict):
        reply = relation.get("m.in_reply_to")
        if isinstance(reply, dict) and relation.get("is_falling_back") is not True:
            message["reply_to"] = reply.get("event_id")
        if relation.get("rel_type") == "m.thread":
            message["thread"] = relation.get("event_id")
    return message


def _media(content: Mapping[str, Any]) -> dict[str, Any]:
    given = content.get("info")
    info: Mapping[str, Any] = given if isinstance(given, dict) else {}
    media = {
        "url": content["url"],
        "name": content.get("filename") or content.get("body"),
        "mimetype": info.get("mimetype"),
        "size": info.get("size"),
        "width": info.get("w"),
        "height": info.get("h"),
        "duration_ms": info.get("duration"),
        "thumbnail_url": info.get("thumbnail_url"),
    }
    return {key: value for key, value in media.items() if value is not None}


def mentions_user(content: Mapping[str, Any], user_id: str) -> bool:
    mentions = content.get("m.mentions")
    if not isinstance(mentions, dict):
        return False
    users = mentions.get("user_ids")
    return mentions.get("room") is True or (isinstance(users, list) and user_id in users)
