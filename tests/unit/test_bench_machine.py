import os
from pathlib import Path

import pytest

from benchmarks import machine
from benchmarks.upstream import ANSWER, body, chat_request, message_end


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 2), (0.51, 3), (0.75, 3), (0.99, 4), (1.0, 4)])
def test_percentile_is_the_smallest_value_that_the_share_does_not_exceed(share: float, expected: float) -> None:
    assert machine.percentile([4, 1, 3, 2], share) == expected


def test_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing"):
        machine.percentile([], 0.5)


def test_cpu_is_user_and_system_time_even_when_the_name_holds_brackets() -> None:
    stat = "12 (a) b (c)) S 1 12 12 0 -1 4194560 100 0 0 0 250 50 9 9 20 0 1 0 100 1000 10"
    assert machine.cpu_seconds(stat) == pytest.approx(300 / machine.TICKS)


def test_rss_is_read_in_kib_and_told_in_mb() -> None:
    assert machine.rss_mb("Name:\tx\nVmRSS:\t   25000 kB\nThreads:\t1\n") == pytest.approx(25.6)


def test_rss_of_a_process_that_has_ended_is_nothing() -> None:
    assert machine.rss_mb("Name:\tx\nState:\tZ (zombie)\n") == 0


def test_a_family_holds_children_of_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for task, children in {
        "7/task/7": "8",
        "7/task/71": "9 ",
        "8/task/8": "10",
        "9/task/9": "",
        "10/task/10": "",
    }.items():
        (tmp_path / task).mkdir(parents=True)
        (tmp_path / task / "children").write_text(children)
    monkeypatch.setattr(machine, "PROC", tmp_path)
    assert sorted(machine.family(7)) == [7, 8, 9, 10]


def test_this_process_has_memory_and_has_used_the_cpu() -> None:
    assert machine.family_rss_mb(os.getpid()) > 5
    assert machine.family_cpu_seconds(os.getpid()) > 0


@pytest.mark.parametrize("cut", [10, len(ANSWER) - 1])
def test_a_message_that_is_cut_has_no_end_yet(cut: int) -> None:
    assert message_end(ANSWER[:cut]) == 0


def test_a_message_ends_before_the_next_one() -> None:
    assert message_end(ANSWER + b"HTTP/1.1 ") == len(ANSWER)


@pytest.mark.parametrize("message", [ANSWER, chat_request(1, stream=True)])
def test_requests_and_answers_have_about_a_kilobyte_of_body(message: bytes) -> None:
    assert 900 <= len(message.partition(b"\r\n\r\n")[2]) <= 1300


def test_only_the_streamed_request_asks_for_a_stream() -> None:
    assert (b'"stream":true' in body(stream=True), b'"stream"' in body(stream=False)) == (True, False)
