"""Media, built of its parts."""

from __future__ import annotations

from config import Config
from config.media import MediaConfig
from federation.inbound.media import FederationMediaEndpoints
from homeserver.app.surroundings import Surroundings
from homeserver.client_api.media import MediaDownloadEndpoints, MediaUploadEndpoints
from homeserver.client_api.media_legacy import LegacyMediaEndpoints
from homeserver.client_api.media_previews import PreviewEndpoints
from homeserver.http.client import OutboundHttp
from homeserver.http.gate.addresses import AddressPolicy
from homeserver.http.gate.fetching import Fetcher
from homeserver.http.gate.tls import Trust
from homeserver.im_api.media import MediaEndpoints
from homeserver.media.arrivals import Arrivals
from homeserver.media.budget import ByteBudget
from homeserver.media.deletion import Deletion
from homeserver.media.downloads import Downloads
from homeserver.media.files import MediaFiles
from homeserver.media.previews import UrlPreviews, Web
from homeserver.media.references import MediaReferences
from homeserver.media.remote import MediaSource, RemoteCopies
from homeserver.media.stores import BlobStore, DirectoryStore
from homeserver.media.thumbnails import Thumbnails
from homeserver.media.upkeep import Upkeep
from homeserver.media.uploads import Uploads


class MediaServices:
    """The services of media."""

    def __init__(self, config: Config, surroundings: Surroundings, source: MediaSource) -> None:
        """`source` fetches what other servers have."""
        db, clock, tasks = surroundings.database, surroundings.clock, surroundings.tasks
        section, server_name = config.media, config.server.server_name
        rates = config.rate_limits
        self.files = MediaFiles(store_of(section), surroundings.executor, section.media_store_path / "spool")
        arrivals = Arrivals(clock)
        self.uploads = Uploads(
            db, self.files, arrivals, clock, surroundings.randomness, section, server_name=server_name
        )
        budget = ByteBudget(
            clock,
            per_second=rates.remote_media_download_per_second if rates.enable_rate_limits else 0,
            burst=rates.remote_media_download_burst_count,
        )
        copies = RemoteCopies(db, self.files, source, clock, budget, section)
        self.downloads = Downloads(
            db,
            self.files,
            arrivals,
            copies,
            clock,
            server_name=server_name,
            is_frozen=section.enable_authenticated_media,
        )
        self.thumbnails = Thumbnails(db, self.files, self.downloads, section)
        self.previews = UrlPreviews(
            db, self.files, self.uploads, web_of(section, surroundings), clock, section
        )
        self.deletion = Deletion(db, self.files)
        self.references = MediaReferences(
            db, surroundings.notifier, tasks, self.deletion, deletes=section.delete_redacted_media
        )
        self.upkeep = Upkeep(self.files, self.deletion, clock, tasks, section, server_name=server_name)
        limit = section.max_upload_size
        self._handlers: list[object] = [
            MediaUploadEndpoints(self.uploads),
            MediaDownloadEndpoints(self.downloads, self.thumbnails, max_upload_size=limit),
            LegacyMediaEndpoints(self.downloads, self.thumbnails, max_upload_size=limit),
            PreviewEndpoints(self.previews),
            FederationMediaEndpoints(
                self.downloads, self.thumbnails, surroundings.randomness, server_name=server_name
            ),
        ]

    def im_handlers(self) -> list[object]:
        """The same by the IM API."""
        return [MediaEndpoints(self.uploads, self.downloads, self.thumbnails)]

    def handlers(self) -> list[object]:
        """What clients and other servers ask."""
        return self._handlers

    async def start(self) -> None:
        """Begin what runs by itself."""
        await self.upkeep.start()
        await self.references.start()

    def stop(self) -> None:
        self.upkeep.stop()


def store_of(section: MediaConfig) -> BlobStore:
    """Where the configuration wants files to be."""
    if section.media_s3.bucket is None:
        return DirectoryStore(section.media_store_path)
    # Here, and not above: boto3 is an extra.
    from homeserver.media.s3 import S3Store

    return S3Store(section.media_s3)


def web_of(section: MediaConfig, surroundings: Surroundings) -> Web | None:
    """The way to the pages that are previewed, if they are: with addresses of its own that are denied."""
    if surroundings.network is None or not section.url_preview_enabled:
        return None
    policy = AddressPolicy(section.url_preview_ip_range_blacklist, section.url_preview_ip_range_whitelist)
    fetcher = Fetcher(
        surroundings.network, surroundings.clock, policy, Trust(), user_agent="Hearth (link preview)"
    )
    return OutboundHttp(fetcher, surroundings.clock)
