"""The benchmarks' own eyes: each way in which an answer can go wrong is seen as that, and as nothing else."""

import struct
from pathlib import Path

import pytest

from benchmarks import machine, verdict
from benchmarks.marked import Ask, End, Marked
from benchmarks.scripted import arrivals
from benchmarks.upstreams import Process, doubles, tries

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
DONE = b"data: [DONE]\n\n"
ERROR = b'data: {"error":{"message":"gone"}}\n\n'
STREAM = Ask(mark=7, pieces=2, every_ms=1, stream=True)
UNARY = Ask(mark=7, pieces=1, every_ms=1, stream=False)


class Wire:
    def write(self, data: bytes) -> None:
        pass

    def close(self) -> None:
        pass


def event(number: int, mark: int = 7) -> bytes:
    return b'data: {"content":" m%010d %06d %019d"}\n\n' % (mark, number, 0)


def chunks(*events: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return HEAD + b"".join(b"%x\r\n%b\r\n" % (len(e), e) for e in events) + end


def answer(body: bytes, status: bytes = b"200 OK", missing: int = 0) -> bytes:
    return b"HTTP/1.1 %b\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body) + missing, body)


def end_of(ask: Ask, received: bytes, step: int) -> list[End]:
    ends: list[End] = []
    client = Marked(1, lambda _client, _ask, end: ends.append(end))
    client.connection_made(Wire())  # type: ignore[arg-type]
    client.send(ask)
    for start in range(0, len(received), step):
        client.data_received(received[start : start + step])
    client.connection_lost(None)
    return ends


@pytest.mark.parametrize("step", [1, 7, 10_000])
@pytest.mark.parametrize(
    ("ask", "received", "expected"),
    [
        (STREAM, chunks(event(0), event(1), DONE), End.WHOLE),
        (STREAM, chunks(event(0) + event(1) + DONE), End.WHOLE),
        (STREAM, chunks(event(0), event(1, mark=8), DONE), End.WRONG),
        (STREAM, chunks(event(0), event(0), event(1), DONE), End.WRONG),
        (STREAM, chunks(event(0), DONE), End.WRONG),
        (STREAM, chunks(event(0), event(1)), End.SILENT),
        (STREAM, chunks(event(0), end=b""), End.SILENT),
        (STREAM, chunks(event(0), event(1), DONE, end=b""), End.SILENT),
        (STREAM, chunks(event(0), ERROR), End.TOLD),
        (STREAM, chunks(event(0), ERROR, end=b""), End.TOLD),
        (STREAM, b"", End.LOST),
        (STREAM, b"HTTP/1.1 nonsense\r\n\r\n", End.WRONG),
        (STREAM._replace(leave=1), chunks(event(0), event(1), DONE), End.LEFT),
        (UNARY, answer(event(0)), End.WHOLE),
        (UNARY, answer(event(0, mark=8)), End.WRONG),
        (UNARY, answer(b"{}"), End.WRONG),
        (UNARY, answer(event(0), missing=5), End.SILENT),
        (UNARY, answer(b'{"error":{}}', b"503 Busy"), End.REFUSED),
        (UNARY, answer(b"<html>", b"503 Busy"), End.WRONG),
    ],
)
def test_a_request_ends_once_and_in_the_way_that_it_did(ask: Ask, received: bytes, expected: End, step: int) -> None:
    assert end_of(ask, received, step) == [expected]


def test_only_what_arrives_after_the_clients_first_byte_is_executed_twice(tmp_path: Path) -> None:
    one, two = Process("one", tmp_path), Process("two", tmp_path)
    one.log.write_bytes(_arrived((1, 10.0), (2, 10.0), (3, 10.0)))
    two.log.write_bytes(_arrived((1, 11.0), (2, 13.0)) + b"half a re")
    assert arrivals(two.log) == [(1, 11.0), (2, 13.0)]
    assert doubles([one, two], {1: 12.0, 2: 12.0}) == 1
    assert tries([one, two]) == {1: 2, 2: 2, 3: 1}


def _arrived(*found: tuple[int, float]) -> bytes:
    return b"".join(struct.pack("<Qd", mark, at) for mark, at in found)


def test_a_slope_is_not_swayed_by_a_few_points() -> None:
    points = [(float(t), 50 + 0.5 * t + (40 if t in (3, 80) else 0)) for t in range(100)]
    assert machine.slope(points) == pytest.approx(0.5)


def test_a_slope_of_one_point_is_refused() -> None:
    with pytest.raises(ValueError, match="two points"):
        machine.slope([(1.0, 1.0)])


@pytest.mark.parametrize(
    ("row", "word"),
    [
        (verdict.Row("x", 2, limit=2), "PASS"),
        (verdict.Row("x", 2.1, limit=2), "FALLS SHORT"),
        (verdict.Row("x", 2, limit=2, least=True), "PASS"),
        (verdict.Row("x", 1.9, limit=2, least=True), "FALLS SHORT"),
        (verdict.Row("x", 1), ""),
    ],
)
def test_a_limit_is_a_limit(row: verdict.Row, word: str) -> None:
    assert (row.word, word in verdict.table([row])) == (word, True)
