"""Media, built of its parts."""

from __future__ import annotations

from config import Config
from config.media import MediaConfig
from homeserver.app.surroundings import Surroundings
from homeserver.client_api.media import MediaDownloadEndpoints, MediaUploadEndpoints
from homeserver.client_api.media_legacy import LegacyMediaEndpoints
from homeserver.media.arrivals import Arrivals
from homeserver.media.budget import ByteBudget
from homeserver.media.downloads import Downloads
from homeserver.media.files import MediaFiles
from homeserver.media.remote import MediaSource, NoMediaSource, RemoteCopies
from homeserver.media.stores import BlobStore, DirectoryStore
from homeserver.media.thumbnails import Thumbnails
from homeserver.media.uploads import Uploads


class MediaServices:
    """The services of media."""

    def __init__(self, config: Config, surroundings: Surroundings, source: MediaSource | None = None) -> None:
        """`source` fetches what other servers have; without federation there is none."""
        db, clock = surroundings.database, surroundings.clock
        section, server_name = config.media, config.server.server_name
        rates = config.rate_limits
        self.files = MediaFiles(store_of(section), surroundings.executor, section.media_store_path / "spool")
        arrivals = Arrivals(clock)
        self.uploads = Uploads(
            db, self.files, arrivals, clock, surroundings.randomness, section, server_name=server_name
        )
        budget = ByteBudget(
            clock,
            per_second=rates.remote_media_download_per_second,
            burst=rates.remote_media_download_burst_count,
        )
        copies = RemoteCopies(db, self.files, source or NoMediaSource(), clock, budget, section)
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
        self._max_upload_size = section.max_upload_size

    def handlers(self) -> list[object]:
        """What clients ask."""
        return [
            MediaUploadEndpoints(self.uploads),
            MediaDownloadEndpoints(
                self.downloads, self.thumbnails, max_upload_size=self._max_upload_size
            ),
            LegacyMediaEndpoints(self.downloads, self.thumbnails, max_upload_size=self._max_upload_size),
        ]


def store_of(section: MediaConfig) -> BlobStore:
    """Where the configuration wants files to be."""
    return DirectoryStore(section.media_store_path)
