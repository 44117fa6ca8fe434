"""Files: how large, where, for how long; and previews of links."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from config.federation import PRIVATE_NETWORKS, parse_network
from config.schema import duration_ms, part, required, secret, setting, size


@dataclass(frozen=True, kw_only=True, slots=True)
class ThumbnailSize:
    """A thumbnail that is made."""

    width: int = required("Its width in pixels.")
    height: int = required("Its height in pixels.")
    method: Literal["crop", "scale"] = required("`crop` fills it, `scale` fits into it.")


def _thumbnail(width: int, height: int, method: Literal["crop", "scale"]) -> ThumbnailSize:
    return ThumbnailSize(width=width, height=height, method=method)


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadLimit:
    """How much one user may upload."""

    time_period_ms: int = duration_ms("1w", "In how long.", key="time_period")
    max_size: int = size("500M", "How much.")


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaRetention:
    """How long files are kept that nobody looks at. What has no length is kept for ever."""

    local_media_lifetime_ms: int | None = duration_ms(
        None, "Files uploaded here.", key="local_media_lifetime"
    )
    remote_media_lifetime_ms: int | None = duration_ms(
        None, "Copies of others' files.", key="remote_media_lifetime"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class S3Config:
    """An S3-compatible store for media. It needs the extra `s3` (`pip install hearth[s3]`)."""

    bucket: str | None = setting(None, "The bucket; media is kept in a directory without it.")
    prefix: str = setting("", "What object names begin with.")
    endpoint_url: str | None = setting(None, "Where the store is; Amazon's by default.")
    region_name: str | None = setting(None, "The region.")
    access_key_id: str | None = secret("The key's name; otherwise from the environment.")
    secret_access_key: str | None = secret("The key; otherwise from the environment.")


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaConfig:
    """Media: files, and previews of links."""

    media_store_path: Path = setting(Path("media_store"), "The directory of media.", kind="path")
    media_s3: S3Config = part(S3Config(), "An S3-compatible store instead of the directory.")
    max_upload_size: int = size("50M", "The largest file.")
    max_image_pixels: int = size("32M", "The largest image of which thumbnails are made, in pixels.")
    media_upload_limits: tuple[UploadLimit, ...] = setting((), "How much one user may upload.")
    media_quota: int | None = size(None, "How much one user may keep here. Without it, without limit.")
    max_avatar_size: int | None = size(None, "The largest avatar. Without it, without limit.")
    allowed_avatar_mimetypes: tuple[str, ...] = setting((), "The types of avatars; any, if empty.")
    thumbnail_sizes: tuple[ThumbnailSize, ...] = setting(
        (
            _thumbnail(32, 32, "crop"),
            _thumbnail(96, 96, "crop"),
            _thumbnail(320, 240, "scale"),
            _thumbnail(640, 480, "scale"),
            _thumbnail(800, 600, "scale"),
        ),
        "The thumbnails that are made.",
        shown="32x32 and 96x96 cropped; 320x240, 640x480 and 800x600 scaled",
    )
    enable_authenticated_media: bool = setting(
        True, "Whether new media is only served to logged-in users and servers that sign."
    )
    unused_expiration_time_ms: int = duration_ms(
        "24h", "How long a reserved media ID waits for its file.", key="unused_expiration_time"
    )
    max_pending_media_uploads: int = setting(5, "How many reserved IDs of one user may wait.")
    media_retention: MediaRetention = part(MediaRetention(), "How long files are kept that nobody looks at.")
    delete_redacted_media: bool = setting(
        False, "Whether a file goes when the last event that used it is redacted or purged."
    )
    prevent_media_downloads_from: tuple[str, ...] = setting((), "Servers whose media is not fetched.")
    url_preview_enabled: bool = setting(False, "Whether links are previewed for clients.")
    url_preview_ip_range_blacklist: tuple[str, ...] = setting(
        PRIVATE_NETWORKS,
        "Networks that no preview may reach.",
        kind="list of networks",
        shown="every private and reserved network",
        parse=parse_network,
    )
    url_preview_ip_range_whitelist: tuple[str, ...] = setting(
        (),
        "Exceptions from it.",
        kind="list of networks",
        parse=parse_network,
    )
    url_preview_url_blacklist: tuple[Mapping[str, str], ...] = setting(
        (),
        "Links that are not previewed: each entry names parts of a URL (`scheme`, `netloc`, `path`, `port`) "
        "with a glob, or a regular expression that begins with `^`.",
    )
    max_spider_size: int = size("10M", "How much of a page is read.")
    url_preview_accept_language: tuple[str, ...] = setting(
        ("en",), "The languages asked for, the best first."
    )
