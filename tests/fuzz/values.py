"""Values to put into requests: right ones of a prepared world, nearly right ones, and nonsense."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

FOREIGN = "elsewhere.test"

# Text that has broken servers before.
NASTY_TEXTS = (
    "", " ", "\0", "\x7f", "a\0b", "\n", "..", "../..", "/", "//", "%", "%00", "%2F", "+", "?", "#", "&a=b", "\\",
    "'", '"', "';--", "<script>", "{}", "[]", "null", "true", "NaN", "-1", "0", "1e400", "9" * 30, "\u202e", "é",
    "e\u0301", "\U0001f600", "\ufffe", "\ud7ff", "@", "@:", "@a", "@a:", "@:b", "!", "#", "$", "$$", "m.room.member",
    "a" * 255, "a" * 256, "é" * 128, "x" * 70_000, "Infinity", "0x10", "１", "ﬀ", "İ",
)  # fmt: skip

# Numbers at the edges of what JSON, databases and languages hold.
NASTY_NUMBERS = (
    0, -1, 1, 2**31, 2**31 - 1, -(2**31) - 1, 2**53 - 1, 2**53, -(2**53), 2**63 - 1, 2**63, -(2**63) - 1, 2**64,
    10**30, 0.5, -0.0, 1e308, 5e-324,
)  # fmt: skip


@dataclass(slots=True)
class Values:
    """Identifiers that exist, by the kind of thing that they name; filled while the world is made."""

    known: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, *values: str) -> None:
        self.known.setdefault(kind, []).extend(values)

    def of(self, kind: str) -> list[str]:
        return self.known.get(kind, [])


_WRONG: Mapping[str, tuple[str, ...]] = {
    "user": (
        f"@nobody:{FOREIGN}",
        "@nobody:one.test",
        "alice",
        "@alice",
        "@alice:",
        "@Alice:one.test",
        "@a:b:c:d",
    ),
    "room": (
        f"!nothing:{FOREIGN}",
        "!nothing:one.test",
        "!" + "A" * 43,
        "room",
        "!",
        "!a\0b:one.test",
        "#a:one.test",
    ),
    "event": ("$" + "A" * 43, f"$nothing:{FOREIGN}", "event", "$", "$a/b+c", "@a:one.test"),
    "alias": (f"#nothing:{FOREIGN}", "#nothing:one.test", "#", "#:one.test", "alias", "#a b:one.test"),
    "token": ("s", "s0", "s-1_0", "s99999999999999999999_0", "t1-1", "abc", "s1_", "s_1"),
    "server": (FOREIGN, "", "one.test", "-", "[::1]", "1.2.3.4:99999", "a:b", "a..b"),
    "mxc": (
        "mxc://",
        "mxc://one.test",
        "mxc://one.test/",
        "mxc://one.test/a/b",
        "http://one.test/a",
        "mxc://a/../b",
    ),
}

_KIND_BY_NAME: Mapping[str, str] = {
    "userid": "user", "user": "user", "sender": "user", "target": "user", "invite": "user", "users": "user",
    "roomid": "room", "roomidoralias": "room_or_alias", "room": "room", "rooms": "room", "replacementroom": "room",
    "eventid": "event", "mfullyread": "event", "mread": "event", "redacts": "event", "event": "event",
    "roomalias": "alias", "alias": "alias", "aliases": "alias", "roomaliasname": "localpart",
    "deviceid": "device", "devices": "device", "servername": "server", "server": "server", "via": "server",
    "from": "token", "to": "token", "since": "token", "at": "token", "nextbatch": "token",
    "filterid": "filter", "filter": "filter_json", "session": "session", "avatarurl": "mxc", "url": "mxc",
    "type": "event_type", "eventtype": "event_type", "roomversion": "version", "newversion": "version",
    "username": "localpart", "receipttype": "receipt_type", "kind": "push_kind", "ruleid": "push_rule",
    "presence": "presence", "membership": "membership", "visibility": "visibility", "dir": "direction",
    "preset": "preset", "reltype": "relation", "token": "secret", "refreshtoken": "secret", "keyname": "profile_key",
    "setpresence": "presence", "timeout": "number", "limit": "number", "ts": "number", "statekey": "state_key",
}  # fmt: skip

_FIXED: Mapping[str, tuple[str, ...]] = {
    "event_type": ("m.room.message", "m.room.name", "m.room.member", "m.room.power_levels", "m.room.create",
                   "m.room.redaction", "m.room.encryption", "m.reaction", "m.room.server_acl", "m.tag", "m.direct",
                   "m.push_rules", "m.fully_read", "m.room.canonical_alias", "m.room.join_rules", "org.example"),
    "version": ("1", "2", "3", "6", "9", "10", "11", "12", "13", "org.example", ""),
    "receipt_type": ("m.read", "m.read.private", "m.fully_read", "m.unread"),
    "push_kind": ("override", "underride", "sender", "room", "content", "postcontent"),
    "push_rule": (".m.rule.master", ".m.rule.message", ".m.rule.contains_user_name", "my.rule"),
    "presence": ("online", "offline", "unavailable", "busy"),
    "membership": ("join", "invite", "leave", "ban", "knock", "dance"),
    "visibility": ("public", "private", "secret"),
    "direction": ("b", "f", "x"),
    "preset": ("public_chat", "private_chat", "trusted_private_chat", "no_chat"),
    "relation": ("m.thread", "m.annotation", "m.replace", "m.reference"),
    "profile_key": ("displayname", "avatar_url", "m.tz", "org.example.key"),
    "state_key": ("", "@alice:one.test", "@bob:one.test", "_hidden", "key"),
    "number": ("0", "1", "10", "-1", "100000", "9999999999999999999999", "1.5", "ten"),
    "localpart": ("dave", "alice", "UPPER", "_under", "a b", "a/b", "12345", "@dave:one.test", "x" * 300),
    "filter_json": ("{}", '{"room":{"timeline":{"limit":3}}}', '{"room":5}', '{"types":["m.room.message"]}', "[", "0",
                    '{"lazy_load_members":true}', '{"room":{"timeline":{"limit":-5}}}', '{"limit":1e400}'),
}  # fmt: skip


def kind_of(name: str) -> str | None:
    """What a parameter or property of this name holds."""
    return _KIND_BY_NAME.get(name.lower().replace("_", "").replace(".", ""))


texts = st.one_of(st.sampled_from(NASTY_TEXTS), st.text(max_size=12))
numbers = st.one_of(st.sampled_from(NASTY_NUMBERS), st.integers(-5, 200))


def named_text(name: str, values: Values) -> st.SearchStrategy[str]:
    """Text for something of this name: mostly of the right kind."""
    kind = kind_of(name)
    if kind is None:
        return texts
    kinds = ("room", "alias") if kind == "room_or_alias" else (kind,)
    right = [value for one in kinds for value in (*values.of(one), *_FIXED.get(one, ()))]
    wrong = [value for one in kinds for value in _WRONG.get(one, ())]
    choices = []
    if right:
        # Given twice, they are chosen twice as often.
        choices += [st.sampled_from(right), st.sampled_from(right)]
    if wrong:
        choices.append(st.sampled_from(wrong))
    return st.one_of(*choices, texts)


json_values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
