"""Servers as operators run them, two processes that share a Redis."""

from __future__ import annotations

from http.client import HTTPConnection
from pathlib import Path

from tests.fixtures.redis import RedisServer, redis_server
from tests.harness.process import ServerProcess

__all__ = ["redis_server"]


def status_of(server: ServerProcess, path: str) -> int:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_processes_count_together_and_go_on_alone(redis_server: RedisServer, tmp_path: Path) -> None:
    settings = {
        "enable_rate_limits": True,
        "rc_im": {"per_second": 0.001, "burst_count": 4},
        "redis": {"enabled": True, "path": str(redis_server.path)},
    }
    servers = [ServerProcess(tmp_path / name, **settings) for name in ("one", "two")]
    try:
        for server in servers:
            server.start()
        one, two = servers
        asked = [status_of(server, "/im/v1/limits") for server in (one, two, one, two, one, two)]
        assert asked == [200, 200, 200, 200, 429, 429]
        redis_server.stop()
        # Neither knows any more what was counted; each counts for itself.
        assert [status_of(one, "/im/v1/limits") for _ in range(5)] == [200, 200, 200, 200, 429]
        assert status_of(two, "/im/v1/health") == 200
    finally:
        for server in servers:
            server.stop()
    assert "counted by this process alone" in one.log()
