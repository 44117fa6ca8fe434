"""Which thumbnails there are; `homeserver.media.images` makes them, and is only imported where it does.

Spec: https://spec.matrix.org/v1.19/client-server-api/#thumbnails
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from config.media import ThumbnailSize
from homeserver.errors import MatrixError


class CannotThumbnail(MatrixError):
    """It is no picture, or not one that we can read."""

    status = 400
    errcode = "M_UNKNOWN"


@dataclass(frozen=True, slots=True)
class Shape:
    """What a thumbnail shall be: `crop` fills the size, `scale` fits into it."""

    width: int
    height: int
    method: Literal["crop", "scale"]
    is_animated: bool = False

    @property
    def variant(self) -> str:
        """Its name among the thumbnails of one file."""
        return f"{self.width}x{self.height}-{self.method}" + ("-animated" if self.is_animated else "")


class Thumbnail(NamedTuple):
    """A picture, encoded."""

    data: bytes
    content_type: str


class Dimensions(NamedTuple):
    """What a picture's head says of it."""

    width: int
    height: int
    content_type: str


def choose_size(sizes: Sequence[ThumbnailSize], wanted: ThumbnailSize) -> ThumbnailSize:
    """Of the sizes that are made, the smallest that is as large as what is wanted; else the largest.

    Those of the wanted method come first: cropped and scaled pictures do not show the same.

    Raises:
        CannotThumbnail: none is made.
    """
    candidates = [size for size in sizes if size.method == wanted.method] or list(sizes)
    if not candidates:
        raise CannotThumbnail("this server makes no thumbnails")
    enough = [size for size in candidates if size.width >= wanted.width and size.height >= wanted.height]
    if enough:
        return min(enough, key=lambda size: size.width * size.height)
    return max(candidates, key=lambda size: size.width * size.height)
