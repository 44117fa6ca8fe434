"""The life of a connection: pipelining, slow and impatient clients, bodies in pieces, upgrades."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred

from homeserver.http.site import Limits
from tests.conftest import Logged
from tests.fixtures.reactor import VirtualReactor
from tests.unit.http.served import Served, get, headers_of, json_of, put, status_of

AS_ALICE = "Authorization: Bearer alice"


@pytest.fixture
def served(reactor: VirtualReactor) -> Served:
    return Served(reactor)


def test_requests_on_one_connection_are_answered_in_order(served: Served) -> None:
    peer = served.connect()
    peer.send(get("/sync", AS_ALICE) + get("/plain") + put("/any", b'{"n":1}', method="POST"))
    assert peer.take() == b""
    served.endpoints.waiting[0].callback(None)
    answers = peer.take().split(b"HTTP/1.1 ")[1:]
    assert [answer.rpartition(b"\r\n")[2] for answer in answers] == [
        b'{"next_batch":"s1"}',
        b"{}",
        b'{"n":1}',
    ]
    assert not peer.is_closed


def test_a_thousand_pipelined_requests_do_not_recurse(served: Served) -> None:
    peer = served.connect()
    peer.send(get("/plain") * 1000)
    assert peer.take().count(b"HTTP/1.1 200 OK") == 1000


@pytest.mark.parametrize("size", [1, 7, 50])
def test_requests_may_arrive_in_pieces(served: Served, size: int) -> None:
    data = put("/any", b'{"n":1}', method="POST") * 3
    peer = served.connect()
    for start in range(0, len(data), size):
        peer.send(data[start : start + size])
    assert peer.take().count(b'{"n":1}') == 3


def test_a_chunked_body_is_put_together(served: Served) -> None:
    head = b"POST /any HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
    peer = served.connect()
    peer.send(head + b'3;ext=1\r\n{"a\r\n4\r\n":1}\r\n0\r\nTrailer: x\r\n\r\n' + get("/plain"))
    assert peer.take().count(b"200 OK") == 2


def test_a_chunked_body_that_grows_too_large_is_refused(served: Served) -> None:
    head = b"POST /any HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
    peer = served.connect()
    peer.send(head + b"3e8\r\n" + b"x" * 1000 + b"\r\n")
    assert peer.take() == b""
    peer.send(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
    assert status_of(peer.take()) == 413
    assert peer.is_closed


def test_the_client_may_ask_whether_to_send_its_body(served: Served) -> None:
    peer = served.connect()
    head, _, body = put("/any", b'{"n":1}', "Expect: 100-continue", method="POST").partition(b"\r\n\r\n")
    peer.send(head + b"\r\n\r\n")
    assert peer.take() == b"HTTP/1.1 100 Continue\r\n\r\n"
    peer.send(body)
    assert json_of(peer.take()) == {"n": 1}


def test_a_refused_body_need_not_be_sent(served: Served) -> None:
    peer = served.connect()
    peer.send(put("/nothing", b"", "Expect: 100-continue").replace(b"Length: 0", b"Length: 10"))
    assert status_of(peer.take()) == 404
    peer = served.connect()
    peer.send(put("/any", b"", "Expect: 100-continue", method="POST").replace(b"Length: 0", b"Length: 99999"))
    assert status_of(peer.take()) == 413


def test_the_body_of_a_refused_request_is_passed_over(served: Served) -> None:
    peer = served.connect()
    peer.send(put("/nothing", b"GET /plain HTTP/1.1\r\n\r\n") + get("/plain"))
    answers = peer.take().split(b"HTTP/1.1 ")[1:]
    assert [answer[:3] for answer in answers] == [b"404", b"200"]


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1\r\nConnection: Close"])
def test_the_connection_closes_when_the_client_wants_it(served: Served, version: bytes) -> None:
    peer = served.connect()
    peer.send(b"GET /plain " + version + b"\r\nHost: test\r\n\r\n" + get("/plain"))
    answer = peer.take()
    assert answer.count(b"200 OK") == 1
    assert headers_of(answer)["connection"] == "close"
    assert peer.is_closed


def test_a_client_that_leaves_releases_its_long_poll(served: Served) -> None:
    peer = served.connect()
    peer.send(get("/sync", AS_ALICE))
    peer.transport.disconnect(ConnectionError())
    assert served.endpoints.waiting[0].called
    assert "0B 0! " in served.access_lines()


def test_a_client_that_leaves_does_not_stop_a_write(served: Served) -> None:
    peer = served.connect()
    peer.send(put("/write", b"{}", method="POST"))
    peer.transport.disconnect(ConnectionError())
    served.endpoints.waiting[0].callback(None)
    assert served.endpoints.uploads == [b"written"]


def test_a_client_that_sends_far_ahead_is_made_to_wait(served: Served) -> None:
    peer = served.connect()
    peer.send(get("/sync", AS_ALICE))
    many = get("/plain") * 6000
    for start in range(0, len(many), 10_000):
        peer.send(many[start : start + 10_000])
    assert len(served.server._connections.copy().pop()._buffer) < 200_000
    served.endpoints.waiting[0].callback(None)
    assert peer.take().count(b"200 OK") == 6001


def test_an_upload_is_read_as_it_comes(served: Served) -> None:
    peer = served.connect()
    data = put("/upload", b"x" * 100_000, method="POST")
    peer.send(data[:50_000])
    assert 0 < sum(map(len, served.endpoints.uploads)) < 50_000
    peer.send(data[50_000:])
    assert json_of(peer.take()) == {"size": 100_000}
    peer.send(get("/plain"))
    assert status_of(peer.take()) == 200


def test_an_upload_that_breaks_off_fails_its_handler(served: Served) -> None:
    peer = served.connect()
    peer.send(put("/upload", b"x" * 1000, method="POST")[:500])
    peer.transport.disconnect(ConnectionError())
    assert served.endpoints.is_broken_off


def test_an_upload_that_grows_too_large_is_refused(served: Served) -> None:
    peer = served.connect()
    peer.send(b"POST /upload HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(101):
        peer.send(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
    assert status_of(peer.take()) == 413
    assert peer.is_closed


def test_an_upload_that_nobody_reads_ends_the_connection(served: Served) -> None:
    peer = served.connect()
    peer.send(put("/unwanted", b"x" * 1000, method="POST")[:500])
    answer = peer.take()
    assert (status_of(answer), headers_of(answer)["connection"]) == (200, "close")
    assert peer.is_closed


@pytest.mark.parametrize("size", [0, 1, 10_000, 300_000])
def test_a_download_arrives_whole(served: Served, size: int) -> None:
    answer = served.ask(get(f"/download/{size}"))
    assert headers_of(answer)["content-length"] == str(size)
    assert len(answer.partition(b"\r\n\r\n")[2]) == size
    assert served.endpoints.closed_streams == 1


def test_a_download_waits_for_its_client(served: Served) -> None:
    peer = served.connect()
    peer.transport.hold()
    peer.send(get("/download/50000000"))
    assert peer.transport.unread < 200_000
    peer.transport.release()
    assert len(peer.take().partition(b"\r\n\r\n")[2]) == 50_000_000


def test_a_download_ends_with_its_client(served: Served) -> None:
    peer = served.connect()
    peer.transport.hold()
    peer.send(get("/download/50000000"))
    peer.transport.disconnect(ConnectionError())
    assert served.endpoints.closed_streams == 1


def test_a_download_of_unknown_length_is_chunked(served: Served) -> None:
    peer = served.connect()
    peer.send(get("/stream/15000") + get("/plain"))
    answer = peer.take()
    assert headers_of(answer)["transfer-encoding"] == "chunked"
    assert (
        b"2710\r\n" + b"x" * 10_000 + b"\r\n1388\r\n" + b"x" * 5000 + b"\r\n0\r\n\r\nHTTP/1.1 200" in answer
    )


def test_a_download_for_http_1_0_ends_with_the_connection(served: Served) -> None:
    peer = served.connect()
    peer.send(b"GET /stream/15000 HTTP/1.0\r\n\r\n")
    assert peer.take().partition(b"\r\n\r\n")[2] == b"x" * 15_000
    assert peer.is_closed


def test_a_download_that_breaks_its_promise_breaks_the_connection(served: Served, logged: Logged) -> None:
    logged.expect_errors()
    peer = served.connect()
    peer.send(get("/short"))
    assert peer.is_closed


def test_a_large_answer_waits_for_its_client(served: Served) -> None:
    peer = served.connect()
    peer.transport.hold()
    peer.send(get("/large/1000000") + get("/plain"))
    assert peer.transport.unread < 200_000
    peer.transport.release()
    assert peer.take().count(b"200 OK") == 2


def test_a_client_that_takes_nothing_is_cut_off(served: Served, reactor: VirtualReactor) -> None:
    peer = served.connect()
    peer.transport.hold()
    peer.send(get("/download/50000000"))
    reactor.pump([5.0] * 14)
    assert peer.is_closed


def test_a_connection_may_become_another(served: Served) -> None:
    peer = served.connect()
    head = get("/socket", "Upgrade: websocket", "Connection: Upgrade")
    peer.send(head + b"early")
    assert peer.take() == head + b"early"
    peer.send(b"later")
    assert peer.take() == b"later"


def test_patience_has_an_end(served: Served, reactor: VirtualReactor) -> None:
    silent, slow_head, slow_body, polling, idle = (served.connect() for _ in range(5))
    slow_head.send(b"GET /pl")
    slow_body.send(put("/any", b'{"n":1}', method="POST")[:-1])
    polling.send(get("/sync", AS_ALICE))
    idle.send(get("/plain"))
    for _ in range(8):
        reactor.advance(5)
        slow_head.send(b"a")
    assert silent.is_closed
    assert slow_head.is_closed
    assert not slow_body.is_closed
    reactor.pump([5.0] * 10)
    assert status_of(slow_body.take()) == 408
    assert not idle.is_closed
    reactor.pump([5.0] * 100)
    assert (idle.is_closed, polling.is_closed) == (True, False)


def test_there_is_room_for_so_many_connections(reactor: VirtualReactor) -> None:
    served = Served(reactor, limits=Limits(max_connections=2))
    first, _ = served.connect(), served.connect()
    assert served.server.buildProtocol(None) is None
    first.transport.disconnect(ConnectionError())
    assert served.server.buildProtocol(None) is not None


def test_draining_answers_what_is_in_hand(served: Served, reactor: VirtualReactor) -> None:
    polling, idle = served.connect(), served.connect()
    polling.send(get("/sync", AS_ALICE))
    drained = Deferred.fromCoroutine(served.server.drain())
    assert idle.is_closed
    assert served.server.connections == 1
    served.endpoints.waiting[0].callback(None)
    assert status_of(polling.take()) == 200
    assert polling.is_closed
    assert drained.called
