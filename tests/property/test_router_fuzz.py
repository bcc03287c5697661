"""A short run of the fuzzer on the glue around the router's parser; `./dev bench fuzz` runs a million inputs."""

import pytest

from benchmarks import fuzz


@pytest.mark.parametrize("start", range(0, 40_000, 10_000))
def test_g8_spoiled_requests_and_answers_break_no_promise(start: int) -> None:
    fuzz.fuzz(range(start, start + 10_000))


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{", "not whole"),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "behind"),
        (b"nonsense", "behind"),
    ],
)
def test_the_fuzzer_sees_answers_that_are_not_clean(written: bytes, problem: str) -> None:
    with pytest.raises(fuzz.BrokenError, match=problem):
        fuzz.statuses(written, ["GET", "GET"])
