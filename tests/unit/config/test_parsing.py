"""Settings are parsed by their declarations, and what is wrong is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import config
from config.loading import parse_text
from config.units import parse_duration_ms, parse_size


def parsed(**settings: Any) -> config.Config:
    return config.parse({"server_name": "one.test", **settings}, base=Path("/srv/hearth"))


def refusal(**settings: Any) -> str:
    with pytest.raises(config.ConfigError) as refused:
        parsed(**settings)
    return str(refused.value)


def test_a_name_is_all_that_must_be_said() -> None:
    defaults = parsed()
    assert defaults.server.server_name == "one.test"
    assert defaults.database.name == "sqlite3"
    assert defaults.listeners.listeners[0].port == 8008
    assert defaults.rooms.default_room_version == "12"
    with pytest.raises(config.ConfigError, match="server_name: must be set"):
        config.parse({})


def test_flat_and_nested_settings_have_synapses_names() -> None:
    seen = parsed(
        public_baseurl="https://matrix.one.test/",
        session_lifetime="1w",
        rc_login={"account": {"per_second": 2}},
        email={"notif_from": "noreply@one.test", "smtp_host": "mail.one.test"},
        federation_domain_whitelist=["two.test"],
        database={"name": "psycopg2", "args": {"dbname": "hearth", "cp_max": 10, "password": "x"}},
        listeners=[{"port": 8448, "tls": True, "x_forwarded": True}, {"path": "hearth.sock"}],
        tls_certificate_path="/etc/cert.pem",
        tls_private_key_path="/etc/key.pem",
        media_retention={"remote_media_lifetime": "90d"},
        ui_auth={"session_timeout": 500},
    )
    assert seen.server.base_url == "https://matrix.one.test"
    assert seen.tokens.session_lifetime_ms == 7 * 86_400_000
    assert seen.rate_limits.rc_login.account.per_second == 2.0
    assert seen.rate_limits.rc_login.account.burst_count == 10
    assert seen.email.port == 25
    assert seen.federation.federation_domain_whitelist == ("two.test",)
    assert seen.database.args.libpq() == {"dbname": "hearth", "password": "x"}
    assert seen.listeners.listeners[0].proxies == ("127.0.0.1", "::1", "unix")
    assert seen.listeners.listeners[1].path == Path("/srv/hearth/hearth.sock")
    assert seen.media.media_retention.remote_media_lifetime_ms == 90 * 86_400_000
    assert seen.tokens.ui_auth.session_timeout_ms == 500


def test_paths_are_taken_from_the_files_directory() -> None:
    seen = parsed(signing_key_path="keys/one.key", pid_file="/run/hearth.pid")
    assert seen.keys.signing_key_path == Path("/srv/hearth/keys/one.key")
    assert seen.server.pid_file == Path("/run/hearth.pid")
    assert seen.database.args.database == Path("/srv/hearth/homeserver.db")
    assert seen.media.media_store_path == Path("/srv/hearth/media_store")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"rc_mesage": {}}, "rc_mesage: there is no such setting; did you mean rc_message?"),
        ({"rc_message": {"per_secnd": 1}}, "rc_message.per_secnd: there is no such setting; did you mean per_"),
        ({"frobnicate": 1}, "frobnicate: there is no such setting"),
        ({"report_stats": True}, "report_stats: Hearth reports nothing to anybody; remove it"),
        ({"listeners": [{"port": "x"}]}, "listeners[0].port: must be a whole number, not 'x'"),
        ({"listeners": [{"port": 1, "path": "x"}]}, "listeners[0]: a listener has either a port or a path"),
        ({"listeners": [{"port": 1, "tls": True}]}, "tls_certificate_path, tls_private_key_path: both"),
        ({"listeners": [{"port": 70000}]}, "listeners[0]: port 70000 is not between 1 and 65535"),
        ({"enable_registration": "yes"}, "enable_registration: must be true or false, not 'yes'"),
        ({"log": {"level": "warn"}}, "log.level: must be one of debug, info, warning, error, not 'warn'"),
        ({"log": []}, "log: must be a mapping of settings, not a list"),
        ({"session_lifetime": "soon"}, "session_lifetime: must be a duration such as 30s, 5m or 1d"),
        ({"max_upload_size": "50 megs"}, "max_upload_size: must be a size such as 512K, 50M or 1G"),
        ({"federation_domain_whitelist": ["a", "b c"]}, "federation_domain_whitelist[1]: 'b c' is not"),
        ({"ip_range_blacklist": ["10.0.0.0/99"]}, "ip_range_blacklist[0]: must be an address or a network"),
        ({"email": {"smtp_pass": 1234}}, "email.smtp_pass: must be text (put it in quotes)"),
        ({"public_baseurl": "matrix.one.test"}, "public_baseurl: must be a URL such as"),
        ({"server_name": "one test"}, "server_name: 'one test' is not a server name"),
        ({"jwt_config": {"enabled": True}}, "jwt_config: secret must be set when it is enabled"),
        ({"bcrypt_rounds": 99}, "bcrypt_rounds must be between 4 and 31"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(settings: dict[str, Any], said: str) -> None:
    assert refusal(**settings).startswith(said)


def test_a_key_without_a_value_says_nothing() -> None:
    assert parsed(rc_message=None, email=None).rate_limits.rc_message.burst_count == 50


def test_secrets_may_lie_in_files() -> None:
    files = {Path("/srv/hearth/secret"): "from a file\n"}
    raw = {"server_name": "one.test", "registration_shared_secret_path": "secret"}
    seen = config.parse(raw, base=Path("/srv/hearth"), read_file=files.__getitem__)
    assert seen.registration.registration_shared_secret == "from a file"


def test_a_secret_is_given_once_and_its_file_must_be_there(tmp_path: Path) -> None:
    twice = refusal(registration_shared_secret="x", registration_shared_secret_path="y")
    assert twice.startswith("registration_shared_secret: is set twice")
    raw = {"server_name": "one.test", "registration_shared_secret_path": "missing"}
    with pytest.raises(config.ConfigError, match="registration_shared_secret_path: cannot read missing"):
        config.parse(raw, base=tmp_path)


def test_secrets_are_not_shown() -> None:
    shown = repr(
        parsed(registration_shared_secret="hush", turn_shared_secret="hush", email={"smtp_pass": "hush"})
    )
    assert "hush" not in shown


def test_duplicate_keys_and_broken_yaml_are_refused_with_their_line() -> None:
    with pytest.raises(config.ConfigError, match="line 2: server_name is set twice"):
        parse_text("server_name: a\nserver_name: b\n")
    with pytest.raises(config.ConfigError, match="this is not YAML"):
        parse_text("server_name: [")
    with pytest.raises(config.ConfigError, match="must be a mapping"):
        parse_text("- server_name")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError, match=r"cannot read .*nothing\.yaml: No such file"):
        config.load(tmp_path / "nothing.yaml")


@pytest.mark.parametrize(
    ("text", "ms"),
    [("500ms", 500), ("30s", 30_000), ("1h30m", 5_400_000), ("2w", 1_209_600_000), (7, 7), ("7", 7)],
)
def test_durations(text: object, ms: int) -> None:
    assert parse_duration_ms(text) == ms


@pytest.mark.parametrize(
    ("text", "size"), [("50M", 52_428_800), ("64k", 65_536), ("1GiB", 1 << 30), (12, 12), ("9", 9)]
)
def test_sizes(text: object, size: int) -> None:
    assert parse_size(text) == size


@given(st.one_of(st.text(), st.booleans(), st.floats(), st.integers(max_value=-1), st.none()))
def test_units_parse_or_refuse(value: object) -> None:
    for parse in (parse_duration_ms, parse_size):
        try:
            assert parse(value) >= 0
        except ValueError as error:
            assert "must be a" in str(error)


json_like = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = sorted(
    {"listeners", "database", "rc_login", "email", "oidc_providers", "federation", "log", "turn_uris"}
)


@given(st.dictionaries(st.sampled_from(KEYS), json_like, max_size=3))
def test_nonsense_is_refused_and_never_crashes(settings: dict[str, Any]) -> None:
    try:
        parsed(**settings)
    except config.ConfigError as error:
        assert str(error)


def test_every_rate_has_a_class_and_none_when_they_are_off() -> None:
    classes = parsed().rate_limits.classes()
    assert {"message", "login_address", "login_failed_attempts", "joins_remote", "admin_redaction"} <= set(
        classes
    )
    assert classes["joins"] == classes["joins_local"]
    assert parsed(enable_rate_limits=False).rate_limits.classes() == {}


@pytest.mark.parametrize(
    ("im", "said"),
    [
        ({"token_format": "jwt"}, "jwt_secret must be set"),
        ({"token_format": "jwt", "jwt_secret": "too short"}, "at least 32 bytes"),
        ({"email_code_attempts": 0}, "at least 1"),
    ],
)
def test_what_would_make_tokens_or_codes_worthless_is_refused(im: dict[str, Any], said: str) -> None:
    with pytest.raises(config.ConfigError, match=said):
        parsed(im=im)
