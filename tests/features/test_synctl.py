"""What an operator does with the command, on real processes."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
import yaml

from tests.harness.process import free_port

REPOSITORY = Path(__file__).resolve().parents[2]
ENDS_WITHIN_S = 60


class Operator:
    """Runs verbs against one data directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.file = directory / "homeserver.yaml"

    def does(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "homeserver.synctl", *words],
            check=False,
            capture_output=True,
            text=True,
            timeout=ENDS_WITHIN_S,
            cwd=REPOSITORY,
            env={**os.environ, "HEARTH_HOME": str(self.directory.parent)},
        )

    def says(self, *words: str) -> str:
        """A verb that works; what it says."""
        done = self.does("-c", str(self.file), *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def is_refused(self, *words: str) -> str:
        """A verb that cannot work: one line, no traceback, exit code 1."""
        done = self.does("-c", str(self.file), *words)
        assert done.returncode == 1, done.stdout + done.stderr
        lines = done.stderr.splitlines()
        assert len(lines) == 1, done.stderr
        assert lines[0].startswith("synctl: ")
        return lines[0].removeprefix("synctl: ")

    def configures(self, **settings: object) -> None:
        """Generate a configuration, then change it."""
        done = self.does(
            "generate-config",
            *("--server-name", "one.test", "--data-dir", str(self.directory), "--port", str(self.port)),
        )
        assert done.returncode == 0, done.stderr
        self.changes(**settings)

    def changes(self, **settings: object) -> None:
        content = yaml.safe_load(self.file.read_text())
        self.file.write_text(yaml.safe_dump({**content, **settings}))

    def pid(self) -> int:
        return int((self.directory / "homeserver.pid").read_text())

    def asks(self, path: str, body: object = None) -> tuple[int, object]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(
            "GET" if body is None else "POST", path, None if body is None else json.dumps(body)
        )
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    someone = Operator(tmp_path / "data")
    yield someone
    if someone.file.exists():
        someone.does("-c", str(someone.file), "stop")


def test_a_server_lives(operator: Operator) -> None:
    operator.configures()
    assert "is fine" in operator.says("check-config")
    assert operator.does("-c", str(operator.file), "status").returncode == 3

    said = operator.says("start")
    assert f"http://localhost:{operator.port}" in said
    pid = operator.pid()
    assert "running already" in operator.says("start")
    assert operator.pid() == pid
    assert str(pid) in operator.says("status")

    said = operator.says("register-user", "-u", "alice", "-p", "wonderland", "--admin")
    assert "@alice:one.test" in said
    body = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": "alice"},
        "password": "wonderland",
    }
    assert operator.asks("/_matrix/client/v3/login", body)[0] == 200
    assert "is taken" in operator.is_refused("register-user", "-u", "alice", "-p", "x", "--no-admin")

    assert "ready" in operator.says("logs", "-n", "100")
    operator.says("restart")
    assert operator.pid() != pid
    assert operator.asks("/_matrix/client/v3/login", body)[0] == 200

    assert "has stopped" in operator.says("stop")
    assert "not running" in operator.says("stop")
    assert operator.does("-c", str(operator.file), "status").returncode == 3


def test_a_killed_server_starts_again(operator: Operator) -> None:
    operator.configures()
    operator.says("start")
    os.kill(operator.pid(), signal.SIGKILL)
    until = time.monotonic() + 10
    while operator.does("-c", str(operator.file), "status").returncode != 3:
        assert time.monotonic() < until
    operator.says("start")
    assert operator.asks("/_matrix/client/versions")[0] == 200


def test_generated_files_are_private_and_never_overwritten(operator: Operator) -> None:
    operator.configures()
    key = operator.directory / "one.test.signing.key"
    assert stat.S_IMODE(operator.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert key.read_text().startswith("ed25519 a_")
    before = operator.file.read_text()
    words = ("generate-config", "--server-name", "two.test", "--data-dir", str(operator.directory))
    assert "exists already" in operator.is_refused(*words)
    assert operator.file.read_text() == before


def test_a_taken_port_changes_nothing(operator: Operator, tmp_path: Path) -> None:
    operator.configures()
    operator.says("start")
    assert stat.S_IMODE((operator.directory / "homeserver.db").stat().st_mode) == 0o600
    other = Operator(tmp_path / "other")
    other.port = operator.port
    other.configures()
    before = sorted(path.name for path in other.directory.iterdir())
    assert f"port {operator.port} on 127.0.0.1 is taken" in other.is_refused("start")
    assert sorted(path.name for path in other.directory.iterdir()) == before


def test_a_broken_configuration_is_one_line(operator: Operator) -> None:
    assert "does not exist" in operator.is_refused("start")
    operator.configures(rc_mesage={})
    for verb in ("start", "stop", "restart", "status", "check-config"):
        assert "did you mean rc_message?" in operator.is_refused(verb)


def test_a_server_whose_configuration_broke_can_be_stopped(operator: Operator) -> None:
    operator.configures()
    operator.says("start")
    operator.changes(rc_mesage={})
    # A restart looks first, so what runs goes on running.
    pid = operator.pid()
    assert "did you mean rc_message?" in operator.is_refused("restart")
    assert operator.pid() == pid
    assert operator.asks("/_matrix/client/versions")[0] == 200
    assert "has stopped" in operator.says("stop")
    assert "rc_message" in operator.is_refused("stop")


def test_an_unwritable_directory_is_one_line(operator: Operator, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    words = ("generate-config", "--server-name", "one.test", "--data-dir", str(tmp_path / "file" / "data"))
    assert "cannot write to" in operator.is_refused(*words)


def test_a_missing_key_is_one_line(operator: Operator) -> None:
    operator.configures(signing_key_path="nowhere.key")
    assert "nowhere.key" in operator.is_refused("check-config")
    assert "signing_key_path: cannot read" in operator.is_refused("start")
    assert not (operator.directory / "homeserver.pid").exists()


def test_a_missing_authority_is_one_line(operator: Operator) -> None:
    operator.configures(federation_custom_ca_list=["nowhere.pem"])
    refusal = operator.is_refused("start")
    assert "federation_custom_ca_list" in refusal
    assert "nowhere.pem" in refusal


def test_a_server_name_is_checked(operator: Operator) -> None:
    words = ("generate-config", "--server-name", "no such name", "--data-dir", str(operator.directory))
    assert "is not a server name" in operator.is_refused(*words)
    assert not operator.directory.exists()


def test_two_servers_live_side_by_side(operator: Operator, tmp_path: Path) -> None:
    other = Operator(tmp_path / "other")
    operator.configures()
    other.configures()
    try:
        operator.says("start")
        other.says("start")
        operator.says("stop")
        assert other.asks("/_matrix/client/versions")[0] == 200
    finally:
        other.says("stop")


def test_a_unix_socket_is_enough(operator: Operator) -> None:
    operator.configures(listeners=[{"path": "hearth.sock"}])
    operator.says("start")
    assert "@alice:one.test" in operator.says("register-user", "-u", "alice", "-p", "x", "--no-admin")
    operator.says("restart")
    operator.says("status")


def test_logs_are_followed(operator: Operator) -> None:
    operator.configures()
    operator.says("start")
    follower = subprocess.Popen(
        [sys.executable, "-m", "homeserver.synctl", "-c", str(operator.file), "logs", "-f"],
        stdout=subprocess.PIPE,
        cwd=REPOSITORY,
    )
    try:
        assert follower.stdout is not None
        operator.asks("/_matrix/client/versions?marker")
        while b"marker" not in follower.stdout.readline():
            assert follower.poll() is None
    finally:
        follower.terminate()
        follower.communicate()
