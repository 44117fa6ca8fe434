"""Previews of links: pages are fetched through the outbound gate, and what they say of themselves is kept a while.

A preview is for everybody who asks for the same link. Pictures in it are copied here, so that clients never ask the
page's server themselves. Spec: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediapreview_url
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote, urljoin, urlsplit

import msgspec
import structlog

from config.media import MediaConfig
from federation.outbound.once import Once
from homeserver.errors import MatrixError, RemoteError, TooLarge, Unrecognized
from homeserver.http.gate.reading import Answer, OpenSink
from homeserver.media.files import MediaFiles, Spool, Spooled
from homeserver.media.previewed_urls import PreviewedUrls
from homeserver.media.shapes import Dimensions
from homeserver.media.types import media_type
from homeserver.media.uploads import Uploads
from homeserver.runtime.clock import Clock
from storage import media
from storage.database import Database

KEPT_MS = 3_600_000
MAX_REDIRECTS = 5
TIMEOUT_MS = 20_000
PARSED_BYTES = 1024 * 1024
"""Of a page: what it says of itself stands at its beginning."""

_PAGES = frozenset({"text/html", "application/xhtml+xml"})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

_log = structlog.get_logger(__name__)

Preview = dict[str, Any]


class Web(Protocol):
    """Fetches what anybody may fetch: `homeserver.http.client.OutboundHttp`."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: dict[str, str],
        max_redirects: int,
        max_bytes: int,
        timeout_ms: int,
        open_sink: OpenSink,
    ) -> Answer: ...


class _Fetched(NamedTuple):
    """What stood at a URL, in the end."""

    url: str
    content_type: str
    spooled: Spooled


class UrlPreviews:
    """Makes previews, each once however many ask for it."""

    def __init__(
        self,
        db: Database,
        files: MediaFiles,
        uploads: Uploads,
        web: Web | None,
        clock: Clock,
        config: MediaConfig,
    ) -> None:
        """Without a `web` there are no previews."""
        self._db = db
        self._files = files
        self._uploads = uploads
        self._web = web
        self._clock = clock
        self._urls = PreviewedUrls(config.url_preview_url_blacklist)
        self._max_bytes = config.max_spider_size
        self._languages = _accept_language(config.url_preview_accept_language)
        self._running: Once[str, bytes] = Once()

    async def load(self, url: str) -> bytes:
        """The preview of a link, as JSON.

        Raises:
            Unrecognized: this server makes no previews.
            InvalidParam: it is no link to a page.
            Forbidden: it is a link that is not previewed here.
            RemoteError: there is no page, or none that we may see.
        """
        if self._web is None:
            raise Unrecognized("this server makes no previews")
        url = self._urls.check(url)
        key = sha256(f"{url}\n{self._languages}".encode()).hexdigest()
        kept = await self._db.read(media.find_preview, key, self._clock.now_ms())
        return kept if kept is not None else await self._running.run(key, lambda: self._make(key, url))

    async def _make(self, key: str, url: str) -> bytes:
        preview = msgspec.json.encode(await self._look(url))
        now_ms = self._clock.now_ms()
        await self._db.run(media.insert_preview, key, preview, now_ms + KEPT_MS, now_ms)
        return preview

    async def _look(self, url: str) -> Preview:
        fetched = await self._fetch(url)
        kind = media_type(fetched.content_type)
        if kind.startswith("image/"):
            return await self._picture(fetched, _name_of(fetched.url))
        if kind not in _PAGES:
            await self._files.discard(fetched.spooled.path)
            return {"og:title": _name_of(fetched.url)}
        preview: Preview = await self._files.read_spooled(
            fetched.spooled.path, lambda path: _parse(path, fetched.content_type, fetched.url)
        )
        picture_url = preview.pop("og:image", None)
        if picture_url is not None:
            try:
                preview |= await self._picture(await self._fetch(urljoin(fetched.url, picture_url)), None)
            except (RemoteError, MatrixError) as error:
                # The words are a preview too.
                _log.info("a preview stays without its picture", reason=str(error))
        return preview

    async def _picture(self, fetched: _Fetched, title: str | None) -> Preview:
        """Copy a picture here."""
        spooled = fetched.spooled
        try:
            size: Dimensions = await self._files.measure(spooled.path)
            mxc = await self._uploads.keep_own(spooled, size.content_type)
        except BaseException:
            await self._files.discard(spooled.path)
            raise
        preview: Preview = {
            "og:image": str(mxc),
            "og:image:type": size.content_type,
            "og:image:width": size.width,
            "og:image:height": size.height,
            "matrix:image:size": spooled.size,
        }
        return preview if title is None else {"og:title": title, **preview}

    async def _fetch(self, url: str) -> _Fetched:
        """What stands at a URL; each redirect is judged as the link itself was."""
        assert self._web is not None
        for _ in range(MAX_REDIRECTS + 1):
            url = self._urls.check(url)
            body = _Body(self._files, self._max_bytes)
            try:
                answer = await self._web.request(
                    "GET",
                    url,
                    headers={
                        "Accept": "text/html, image/*;q=0.9, */*;q=0.1",
                        "Accept-Language": self._languages,
                    },
                    max_redirects=0,
                    max_bytes=self._max_bytes,
                    timeout_ms=TIMEOUT_MS,
                    open_sink=body.open,
                )
                location = answer.headers.get("location")
                if answer.status in _REDIRECTS and location:
                    url = urljoin(url, location)
                    continue
                return _Fetched(url, answer.headers.get("content-type", ""), body.finish(answer))
            except TooLarge as error:
                raise RemoteError(error.error) from error
            finally:
                body.abandon()
        raise RemoteError(f"more than {MAX_REDIRECTS} redirects")


class _Body:
    """Takes what comes, on disk."""

    def __init__(self, files: MediaFiles, max_bytes: int) -> None:
        self._files = files
        self._max_bytes = max_bytes
        self._spool: Spool | None = None

    def open(self, _answer: Answer) -> Any:
        self._spool = self._files.new_spool(self._max_bytes)
        return self._spool.write

    def finish(self, answer: Answer) -> Spooled:
        if self._spool is None:
            raise RemoteError(f"the page is not there: {answer.status}", status=answer.status)
        spool, self._spool = self._spool, None
        return spool.finish()

    def abandon(self) -> None:
        """Forget what was not finished."""
        if self._spool is not None:
            self._spool.abandon()


def _parse(path: Path, content_type: str, url: str) -> Preview:
    # Here, and not above: lxml is megabytes that a server without previews does without.
    from homeserver.media.opengraph import parse_page

    with path.open("rb") as file:
        return dict(parse_page(file.read(PARSED_BYTES), content_type, url))


def _name_of(url: str) -> str:
    """What to call a file of which nothing is known."""
    parts = urlsplit(url)
    return unquote(parts.path.rpartition("/")[2])[:200] or parts.netloc


def _accept_language(languages: tuple[str, ...]) -> str:
    """The languages with falling weight."""
    weights = (max(10 - place, 1) / 10 for place in range(len(languages)))
    return ", ".join(
        language if weight == 1 else f"{language};q={weight}"
        for language, weight in zip(languages, weights, strict=True)
    )
