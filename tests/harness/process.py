"""A server as operators run it: a process of its own, on a free port of the loopback, with a data directory."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import yaml

from homeserver.events.signatures import SigningKey, format_signing_key
from tests.harness.configuration import PASSWORD, open_to_all

STARTS_WITHIN_S = 30.0
STOPS_WITHIN_S = 20.0
_REPOSITORY = Path(__file__).parents[2]


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def configuration_of(directory: Path, port: int, **settings: Any) -> dict[str, Any]:
    """A configuration for tests, with everything it names in `directory`; `listeners` are further ones."""
    defaults: dict[str, Any] = {
        "server_name": "localhost",
        "database": {"name": "sqlite3", "args": {"database": str(directory / "homeserver.db")}},
        "public_baseurl": f"http://127.0.0.1:{port}/",
        "signing_key_path": str(directory / "signing.key"),
        "listeners": [],
    }
    configuration = open_to_all(**{**defaults, **settings})
    here = {"port": port, "bind_addresses": ["127.0.0.1"], "type": "http"}
    return {**configuration, "listeners": [here, *configuration["listeners"]]}


class ServerProcess:
    """One server; it may be stopped or killed and started again over the same data."""

    starts_within_s = STARTS_WITHIN_S
    _numbers = itertools.count(1)

    def __init__(self, directory: Path, **settings: Any) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.server_name = str(settings.get("server_name", "localhost"))
        self.configuration_file = directory / "homeserver.yaml"
        self.log_file = directory / "homeserver.log"
        self.configuration_file.write_text(yaml.safe_dump(self._configuration(**settings)))

    def _configuration(self, **settings: Any) -> dict[str, Any]:
        key = SigningKey.of("a_test", os.urandom(32))
        (self._directory / "signing.key").write_text(format_signing_key(key))
        return configuration_of(self._directory, self.port, **settings)

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "homeserver.app", "-c", str(self.configuration_file)]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(_REPOSITORY)}

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def new_number(self) -> int:
        """A number that nobody else in this test session has, for names."""
        return next(self._numbers)

    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def start(self) -> None:
        """Start, and wait until it answers.

        Raises:
            AssertionError: it ended, or does not answer; its log is in the message.
        """
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                stdout=log,
                stderr=log,
                cwd=self._directory,
                env=self._environment(),
            )
        ends = time.monotonic() + self.starts_within_s
        while time.monotonic() < ends:
            if self._process.poll() is not None:
                raise AssertionError(
                    f"the server ended with {self._process.returncode}:\n{self.log()[-4000:]}"
                )
            with contextlib.suppress(OSError):
                if self.request("GET", "/_matrix/client/versions")[0] == 200:
                    return
            # Only a running process can say when it is ready; there is nothing to wait on but itself.
            time.sleep(0.02)
        self.kill()
        raise AssertionError(f"the server does not answer:\n{self.log()[-4000:]}")

    def stop(self) -> None:
        """Ask it to finish, as an init system does.

        Raises:
            AssertionError: it did not end well.
        """
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the server does not stop:\n{self.log()[-4000:]}") from None
        self._process = None
        assert code == 0, f"the server ended with {code}:\n{self.log()[-4000:]}"

    def kill(self) -> None:
        """Kill it between two instructions."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def connect(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=30)

    def request(
        self,
        method: str,
        path: str,
        json_body: Any = None,
        *,
        token: str | None = None,
        connection: HTTPConnection | None = None,
    ) -> tuple[int, Any]:
        """One request; its status and JSON."""
        using = connection or self.connect()
        headers: Mapping[str, str] = {"Authorization": f"Bearer {token}"} if token else {}
        body = None if json_body is None else json.dumps(json_body)
        try:
            using.request(method, path, body, dict(headers))
            answer = using.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            if connection is None:
                using.close()

    def register(self, name: str, password: str = PASSWORD) -> str:
        """Register a user; the access token."""
        body = {"username": name, "password": password, "auth": {"type": "m.login.dummy"}}
        status, answer = self.request("POST", "/_matrix/client/v3/register", body)
        assert status == 200, answer
        return str(answer["access_token"])
