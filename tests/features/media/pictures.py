"""Pictures for tests, drawn when they are needed."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

from PIL import Image


def picture(
    width: int = 640, height: int = 480, kind: str = "PNG", *, mode: str = "RGB", **options: Any
) -> bytes:
    """A picture whose left half is red and whose right half is blue."""
    image = Image.new(mode, (width, height), "red")
    image.paste("blue", (width // 2, 0, width, height))
    return saved(image, kind, **options)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def animation(frames: int = 3, kind: str = "GIF", size: tuple[int, int] = (200, 100)) -> bytes:
    colours = ("red", "green", "blue")
    images = [Image.new("RGB", size, colours[number % 3]) for number in range(frames)]
    return saved(images[0], kind, save_all=True, append_images=images[1:], duration=50, loop=0)


def seen(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data))


def bomb(width: int = 60_000, height: int = 60_000) -> bytes:
    """A PNG of a few kilobytes that says that it is enormous."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    data = zlib.compress(b"\0" * 1_000_000, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
