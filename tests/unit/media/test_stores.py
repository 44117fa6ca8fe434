"""Stores of bytes: whatever they are, they do the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from config.media import MediaConfig, S3Config
from homeserver.app.media import store_of
from homeserver.media.s3 import S3Store
from homeserver.media.stores import BlobStore, DirectoryStore, blob_name, thumbnail_name
from tests.unit.media.objects import Objects

DATA = bytes(range(256)) * 100
NAME = blob_name("ab" * 32)


@pytest.fixture(params=["directory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlobStore]:
    if request.param == "directory":
        yield DirectoryStore(tmp_path / "store")
        return
    objects = Objects()
    config = S3Config(
        bucket="media",
        prefix="here/",
        endpoint_url=objects.url,
        region_name="eu-1",
        access_key_id="key",
        secret_access_key="secret",
    )
    made = store_of(MediaConfig(media_s3=config))
    assert isinstance(made, S3Store)
    yield made
    objects.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "spooled"
    path.write_bytes(DATA)
    return path


def test_what_is_kept_can_be_read_from_anywhere(store: BlobStore, source: Path) -> None:
    store.put(NAME, source)
    assert not source.exists()
    for start in (0, 1, 1000, len(DATA) - 1):
        reader = store.open(NAME, start)
        got = b""
        while data := reader.read(10_000):
            got += data
        reader.close()
        assert got == DATA[start:]


def test_one_can_move_about_in_what_is_fetched(store: BlobStore, source: Path) -> None:
    store.put(NAME, source)
    with store.fetch(NAME) as file:
        assert file.read(4) == DATA[:4]
        file.seek(512)
        assert file.read(4) == DATA[512:516]


def test_what_is_not_there_is_missing(store: BlobStore) -> None:
    with pytest.raises(FileNotFoundError):
        store.open(NAME, 0)
    with pytest.raises(FileNotFoundError):
        store.fetch(NAME)
    store.delete(NAME)


def test_what_is_deleted_is_gone(store: BlobStore, source: Path) -> None:
    store.put(NAME, source)
    store.delete(NAME)
    with pytest.raises(FileNotFoundError):
        store.open(NAME, 0)


def test_what_is_put_again_is_the_same(store: BlobStore, source: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    again.write_bytes(DATA)
    store.put(NAME, source)
    store.put(NAME, again)
    reader = store.open(NAME, 0)
    assert reader.read(4) == DATA[:4]
    reader.close()


def test_empty_directories_go(source: Path, tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    store.put(thumbnail_name("ab" * 32, "32x32-crop"), source)
    store.delete(thumbnail_name("ab" * 32, "32x32-crop"))
    assert [path.name for path in (tmp_path / "store").rglob("*")] == ["thumbnails"]


def test_names_are_made_of_digests() -> None:
    assert NAME == "content/ab/ab/" + "ab" * 30
