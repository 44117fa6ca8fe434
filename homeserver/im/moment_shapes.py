"""Moments as data: what a post is to the facade, and the message that a stock client shows in its place.

Prior art has one room a user as well (Circles); whoever follows it sees posts, reactions and threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Literal

import msgspec

from homeserver.errors import InvalidParam
from homeserver.events.event import Event
from homeserver.ids import NAMESPACE, UserID
from homeserver.media.mxc import parse_mxc

MOMENTS = f"{NAMESPACE}moments"
"""The type of rooms that hold moments."""
VISIBILITY = f"{NAMESPACE}visibility"
MOMENT = f"{NAMESPACE}moment"
LIKE = "❤️"
POST = "post"

Audience = Literal["public", "friends", "private"]

MAX_TEXT = 10_000
MAX_MEDIA = 9


class Media(msgspec.Struct):
    """A picture or video of a post."""

    mxc: str
    mimetype: str = "image/jpeg"
    w: int | None = None
    h: int | None = None
    alt: str = ""

    def view(self) -> dict[str, Any]:
        shown: dict[str, Any] = {"mxc": self.mxc, "mimetype": self.mimetype, "alt": self.alt}
        return shown | {key: value for key, value in (("w", self.w), ("h", self.h)) if value}


class Location(msgspec.Struct):
    """A place, by a `geo:` URI and a name."""

    geo_uri: str
    name: str = ""


def compose(
    text: str, media: Sequence[Media], location: Location | None, mentions: Sequence[UserID]
) -> dict[str, Any]:
    """The content of a post.

    Raises:
        InvalidParam: it says nothing, or too much.
    """
    text = text.strip()
    if not text and not media and location is None:
        raise InvalidParam("a moment has a text, a picture or a place")
    if len(text) > MAX_TEXT or len(media) > MAX_MEDIA:
        raise InvalidParam(f"a moment has at most {MAX_TEXT} characters and {MAX_MEDIA} pictures")
    if any(parse_mxc(one.mxc) is None for one in media):
        raise InvalidParam("media must name files that have been uploaded (mxc://)")
    if location is not None and not location.geo_uri.startswith("geo:"):
        raise InvalidParam("geo_uri must be a geo: URI")
    place = "" if location is None else f"📍 {location.name or location.geo_uri.removeprefix('geo:')}"
    body = "\n".join(part for part in (text, place) if part)
    moment: dict[str, Any] = {"kind": POST, "text": text, "media": [one.view() for one in media]}
    if location is not None:
        moment["location"] = {"geo_uri": location.geo_uri, "name": location.name}
    content: dict[str, Any] = {MOMENT: moment, "m.mentions": {"user_ids": list(mentions)} if mentions else {}}
    if len(media) == 1:
        (one,) = media
        kind = "m.video" if one.mimetype.startswith("video/") else "m.image"
        size = {key: value for key, value in (("w", one.w), ("h", one.h)) if value}
        info = {"mimetype": one.mimetype, **size}
        name = one.alt or ("video" if kind == "m.video" else "picture")
        return content | {
            "msgtype": kind,
            "body": body or name,
            "filename": name,
            "url": one.mxc,
            "info": info,
        }
    if media:
        pictures = "".join(
            f'<img src="{escape(one.mxc, quote=True)}" alt="{escape(one.alt, quote=True)}">' for one in media
        )
        lines = escape(body).replace("\n", "<br>")
        content |= {"format": "org.matrix.custom.html", "formatted_body": f"<p>{lines}</p>{pictures}"}
        body = body or f"{len(media)} pictures"
    return content | {"msgtype": "m.text", "body": body}


def is_post(event: Event, author: str) -> bool:
    """Whether an event in a moments room is a moment: by its author, and not about another event."""
    return (
        event.type == "m.room.message"
        and event.state_key is None
        and event.sender == author
        and "m.relates_to" not in event.content
        and "msgtype" in event.content
    )


def read(content: Mapping[str, Any]) -> dict[str, Any]:
    """A post's text, media and place; of one that a stock client has made, what can be told."""
    moment = content.get(MOMENT)
    if isinstance(moment, dict):
        try:
            media = [one.view() for one in msgspec.convert(moment.get("media", []), list[Media])]
        except msgspec.ValidationError:
            media = []
        text, location = moment.get("text"), moment.get("location")
        return {
            "text": text if isinstance(text, str) else "",
            "media": [one for one in media if parse_mxc(one["mxc"]) is not None],
            "location": location if isinstance(location, dict) else None,
        }
    body = content.get("body")
    text = body if isinstance(body, str) else ""
    url = content.get("url")
    if content.get("msgtype") in ("m.image", "m.video") and parse_mxc(url) is not None:
        info = content.get("info")
        kind = info.get("mimetype") if isinstance(info, dict) else None
        caption = text if content.get("filename") not in (None, text) else ""
        shown = Media(str(url), kind if isinstance(kind, str) else "image/jpeg", alt=text)
        return {"text": caption, "media": [shown.view()], "location": None}
    return {"text": text, "media": [], "location": None}
