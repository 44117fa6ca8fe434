"""Which links may be previewed at all.

Whether an address may be connected to is the outbound gate's to say, of every redirect too; this is only about
what operators do not want to be asked for by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import translate
from urllib.parse import SplitResult, urlsplit

from homeserver.errors import Forbidden, InvalidParam

MAX_URL = 4096
_PARTS = ("scheme", "netloc", "hostname", "port", "path", "query", "username", "password")


class PreviewedUrls:
    """The configuration's `url_preview_url_blacklist`, compiled."""

    def __init__(self, denied: Sequence[Mapping[str, str]]) -> None:
        self._denied = [{part: _matcher(pattern) for part, pattern in rule.items()} for rule in denied]

    def check(self, url: str) -> str:
        """The URL without its fragment.

        Raises:
            InvalidParam: it is no URL of a page.
            Forbidden: it is one that is not previewed here.
        """
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            raise InvalidParam("this is no URL") from None
        if parts.scheme not in ("http", "https") or not host or len(url) > MAX_URL:
            raise InvalidParam("only http and https URLs are previewed")
        if parts.username is not None or parts.password is not None:
            raise InvalidParam("URLs with a user and password are not previewed")
        if any(
            rule and all(_fits(parts, part, fits) for part, fits in rule.items()) for rule in self._denied
        ):
            raise Forbidden("this URL is not previewed here")
        return parts._replace(fragment="").geturl()


def _matcher(pattern: str) -> Callable[[str], object]:
    # As in Synapse: what begins with ^ is a regular expression, everything else a glob.
    return re.compile(pattern if pattern.startswith("^") else translate(pattern), re.IGNORECASE).match


def _fits(parts: SplitResult, part: str, fits: Callable[[str], object]) -> bool:
    value = getattr(parts, part, None) if part in _PARTS else None
    return value is not None and bool(fits(str(value)))
