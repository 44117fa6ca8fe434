"""As much of S3's protocol as a store needs, on a port of the loopback."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.kept: dict[str, bytes] = {}


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:  # the library's name
        if self.headers.get("Expect"):
            self.send_response_only(100)
            self.end_headers()
        self.server.kept[self.path.partition("?")[0]] = self.content()
        self.answer(200, b"", {"ETag": '"x"'})

    def do_GET(self) -> None:  # as above
        body = self.server.kept.get(self.path.partition("?")[0])
        if body is None:
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>", {})
            return
        wanted = self.headers.get("Range")
        if wanted is None:
            self.answer(200, body, {"ETag": '"x"'})
            return
        first = int(wanted.removeprefix("bytes=").partition("-")[0])
        said = f"bytes {first}-{len(body) - 1}/{len(body)}"
        self.answer(206, body[first:], {"Content-Range": said, "ETag": '"x"'})

    def do_HEAD(self) -> None:  # as above
        self.do_GET()

    def do_DELETE(self) -> None:  # as above
        self.server.kept.pop(self.path.partition("?")[0], None)
        self.answer(204, b"", {})

    def content(self) -> bytes:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if "aws-chunked" not in self.headers.get("Content-Encoding", ""):
            return data
        out = b""
        while data:
            size, _, data = data.partition(b"\r\n")
            length = int(size.partition(b";")[0], 16)
            if not length:
                break
            out, data = out + data[:length], data[length + 2 :]
        return out

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class Objects:
    """A server of objects in memory."""

    def __init__(self) -> None:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
