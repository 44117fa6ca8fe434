"""What a page says of itself: OpenGraph, or failing that its title and first words. Pure, but for lxml's parsing.

lxml is only imported here; this module is only imported where a page is read. Spec: https://ogp.me/
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urljoin

from lxml import etree
from lxml.html import HTMLParser

MAX_TEXT = 1000
MAX_PROPERTIES = 50
_WORDS_FROM = ("h1", "h2", "h3", "p", "li", "dd", "td")
_charset = re.compile(
    rb'<meta[^>]{0,200}charset\s*=\s*["\']?\s*([\w-]{1,40})', re.IGNORECASE | re.ASCII
).search
_xml_encoding = re.compile(rb'<\?xml[^>]{0,100}encoding="([\w-]{1,40})"', re.ASCII).search
_is_sane = re.compile(
    r"(?:utf[-_]?(?:8|16|32)|ascii|us-ascii|latin|iso[-_]?8859|windows|cp\d|koi8|gb|big5|euc|shift|sjis|iso-2022|mac)"
    r"[\w-]*",
    re.IGNORECASE | re.ASCII,
).fullmatch
_header_charset = re.compile(r'charset\s*=\s*"?([\w-]{1,40})', re.IGNORECASE | re.ASCII).search


def parse_page(page: bytes, content_type: str, url: str) -> dict[str, str]:
    """The properties of a page; addresses of pictures are absolute."""
    root = _parse(page, content_type)
    if root is None:
        return {}
    found: dict[str, str] = {}
    for meta in root.iter("meta"):
        name = meta.get("property") or meta.get("name") or ""
        content = meta.get("content")
        if not content or len(found) >= MAX_PROPERTIES:
            continue
        name = name.strip().lower()
        if name.startswith("twitter:"):
            # What OpenGraph says counts more, wherever it stands.
            found.setdefault(name, _clean(content))
        elif name.startswith(("og:", "article:", "profile:")) or name == "description":
            found.setdefault(name, _clean(content))
    properties = {
        name: value for name, value in found.items() if name.startswith(("og:", "article:", "profile:"))
    }
    for name, others in (
        ("og:title", ("twitter:title",)),
        ("og:description", ("twitter:description", "description")),
        ("og:image", ("twitter:image", "twitter:image:src")),
    ):
        for other in others:
            if name not in properties and other in found:
                properties[name] = found[other]
    if not properties.get("og:title"):
        title = _text(root.find(".//title"))
        if title:
            properties["og:title"] = title
    if not properties.get("og:description"):
        words = _first_words(root)
        if words:
            properties["og:description"] = words
    picture = properties.pop("og:image", None) or properties.pop("og:image:secure_url", None)
    if picture:
        properties["og:image"] = urljoin(url, picture)
    # What the page says of its picture may be anything; what the picture itself says is added later.
    return {name: value for name, value in properties.items() if value and not name.startswith("og:image:")}


def _parse(page: bytes, content_type: str) -> Any:
    said = _header_charset(content_type)
    inside = _charset(page[:4096]) or _xml_encoding(page[:200])
    # Only what pages are written in: Python also has encodings that take quadratic time.
    guesses = [said[1] if said else None, inside[1].decode("ascii") if inside else None, "utf-8", "cp1252"]
    for encoding in guesses:
        if encoding is None or not _is_sane(encoding):
            continue
        try:
            text = page.decode(encoding, "strict" if encoding != "cp1252" else "replace")
            break
        except (LookupError, UnicodeError):
            continue
    else:
        return None
    # Entities and outer files are nothing that a page needs, and depth is bounded by libxml2 itself.
    parser = HTMLParser(
        encoding="utf-8", recover=True, no_network=True, huge_tree=False, remove_comments=True
    )
    try:
        return etree.fromstring(text.encode("utf-8", "replace"), parser)
    except etree.XMLSyntaxError:
        return None


def _first_words(root: Any) -> str:
    for tag in _WORDS_FROM:
        for element in root.iter(tag):
            words = _text(element)
            if len(words) > 20:
                return words
    return ""


def _text(element: Any) -> str:
    if element is None:
        return ""
    parts: list[str] = []
    length = 0
    for part in element.itertext():
        parts.append(part)
        length += len(part)
        if length > 4 * MAX_TEXT:
            break
    return _clean(" ".join(parts))


def _clean(text: str) -> str:
    return " ".join(text.split())[:MAX_TEXT]
