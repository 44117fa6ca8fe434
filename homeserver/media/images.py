"""Pictures made smaller. Everything here blocks, and works on what strangers have sent.

The size is looked at before anything is decoded. What is made has none of the metadata that the original had;
its orientation is applied instead. Spec: https://spec.matrix.org/v1.19/client-server-api/#thumbnails
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from io import BytesIO
from typing import Any, BinaryIO

from PIL import Image, ImageOps

from homeserver.errors import MatrixError, TooLarge
from homeserver.media.shapes import CannotThumbnail, Dimensions, Shape, Thumbnail

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP")
"""What is decoded: formats that people send, whose decoders are well tested."""

MAX_FRAMES = 200
MAX_ANIMATED_PIXELS = 64 * 1024 * 1024
"""Of all frames of an animation together; larger ones get a still thumbnail."""

# Frames and parts of a file may claim sizes of their own, which Pillow checks against this while it decodes.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def measure(file: BinaryIO) -> Dimensions:
    """The size of a picture, without decoding it.

    Raises:
        CannotThumbnail: it is no picture.
    """
    try:
        with Image.open(file, formats=FORMATS) as image:
            return Dimensions(*image.size, Image.MIME.get(image.format or "", "application/octet-stream"))
    except Exception as error:  # decoders raise anything at all over what strangers make up
        raise CannotThumbnail("it is no picture that can be read") from error


def make_thumbnail(file: BinaryIO, shape: Shape, max_pixels: int) -> Thumbnail:
    """A smaller picture of the one in a file.

    Raises:
        CannotThumbnail: it is no picture, or a broken one.
        TooLarge: it has more pixels than are decoded.
    """
    # Pillow refuses twice this number.
    Image.MAX_IMAGE_PIXELS = max(max_pixels // 2, 1)
    try:
        with Image.open(file, formats=FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise TooLarge(f"pictures of more than {max_pixels} pixels get no thumbnail")
            if shape.is_animated and _may_be_animated(image):
                return _animated(image, shape)
            return _still(image, shape)
    except MatrixError:
        raise
    except Image.DecompressionBombError as error:
        raise TooLarge(f"pictures of more than {max_pixels} pixels get no thumbnail") from error
    except Exception as error:  # decoders raise anything at all over what strangers make up
        raise CannotThumbnail("it is no picture that can be read") from error


def _may_be_animated(image: Any) -> bool:
    frames = getattr(image, "n_frames", 1)
    return 1 < frames <= MAX_FRAMES and frames * image.width * image.height <= MAX_ANIMATED_PIXELS


def _still(image: Any, shape: Shape) -> Thumbnail:
    # JPEG decodes at a half, a quarter or an eighth of its size, for a fraction of time and memory. Twice what
    # is wanted keeps it sharp, and either way up: the orientation is applied later.
    longest = 2 * max(shape.width, shape.height)
    image.draft(None, (longest, longest))
    ImageOps.exif_transpose(image, in_place=True)
    small = _resize(image, shape)
    profile = image.info.get("icc_profile") if image.mode == "RGB" else None
    out = BytesIO()
    if _has_alpha(small):
        small.save(out, "PNG", compress_level=6)
        return Thumbnail(out.getvalue(), "image/png")
    small.convert("RGB").save(out, "JPEG", quality=80, icc_profile=profile)
    return Thumbnail(out.getvalue(), "image/jpeg")


def _animated(image: Any, shape: Shape) -> Thumbnail:
    durations: list[int] = []

    def frames() -> Iterator[Any]:
        for number in range(image.n_frames):
            image.seek(number)
            durations.append(int(image.info.get("duration", 100)) or 100)
            yield _resize(image.convert("RGBA"), shape)

    small = list(frames())
    out = BytesIO()
    small[0].save(
        out,
        "WEBP",
        save_all=True,
        append_images=small[1:],
        duration=durations,
        loop=image.info.get("loop", 0),
        quality=75,
        method=2,
    )
    return Thumbnail(out.getvalue(), "image/webp")


def _resize(image: Any, shape: Shape) -> Any:
    """The picture in its new size; never larger than it was."""
    mode = "RGBA" if _has_alpha(image) else "RGB"
    if image.mode != mode:
        image = image.convert(mode)
    wanted = (min(shape.width, image.width), min(shape.height, image.height))
    if shape.method == "crop":
        if image.size == wanted:
            return image
        return ImageOps.fit(image, wanted, Image.Resampling.BICUBIC)
    if image.width > shape.width or image.height > shape.height:
        image.thumbnail((shape.width, shape.height), Image.Resampling.BICUBIC)
    return image


def _has_alpha(image: Any) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
