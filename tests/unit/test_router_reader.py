"""The reading of requests without sockets: how bytes are cut, what is kept of a body, what a port has room for."""

import pytest

from modelroute.router.http.framing import Limits
from modelroute.router.http.reader import Reader
from modelroute.router.http.request import Request
from modelroute.router.http.room import Room
from modelroute.router.surface.openai import Refusal
from tests.dataplane.corpus_requests import CHUNKED, GET, JSON, LAST, POST, REFUSED, SERVED


class Taken:
    def __init__(self) -> None:
        self.requests: list[Request] = []

    def begun(self) -> None:
        pass

    def admit(self, request: Request) -> Refusal | None:
        return Refusal(400, "no path", close=True) if not request.target.startswith(b"/") else None

    def invite(self, _: Request) -> None:
        pass

    def take(self, request: Request) -> None:
        self.requests.append(request)


def read(data: bytes, size: int, limits: Limits | None = None) -> tuple[list[Request], Room]:
    """The requests in ``data``, fed in pieces of ``size``."""
    room, taker = Room(limits or Limits()), Taken()
    reader = Reader(taker, limits or Limits(), room)
    for at in range(0, len(data), size):
        reader.feed(data[at : at + size])
    return taker.requests, room


SMALL = {name: case for name, case in {**REFUSED, **LAST, **SERVED}.items() if len(case[0]) < 2000}


@pytest.mark.parametrize("name", SMALL)
def test_the_corpus_is_read_the_same_byte_by_byte(name: str) -> None:
    data = SMALL[name][0] + GET + b"\r\n"
    whole, cut = ([(r.body, r.refusal and r.refusal.status) for r in read(data, size)[0]] for size in (len(data), 1))
    assert whole == cut


HEADS = [
    "POST /v1/a HTTP/1.1\r\nHost: r\r\nContent-Length: %d\r\nX: 5\r\n\r\n",
    "POST /v1/a HTTP/1.1\r\nHost: r\r\nContent-Length: %d\r\nX: 6\r\n\r\n",
    "POST /v1/a HTTP/1.1\r\nHost: r\r\nX: 5\r\ncontent-length: %d\r\n\r\n",
    "POST /v1/a HTTP/1.1\r\nHost: r\r\nContent-Length:%d\r\n\r\n",
    "POST /v1/a HTTP/1.1\r\nHost: r\r\nContent-Length: 0%d\r\n\r\n",
    "POST /v1/b HTTP/1.1\r\nHost: r\r\nContent-Length: %d\r\nX: 5\r\n\r\n",
    "POST /v1/a HTTP/1.1\r\nHost: r r\r\nContent-Length: %d\r\n\r\n",
    "POST /v1/a HTTP/1.1\r\nHost: r\r\nContent-Length: %d\r\nConnection: close\r\n\r\n",
    "POST /v1/a HTTP/1.1\r\nHost: r\r\nContent-Length: %d, 5\r\nX: 5\r\n\r\n",
    "POST /v1/a HTTP/1.1\r\nHost: r\r\nContent-Length: %d\r\nX: 5\r\nY: 6\r\n\r\n",
]


def seen(request: Request) -> tuple[object, ...]:
    refused = request.refusal and request.refusal.status
    return request.method, request.target, request.headers, request.fields, request.body, request.keep_alive, refused


@pytest.mark.parametrize("off", [-1, 0, 1])
@pytest.mark.parametrize("second", HEADS, ids=range(len(HEADS)))
@pytest.mark.parametrize("first", HEADS, ids=range(len(HEADS)))
def test_a_head_that_comes_again_is_read_as_if_it_were_the_first(first: str, second: str, off: int) -> None:
    taker = Taken()
    kept = Reader(taker, Limits(body=10), Room(Limits()))
    kept.feed((first % 3).encode() + b"one")
    if kept.deaf or kept.partial is not None or not taker.requests[-1].keep_alive:
        return
    data = (second % (4 + off)).encode() + b"four"
    kept.feed(data)
    alone, _ = read(data, len(data) // 2, Limits(body=10))
    assert [seen(request) for request in taker.requests[1:]] == [seen(request) for request in alone]


def test_of_the_last_request_of_a_kept_client_the_body_is_let_go() -> None:
    reader = Reader(Taken(), Limits(), Room(Limits()))
    reader.feed((HEADS[0] % 3).encode() + b"one")
    assert reader._recall._last is not None
    assert reader._recall._last.body == b""


def test_a_head_is_counted_once_though_it_comes_in_pieces() -> None:
    (request,), _ = read(GET + b"X: " + b"y" * 20_000 + b"\r\nY: " + b"z" * 8_000 + b"\r\n\r\n", 1000)
    assert request.refusal is None


def test_a_head_that_has_no_end_is_refused_as_soon_as_it_is_too_large() -> None:
    (request,), _ = read(GET + b"X: " + b"y" * 40_000, 100_000)
    assert request.refusal is not None
    assert request.refusal.status == 431


def test_a_body_in_single_bytes_takes_no_object_for_each() -> None:
    size = 300_000
    (request,), room = read(CHUNKED + b"1\r\nx\r\n" * size + b"0\r\n\r\n", 60_000)
    assert len(request.pieces) < 20
    assert (room.held, request.body) == (size, b"x" * size)


def test_a_body_in_pieces_is_put_together_once_and_its_pieces_let_go() -> None:
    (request,), room = read(POST + b"Host: r\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000, 60_000)
    assert len(request.pieces) > 10
    assert request.body is request.body
    assert request.pieces == [b"x" * 1_000_000]
    room.release(request)
    room.release(request)
    assert (room.held, request.pieces) == (0, [])


def test_a_body_in_one_piece_is_not_copied() -> None:
    (request,), _ = read(SERVED["a plain one"][0], 1000)
    assert request.body is request.pieces[0]
    assert request.body == JSON


def test_what_is_refused_is_not_kept() -> None:
    data = POST + b"Host: r\r\nTransfer-Encoding: chunked\r\n\r\n" + b"3e8\r\n" + b"x" * 1000 + b"\r\n"
    (request,), room = read(data * 9, 500, Limits(body=600))
    assert request.refusal is not None
    assert (request.refusal.status, request.pieces, room.held) == (413, [], 0)
