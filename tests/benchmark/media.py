"""What media costs a running server: memory for large files, and the latency of messages beside thumbnails.

python -m tests.benchmark.media files [megabytes]       upload and download: time, CPU, peak memory
python -m tests.benchmark.media thumbnails [pictures]   `send` alone, and while thumbnails are made
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

from tests.harness.configuration import PASSWORD
from tests.harness.process import ServerProcess

SENDS = 300
CHUNK = 1024 * 1024


class Somebody:
    """A user with a connection."""

    def __init__(self, port: int, token: str = "") -> None:
        self._http = HTTPConnection("127.0.0.1", port, timeout=120)
        self.token = token

    def ask(self, method: str, path: str, body: Any = b"", content_type: str = "application/json") -> bytes:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": content_type}
        self._http.request(method, path, body, headers)
        answer = self._http.getresponse()
        data = answer.read()
        assert answer.status == 200, (answer.status, data[:300])
        return data

    def drain(self, path: str) -> int:
        """Download without keeping it."""
        self._http.request("GET", path, headers={"Authorization": f"Bearer {self.token}"})
        answer = self._http.getresponse()
        size = 0
        while data := answer.read(CHUNK):
            size += len(data)
        return size


@contextmanager
def running() -> Iterator[tuple[ServerProcess, Somebody]]:
    with tempfile.TemporaryDirectory() as directory:
        server = ServerProcess(Path(directory), log={"access": False})
        server.start()
        try:
            user = Somebody(server.port)
            auth = {"type": "m.login.dummy"}
            body = json.dumps({"username": "alice", "password": PASSWORD, "auth": auth})
            user.token = json.loads(user.ask("POST", "/_matrix/client/v3/register", body))["access_token"]
            yield server, user
        finally:
            server.stop()


class Watch:
    """CPU time and peak memory of a process while something happens."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)

    def of(self, what: str, do: Callable[[], object]) -> None:
        before, cpu = self._process.memory_info().rss, self._cpu()
        peak = [before]
        done = threading.Event()

        def look() -> None:
            while not done.wait(0.002):
                peak[0] = max(peak[0], self._process.memory_info().rss)

        looking = threading.Thread(target=look)
        looking.start()
        began = time.perf_counter()
        do()
        took = time.perf_counter() - began
        done.set()
        looking.join()
        print(
            f"{what}: {took:.2f} s, CPU {self._cpu() - cpu:.2f} s, memory {before / 2**20:.1f} MB before, "
            f"{peak[0] / 2**20:.1f} MB at most (+{(peak[0] - before) / 2**20:.1f})"
        )

    def _cpu(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)


def measure_files(megabytes: int) -> None:
    with running() as (server, user), tempfile.TemporaryFile() as file:
        for _ in range(megabytes):
            file.write(os.urandom(CHUNK))
        watch = Watch(server.pid)
        uri = ""

        def upload() -> None:
            nonlocal uri
            file.seek(0)
            answer = user.ask("POST", "/_matrix/media/v3/upload", file.read(), "application/octet-stream")
            uri = json.loads(answer)["content_uri"].removeprefix("mxc://")

        def download() -> None:
            assert user.drain(f"/_matrix/client/v1/media/download/{uri}") == megabytes * CHUNK

        user.ask("POST", "/_matrix/media/v3/upload", b"small", "text/plain")
        for _ in range(2):
            watch.of(f"upload of {megabytes} MB", upload)
            watch.of(f"download of {megabytes} MB", download)


def pictures(count: int) -> Iterator[tuple[bytes, str]]:
    """Photographs of 12 megapixels, and screenshots of 3."""
    grain = Image.frombytes("RGB", (400, 300), os.urandom(360_000))
    photo = grain.resize((4000, 3000), Image.Resampling.BICUBIC)
    screen = grain.resize((2000, 1500), Image.Resampling.NEAREST)
    for number in range(count):
        image, kind = (photo, "JPEG") if number % 2 else (screen, "PNG")
        image.putpixel((number, 0), (number, number, number))
        out = BytesIO()
        image.save(out, kind, **({"quality": 85} if kind == "JPEG" else {"compress_level": 1}))
        yield out.getvalue(), f"image/{kind.lower()}"


def measure_thumbnails(count: int) -> None:
    with running() as (server, user):
        room = json.loads(user.ask("POST", "/_matrix/client/v3/createRoom", "{}"))["room_id"]
        numbers = iter(range(1_000_000))

        def send() -> float:
            began = time.perf_counter()
            path = f"/_matrix/client/v3/rooms/{room}/send/m.room.message/{next(numbers)}"
            user.ask("PUT", path, '{"msgtype":"m.text","body":"hello"}')
            return (time.perf_counter() - began) * 1000

        uris = [
            json.loads(user.ask("POST", "/_matrix/media/v3/upload", data, kind))["content_uri"][6:]
            for data, kind in pictures(count)
        ]
        for _ in range(50):
            send()
        told("send alone", [send() for _ in range(SENDS)])

        def thumbnail(uri: str) -> int:
            viewer = Somebody(server.port, user.token)
            return viewer.drain(f"/_matrix/client/v1/media/thumbnail/{uri}?width=320&height=240&method=scale")

        took: list[float] = []

        def work() -> None:
            with ThreadPoolExecutor(count) as pool:
                done = [pool.submit(thumbnail, uri) for uri in uris]
                while not all(one.done() for one in done):
                    took.append(send())
                assert all(one.result() > 0 for one in done)

        Watch(server.pid).of(f"{count} thumbnails", work)
        told("send beside them", took)


def told(what: str, took: list[float]) -> None:
    ordered = sorted(took)
    print(
        f"{what}: {len(took)} times, median {statistics.median(ordered):.2f} ms, "
        f"95% {ordered[int(len(ordered) * 0.95)]:.2f} ms, at most {ordered[-1]:.2f} ms"
    )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["files", *rest]:
            measure_files(int(rest[0]) if rest else 50)
        case ["thumbnails", *rest]:
            measure_thumbnails(int(rest[0]) if rest else 50)
        case _:
            sys.exit(__doc__)
