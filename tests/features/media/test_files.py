"""Files: uploaded, downloaded, and what may not be done with them."""

from __future__ import annotations


from tests.harness.fixtures import ServerFactory
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User

TEXT = b"It was a dark and stormy night."


async def test_what_is_uploaded_can_be_downloaded(alice: User, bob: User) -> None:
    uri = await alice.uploads(TEXT, content_type="text/plain", filename="novel.txt")
    answer = await bob.downloads(uri)
    assert (answer.status, answer.body) == (200, TEXT)
    assert answer.headers["content-type"] == "text/plain"
    assert answer.headers["content-disposition"] == "inline; filename=novel.txt"
    assert answer.headers["content-length"] == str(len(TEXT))


async def test_a_large_file_comes_back_as_it_was(alice: User) -> None:
    data = bytes(range(256)) * 12_000
    assert (await alice.downloads(await alice.uploads(data))).body == data
