"""Mail for those who have not looked for a while."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from storage import threepids
from storage.threepids import Threepid
from tests.features.accounts.mailbox import Mailbox
from tests.fixtures.databases import Engine
from tests.fixtures.reactor import VirtualReactor
from tests.harness.gateway import sets_pusher
from tests.harness.refusals import refused
from tests.harness.server import Server
from tests.harness.user import User
from tests.unit.http.outside import Outside

ADDRESS = "bob@example.org"


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox(hearth="mail password")


@pytest.fixture
def server(
    reactor: VirtualReactor, engine: Engine, mailbox: Mailbox, request: pytest.FixtureRequest
) -> Iterator[Server]:
    email = {
        "smtp_host": "127.0.0.1",
        "smtp_user": "hearth",
        "smtp_pass": "mail password",
        "notif_from": "%(app)s <noreply@one.test>",
        "enable_notifs": True,
        "notif_delay_before_mail": "10m",
    }
    server = Server(reactor, engine, seed=request.node.name, email=email)
    server.network = Outside(reactor)
    server.network.servers["127.0.0.1", 25] = mailbox
    reactor.drive(server.starts())
    yield server
    reactor.drive(server.stops())


async def wants_mail(server: Server, user: User) -> None:
    """Have the user's address proved, and notifications sent there."""
    now_ms = server.clock.now_ms()
    database = server.homeserver.surroundings.database
    await database.run(threepids.add, user.user_id, Threepid("email", ADDRESS, now_ms, now_ms))
    await sets_pusher(user, ADDRESS, kind="email", app_id="m.email", data={"brand": "x"})


async def test_what_stays_unread_is_mailed(server: Server, mailbox: Mailbox, alice: User, bob: User) -> None:
    room = await alice.creates_room(inviting=bob, name="Tea <b>& cakes</b>")
    await bob.joins(room)
    await wants_mail(server, bob)
    await alice.says(room, "<script>alert(1)</script>")
    last = await alice.says(room, "hello?")
    await server.passes(500)
    assert mailbox.messages == []
    await server.passes(200)
    (message,) = mailbox.messages
    assert message["To"] == ADDRESS
    assert message["Subject"] == "[Hearth] You have unread messages in Tea <b>& cakes</b>"
    assert "hello?" in mailbox.text
    assert "https://matrix.to/#/" in mailbox.link
    html = mailbox.part("html")
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "<b>" not in html
    await alice.says(room, "still there?")
    await bob.reads(room, last)
    await server.passes(25 * 60)
    assert len(mailbox.messages) == 2
    assert "hello?" not in mailbox.text


async def test_what_is_read_in_time_is_not_mailed(
    server: Server, mailbox: Mailbox, alice: User, bob: User
) -> None:
    room = await alice.creates_room(inviting=bob)
    await bob.joins(room)
    await wants_mail(server, bob)
    said = await alice.says(room, "hello")
    await server.passes(60)
    await bob.reads(room, said)
    await server.passes(3600)
    assert mailbox.messages == []


async def test_mail_goes_to_proved_addresses_only(server: Server, alice: User, bob: User) -> None:
    with refused("M_INVALID_PARAM", 400):
        await sets_pusher(bob, ADDRESS, kind="email", app_id="m.email", data={})
    await wants_mail(server, bob)
    with refused("M_INVALID_PARAM", 400):
        await sets_pusher(alice, ADDRESS, kind="email", app_id="m.email", data={})
