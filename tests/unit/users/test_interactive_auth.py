"""User-interactive authentication: order, sessions, retries, and the pages for clients that do not know a stage."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from homeserver.errors import Forbidden, MatrixError, NotFound
from homeserver.users.interactive_auth import AuthenticationRequired, InteractiveAuth, Proof, Stage
from homeserver.users.stages import DUMMY, PASSWORD, TERMS, BaseStage, DummyStage, TermsStage
from storage import uia
from tests.unit.users.account_server import AccountServer, password_auth, user_id_of
from tests.unit.users.conftest import MakeServer

ALICE = user_id_of("alice")
POLICIES = {"terms": {"version": "1", "en": {"name": "T", "url": "https://one.test/t"}}}


class Flaky(BaseStage):
    """Refuses in whichever way it is told."""

    type = "test.flaky"

    async def check(self, auth: Any, session: uia.AuthSession) -> Any:
        if "status" in auth:
            raise MatrixError("no", status=auth["status"], errcode="M_TEST")
        return {"given": auth["value"]}


@pytest.fixture
def auth(server: AccountServer) -> InteractiveAuth:
    stages: list[Stage] = [DummyStage(), TermsStage(POLICIES), Flaky()]
    return InteractiveAuth(server.db, server.clock, server.users.interactive_auth._randomness, stages)


async def run(auth: InteractiveAuth, flows: list[list[str]], given: Any, **more: Any) -> Proof:
    async with auth.proven("POST /test", flows, given, **more) as proof:
        return proof


async def challenged(
    auth: InteractiveAuth, flows: list[list[str]], given: Any, **more: Any
) -> dict[str, Any]:
    with pytest.raises(AuthenticationRequired) as refused:
        await run(auth, flows, given, **more)
    assert refused.value.http_status == 401
    return refused.value.body()


async def test_stages_are_passed_in_order(auth: InteractiveAuth) -> None:
    flows = [[TERMS, DUMMY], [TERMS, "test.flaky"]]
    first = await challenged(auth, flows, None)
    session = first["session"]
    assert first == {
        "flows": [{"stages": [TERMS, DUMMY]}, {"stages": [TERMS, "test.flaky"]}],
        "params": {TERMS: {"policies": POLICIES}},
        "session": session,
    }
    skipped = await challenged(auth, flows, {"type": DUMMY, "session": session})
    assert skipped["errcode"] == "M_UNRECOGNIZED"
    assert "completed" not in skipped
    second = await challenged(auth, flows, {"type": TERMS, "session": session})
    assert second["completed"] == [TERMS]
    assert "errcode" not in second
    again = await challenged(auth, flows, {"type": TERMS, "session": session})
    assert again["completed"] == [TERMS], "a stage that is passed cannot be retried"
    proof = await run(auth, flows, {"type": "test.flaky", "session": session, "value": 3})
    assert proof.results == {TERMS: {"terms": "1"}, "test.flaky": {"given": 3}}


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_a_failed_attempt_may_be_repeated(auth: InteractiveAuth, status: int) -> None:
    flows = [["test.flaky"]]
    refused = await challenged(auth, flows, {"type": "test.flaky", "status": status})
    assert (refused["errcode"], refused["error"]) == ("M_TEST", "no")
    await run(auth, flows, {"type": "test.flaky", "session": refused["session"], "value": 1})


async def test_other_refusals_are_the_answer(auth: InteractiveAuth) -> None:
    with pytest.raises(MatrixError) as refused:
        await run(auth, [["test.flaky"]], {"type": "test.flaky", "status": 429})
    assert refused.value.http_status == 429
    assert not isinstance(refused.value, AuthenticationRequired)


async def test_a_session_is_for_one_operation_of_one_user(auth: InteractiveAuth) -> None:
    session = (await challenged(auth, [[DUMMY]], None, user_id=ALICE))["session"]
    given = {"type": DUMMY, "session": session}
    for user_id in (None, user_id_of("bob")):
        with pytest.raises(Forbidden):
            await run(auth, [[DUMMY]], given, user_id=user_id)
    with pytest.raises(Forbidden):
        async with auth.proven("POST /other", [[DUMMY]], given, user_id=ALICE):
            pass
    await run(auth, [[DUMMY]], given, user_id=ALICE)


@pytest.mark.parametrize(
    ("given", "errcode"),
    [
        ({"session": "nonsense"}, "M_INVALID_PARAM"),
        ({"session": 7}, "M_BAD_JSON"),
        ({"type": 7}, "M_BAD_JSON"),
    ],
)
async def test_malformed(auth: InteractiveAuth, given: dict[str, Any], errcode: str) -> None:
    with pytest.raises(MatrixError) as refused:
        await run(auth, [[DUMMY]], given)
    assert refused.value.code == errcode


async def test_a_stage_that_is_not_offered(auth: InteractiveAuth) -> None:
    for stage in (TERMS, "no.such.stage"):
        assert (await challenged(auth, [[DUMMY]], {"type": stage}))["errcode"] == "M_UNRECOGNIZED"


async def test_sessions_expire(server: AccountServer, auth: InteractiveAuth) -> None:
    session = (await challenged(auth, [[DUMMY]], None))["session"]
    await server.clock.sleep(25 * 3600)
    with pytest.raises(MatrixError) as refused:
        await run(auth, [[DUMMY]], {"session": session})
    assert refused.value.code == "M_INVALID_PARAM"
    assert await server.db.read(uia.find, session) is not None
    await challenged(auth, [[DUMMY]], None)
    assert await server.db.read(uia.find, session) is None, "the next one sweeps it out"


async def test_a_session_is_used_by_one_request_at_a_time(auth: InteractiveAuth) -> None:
    session = (await challenged(auth, [[DUMMY]], None))["session"]
    given = {"type": DUMMY, "session": session}
    async with auth.proven("POST /test", [[DUMMY]], given):
        with pytest.raises(Forbidden):
            await run(auth, [[DUMMY]], given)
    with pytest.raises(MatrixError):
        await run(auth, [[DUMMY]], given)


async def test_a_request_that_fails_gives_its_session_back(auth: InteractiveAuth) -> None:
    session = (await challenged(auth, [[DUMMY]], None))["session"]
    with pytest.raises(NotFound):
        async with auth.proven("POST /test", [[DUMMY]], {"type": DUMMY, "session": session}):
            raise NotFound("gone")
    await run(auth, [[DUMMY]], {"session": session})


async def test_who_has_no_means_is_told_so(auth: InteractiveAuth) -> None:
    with pytest.raises(Forbidden):
        async with auth.proven_by_user("POST /test", None, ALICE, description="do it"):
            pass


async def test_old_clients_name_themselves_differently(server: AccountServer) -> None:
    alice = await server.user("alice", device_id="PHONE")
    for who in ({"user": "alice"}, {"user": ALICE}, {}):
        auth = {"type": PASSWORD, "password": password_auth("alice")["password"], **who}
        assert await alice.request("DELETE", "/devices/GONE", {"auth": auth}) == {}
    for auth in ({"type": PASSWORD}, {"type": PASSWORD, "password": "x", "identifier": "alice"}):
        answer = await alice.ask("DELETE", "/devices/GONE", {"auth": auth})
        assert (answer.status, answer.errcode) == (401, "M_BAD_JSON")


class TestFallback:
    def path(self, stage: str) -> str:
        return f"/auth/{stage}/fallback/web"

    async def session(self, server: AccountServer) -> str:
        answer = await server.client().ask("POST", "/register", {"username": "alice", "password": "pw"})
        return str(answer.json["session"])

    async def test_terms_are_accepted_in_a_browser(self, make_server: MakeServer) -> None:
        terms = {"enabled": True, "version": "3", "url": "https://one.test/<terms>", "policy_name": "<Terms>"}
        server = make_server(user_consent=terms)
        client = server.client()
        session = await self.session(server)
        page = await client.ask("GET", self.path(TERMS), query={"session": session})
        assert page.status == 200
        assert page.media_type == "text/html"
        assert b"&lt;Terms&gt;" in page.body
        assert b"<Terms>" not in page.body
        assert "default-src 'none'" in page.headers["content-security-policy"]
        form = urlencode({"session": session}).encode()
        done = await client.ask("POST", self.path(TERMS), query={"session": session}, raw=form)
        assert b"onAuthDone" in done.body
        assert "script-src 'sha256-" in done.headers["content-security-policy"]
        for method in ("GET", "POST"):
            again = await client.ask(method, self.path(TERMS), query={"session": session}, raw=b"")
            assert b"onAuthDone" in again.body
        body = {"username": "alice", "password": "pw", "auth": {"session": session}}
        assert (await client.request("POST", "/register", body))["user_id"] == ALICE

    async def test_the_password_is_entered_in_a_browser(self, server: AccountServer) -> None:
        alice = await server.user("alice")
        session = (await alice.ask("DELETE", "/devices/GONE", {})).json["session"]
        client = server.client()
        page = await client.ask("GET", self.path(PASSWORD), query={"session": session})
        assert b'type="password"' in page.body
        wrong = await client.ask(
            "POST", self.path(PASSWORD), query={"session": session}, raw=b"password=wrong&session=x"
        )
        assert b"invalid username or password" in wrong.body
        form = urlencode({"password": password_auth("alice")["password"]}).encode()
        await client.ask("POST", self.path(PASSWORD), query={"session": session}, raw=form)
        assert await alice.request("DELETE", "/devices/GONE", {"auth": {"session": session}}) == {}

    async def test_who_has_no_account_yet_has_no_password(self, server: AccountServer) -> None:
        await server.session_of("bob")
        session = (await server.client().ask("POST", "/account/deactivate", {})).json["session"]
        page = await server.client().ask("GET", self.path(PASSWORD), query={"session": session})
        assert b'name="user"' in page.body

    async def test_a_token_is_entered_in_a_browser(self, make_server: MakeServer) -> None:
        server = make_server(registration_requires_token=True)
        session = await self.session(server)
        path = self.path("m.login.registration_token")
        page = await server.client().ask("GET", path, query={"session": session})
        assert b'name="token"' in page.body

    async def test_nothing_to_show(self, server: AccountServer) -> None:
        session = await self.session(server)
        for stage in ("no.such.stage", "m.login.sso"):
            answer = await server.client().ask("GET", self.path(stage), query={"session": session})
            assert (answer.status, answer.errcode) == (404, "M_NOT_FOUND")
        for method in ("GET", "POST"):
            answer = await server.client().ask(
                method, self.path(DUMMY), query={"session": "nonsense"}, raw=b""
            )
            assert (answer.status, answer.errcode) == (404, "M_NOT_FOUND")
            answer = await server.client().ask(method, self.path(DUMMY), raw=b"")
            assert (answer.status, answer.errcode) == (400, "M_MISSING_PARAM")

    async def test_a_button_for_nothing(self, server: AccountServer) -> None:
        session = await self.session(server)
        page = await server.client().ask("GET", self.path(DUMMY), query={"session": session})
        assert b"<button" in page.body
        done = await server.client().ask("POST", self.path(DUMMY), query={"session": session}, raw=b"")
        assert b"onAuthDone" in done.body


async def test_a_stolen_token_does_not_help_to_guess_the_password(make_server: MakeServer) -> None:
    failures = {"per_second": 0.1, "burst_count": 2}
    free = {"per_second": 100, "burst_count": 100}
    server = make_server(
        enable_rate_limits=True, rc_login={"account": free, "address": free, "failed_attempts": failures}
    )
    alice = await server.user("alice")
    wrong = {"auth": password_auth("alice", password="wrong")}
    statuses = [(await alice.ask("DELETE", "/devices/X", wrong)).status for _ in range(4)]
    assert statuses == [401, 401, 401, 429]
    right = {"auth": password_auth("alice")}
    assert (await alice.ask("DELETE", "/devices/X", right)).status == 429
    await server.clock.sleep(11)
    assert (await alice.ask("DELETE", "/devices/X", right)).status == 200
