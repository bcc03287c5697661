"""The stand-in's request parser: the same requests however the bytes are cut, and a plain no to what is none."""

import pytest

from vllm_standin.wire import MAX_BODY, MAX_HEAD, BadRequestError, Parser, Request

PIPELINED = (
    b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
    b"\r\nPOST /v1/x%20y?level=1&b HTTP/1.1\r\nContent-Length: 5\r\nX-A: 1\r\nx-a: 2\r\n\r\nhello"
    b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    b"3;note=1\r\nabc\r\n0A\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n"
    b"GET / HTTP/1.0\r\n\r\n"
)


def parsed(data: bytes, step: int) -> list[Request]:
    parser, found = Parser(), []
    for start in range(0, len(data), step):
        parser.feed(data[start : start + step])
        while request := parser.next():
            found.append(request)
    assert parser.buffered() == 0
    return found


@pytest.mark.parametrize("step", [1, 2, 3, 7, 50, len(PIPELINED)])
def test_pipelined_requests_come_out_whole_however_they_are_cut(step: int) -> None:
    health, counted, chunked, old = parsed(PIPELINED, step)
    assert (health.method, health.path, health.body, health.keep_alive) == ("GET", "/health", b"", True)
    assert (counted.path, counted.query, counted.body) == ("/v1/x y", "level=1&b", b"hello")
    assert counted.headers["x-a"] == "1,2"
    assert (chunked.body, chunked.keep_alive) == (b"abc0123456789", False)
    assert (old.keep_alive, old.chunks_allowed) == (False, False)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"\x16\x03\x01 / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: 1\r\n folded\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * MAX_HEAD + b"1", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFF\r\n", 413),
        (f"POST / HTTP/1.1\r\nContent-Length: {MAX_BODY + 1}\r\n\r\n".encode(), 413),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * MAX_HEAD, 431),
    ],
)
def test_what_is_no_request_is_refused_with_its_status(data: bytes, status: int) -> None:
    parser = Parser()
    parser.feed(data)
    with pytest.raises(BadRequestError) as refused:
        parser.next()
    assert refused.value.status == status


def test_a_client_that_waits_for_continue_is_told_once() -> None:
    parser = Parser()
    parser.feed(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert parser.next() is None
    assert [parser.wants_continue(), parser.wants_continue()] == [True, False]
    parser.feed(b"ok")
    request = parser.next()
    assert request is not None
    assert request.body == b"ok"
