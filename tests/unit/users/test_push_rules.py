"""Push rules, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from homeserver.runtime.notifier import LogKind
from homeserver.users import push_rules
from storage import push_rules as rows
from tests.harness.client import Client
from tests.unit.users.account_server import AccountServer, user_id_of

ALICE = user_id_of("alice")
GLOBAL = "/pushrules/global"
NOTIFY: dict[str, Any] = {"actions": ["notify"]}


async def ids(client: Client, kind: str, *, own: bool = True) -> list[str]:
    rules = (await client.request("GET", f"{GLOBAL}/"))[kind]
    return [rule["rule_id"] for rule in rules if rule["default"] is not own]


async def test_everybody_has_the_servers_rules(server: AccountServer) -> None:
    alice = await server.user("alice")
    everything = await alice.request("GET", "/pushrules/")
    assert everything == {"global": await alice.request("GET", f"{GLOBAL}/")}
    assert everything == await alice.request("GET", "/pushrules")
    assert everything == await alice.request("GET", f"/user/{ALICE}/account_data/m.push_rules")
    override = everything["global"]["override"]
    assert (override[0]["rule_id"], override[0]["enabled"]) == (".m.rule.master", False)
    mention = await alice.request("GET", f"{GLOBAL}/override/.m.rule.is_user_mention")
    assert mention["conditions"][0]["value"] == ALICE


@pytest.mark.parametrize(
    ("kind", "rule_id", "rule"),
    [
        ("override", "mine", {"actions": [], "conditions": []}),
        (
            "override",
            "my rule",
            {"actions": [{"set_tweak": "highlight"}], "conditions": [{"kind": "new", "a": 1}]},
        ),
        (
            "underride",
            "mine",
            {"actions": ["notify", {"set_tweak": "sound", "value": "bing"}], "conditions": []},
        ),
        ("content", "cake", {"actions": ["notify"], "pattern": "cake*lie"}),
        ("room", "!room:one.test", NOTIFY),
        ("sender", "@bob:one.test", NOTIFY),
    ],
)
async def test_a_rule_comes_and_goes(
    server: AccountServer, kind: str, rule_id: str, rule: dict[str, Any]
) -> None:
    alice = await server.user("alice")
    path = f"{GLOBAL}/{kind}/{rule_id.replace(' ', '%20')}"
    missing = await alice.ask("GET", path)
    assert (missing.status, missing.errcode) == (404, "M_NOT_FOUND")
    assert await alice.request("PUT", path, rule) == {}
    whole = {**rule, "rule_id": rule_id, "enabled": True, "default": False}
    assert await alice.request("GET", path) == whole
    assert await alice.request("GET", f"{path}/enabled") == {"enabled": True}
    assert await alice.request("GET", f"{path}/actions") == {"actions": rule["actions"]}
    assert await ids(alice, kind) == [rule_id]
    assert await alice.request("DELETE", path) == {}
    gone = await alice.ask("DELETE", path)
    assert (gone.status, gone.errcode) == (404, "M_NOT_FOUND")
    assert await ids(alice, kind) == []


async def test_rules_are_for_their_user(server: AccountServer) -> None:
    alice, bob = await server.user("alice"), await server.user("bob")
    await alice.request("PUT", f"{GLOBAL}/override/mine", NOTIFY)
    assert await ids(bob, "override") == []


async def test_order(server: AccountServer) -> None:
    alice = await server.user("alice")

    async def put(rule_id: str, **where: str) -> list[str]:
        await alice.request("PUT", f"{GLOBAL}/override/{rule_id}", NOTIFY, query=where)
        return await ids(alice, "override")

    assert await put("a") == ["a"]
    assert await put("b") == ["b", "a"], "a new rule goes first"
    assert await put("c", after="b") == ["b", "c", "a"]
    assert await put("d", before="a") == ["b", "c", "d", "a"]
    assert await put("c") == ["b", "c", "d", "a"], "an old one stays"
    assert await put("a", before="b") == ["a", "b", "c", "d"]
    assert await put("a", before="d", after="b") == ["b", "c", "a", "d"], "before counts"
    everything = await alice.request("GET", f"{GLOBAL}/")
    order = [rule["rule_id"] for rule in everything["override"]]
    assert order[:6] == [".m.rule.master", "b", "c", "a", "d", ".m.rule.suppress_notices"]
    for where in ({"before": "z"}, {"after": "z"}, {"before": ".m.rule.suppress_notices"}, {"after": "a"}):
        answer = await alice.ask("PUT", f"{GLOBAL}/override/a", NOTIFY, query=where)
        assert (answer.status, answer.errcode) == (404, "M_NOT_FOUND"), where
    assert await ids(alice, "override") == ["b", "c", "a", "d"]


@pytest.mark.parametrize("rule_id", ["mine", ".m.rule.suppress_notices"])
async def test_enabling_and_acting_differently(server: AccountServer, rule_id: str) -> None:
    alice = await server.user("alice")
    await alice.request("PUT", f"{GLOBAL}/override/mine", NOTIFY)
    path = f"{GLOBAL}/override/{rule_id}"
    assert await alice.request("PUT", f"{path}/enabled", {"enabled": False}) == {}
    assert await alice.request("GET", f"{path}/enabled") == {"enabled": False}
    actions = ["notify", {"set_tweak": "sound", "value": "ring"}]
    assert await alice.request("PUT", f"{path}/actions", {"actions": actions}) == {}
    rule = await alice.request("GET", path)
    assert (rule["enabled"], rule["actions"]) == (False, actions)
    await alice.request("PUT", f"{path}/enabled", {"enabled": True})
    assert (await alice.request("GET", path))["enabled"] is True


async def test_a_rule_that_is_rewritten_stays_disabled(server: AccountServer) -> None:
    alice = await server.user("alice")
    path = f"{GLOBAL}/content/cake"
    await alice.request("PUT", path, {**NOTIFY, "pattern": "cake"})
    await alice.request("PUT", f"{path}/enabled", {"enabled": False})
    await alice.request("PUT", path, {**NOTIFY, "pattern": "pie"})
    rule = await alice.request("GET", path)
    assert (rule["pattern"], rule["enabled"]) == ("pie", False)


async def test_actions_of_history_say_nothing(server: AccountServer) -> None:
    alice = await server.user("alice")
    await alice.request("PUT", f"{GLOBAL}/override/mine", {"actions": ["dont_notify", "coalesce"]})
    assert (await alice.request("GET", f"{GLOBAL}/override/mine"))["actions"] == []


@pytest.mark.parametrize("part", ["", "/enabled", "/actions"])
async def test_what_is_not_there(server: AccountServer, part: str) -> None:
    alice = await server.user("alice")
    for rule_id in ("none", ".m.rule.none"):
        answer = await alice.ask("GET", f"{GLOBAL}/override/{rule_id}{part}")
        assert (answer.status, answer.errcode) == (404, "M_NOT_FOUND")
        if part:
            answer = await alice.ask(
                "PUT", f"{GLOBAL}/override/{rule_id}{part}", {"enabled": True, "actions": []}
            )
            assert (answer.status, answer.errcode) == (404, "M_NOT_FOUND")
    answer = await alice.ask("DELETE", f"{GLOBAL}/override/.m.rule.master")
    assert (answer.status, answer.errcode) == (404, "M_NOT_FOUND"), "the server's rules are not the user's"


@pytest.mark.parametrize(
    ("path", "body", "errcode"),
    [
        ("override/.mine", NOTIFY, "M_INVALID_PARAM"),
        ("override/a%2Fb", NOTIFY, "M_INVALID_PARAM"),
        ("override/a%5Cb", NOTIFY, "M_INVALID_PARAM"),
        (f"override/{'x' * 256}", NOTIFY, "M_INVALID_PARAM"),
        ("room/mine", NOTIFY, "M_INVALID_PARAM"),
        ("sender/mine", NOTIFY, "M_INVALID_PARAM"),
        ("content/mine", NOTIFY, "M_INVALID_PARAM"),
        ("nonsense/mine", NOTIFY, "M_INVALID_PARAM"),
        ("override/mine", {}, "M_BAD_JSON"),
        ("override/mine", {"actions": "notify"}, "M_BAD_JSON"),
        ("override/mine", {"actions": [7]}, "M_BAD_JSON"),
        ("override/mine", {"actions": ["dance"]}, "M_INVALID_PARAM"),
        ("override/mine", {"actions": [{"tweak": 1}]}, "M_INVALID_PARAM"),
        ("override/mine", {"actions": [], "conditions": [{}]}, "M_INVALID_PARAM"),
        ("override/mine", {"actions": [], "conditions": [7]}, "M_BAD_JSON"),
        ("content/mine", {"actions": [], "pattern": 7}, "M_BAD_JSON"),
        ("override/mine/enabled", {"enabled": "yes"}, "M_BAD_JSON"),
        ("override/mine/enabled", {}, "M_BAD_JSON"),
        ("override/.m.rule.master/actions", {}, "M_BAD_JSON"),
        ("override/.m.rule.master/actions", {"actions": ["dance"]}, "M_INVALID_PARAM"),
    ],
)
async def test_refusals(server: AccountServer, path: str, body: dict[str, Any], errcode: str) -> None:
    alice = await server.user("alice")
    answer = await alice.ask("PUT", f"{GLOBAL}/{path}", body)
    assert (answer.status, answer.errcode) == (400, errcode)
    assert await server.db.read(rows.find, ALICE) is None


async def test_nobody_has_endlessly_many(server: AccountServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_rules, "MAX_RULES", 2)
    alice = await server.user("alice")
    for rule_id in ("a", "b", "a"):
        await alice.request("PUT", f"{GLOBAL}/override/{rule_id}", NOTIFY)
    answer = await alice.ask("PUT", f"{GLOBAL}/override/c", NOTIFY)
    assert (answer.status, answer.errcode) == (400, "M_INVALID_PARAM")


async def test_every_change_is_a_row_of_the_log(server: AccountServer) -> None:
    alice = await server.user("alice")
    for _ in range(2):
        await alice.request("PUT", f"{GLOBAL}/override/mine", NOTIFY)
    (entry,) = (entry for entry in server.log if entry.kind == LogKind.PUSH_RULES)
    assert entry.user_id == ALICE
    assert entry.payload["override"][1]["rule_id"] == "mine"
    assert await server.db.read(rows.position_of, ALICE) == entry.position
