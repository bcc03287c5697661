"""The upstreams that fail, the clients that crawl and the choice of a router are what the benchmark says they are."""

import asyncio
import functools
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TypeVar

import pytest

from benchmarks import costs, crawl
from benchmarks.costs import Case, Found
from benchmarks.crawl import Crowd
from benchmarks.faulty import Seen, black_hole, connected, once, upstream
from benchmarks.marked import Ask, End, Marked
from benchmarks.rolls import Pod, Served, Service

T = TypeVar("T")
STREAM = Ask(mark=7, pieces=5, every_ms=1, stream=True)
UNARY = Ask(mark=7, pieces=1, every_ms=1, stream=False)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def run(work: Coroutine[None, None, T]) -> T:
    async def whole() -> T:
        found = await work
        await asyncio.sleep(0.05)  # what was closed is told of it
        return found

    return asyncio.run(whole())


def seen(end: End, status: int = 200, first: float = 0.0, last: float = 12.0, *, retry_after: bool = False) -> Seen:
    return Seen(end, status, retry_after, 10.0, first, last)


@pytest.mark.parametrize(
    ("mode", "ask", "expected"),
    [
        ("well", STREAM, End.WHOLE),
        ("well", UNARY, End.WHOLE),
        ("reset", UNARY, End.LOST),
        ("reset midway", STREAM, End.SILENT),
        ("undone", STREAM, End.SILENT),
        ("error", UNARY, End.REFUSED),
        ("limited", UNARY, End.REFUSED),
        ("error in JSON", UNARY, End.TOLD),
        ("error first", STREAM, End.TOLD),
        ("error midway", STREAM, End.TOLD),
        ("truncated", UNARY, End.SILENT),
        ("two lengths", UNARY, End.WRONG),
    ],
)
def test_an_upstream_fails_in_the_way_that_it_is_told(mode: str, ask: Ask, expected: End) -> None:
    async def asked() -> tuple[Seen, bool, bool]:
        async with upstream(mode) as bad:
            found = await once(bad.port, ask)
            return found, 7 in bad.came, 7 in bad.failed

    found, came, failed = run(asked())
    assert (found.end, came) == (expected, True)
    assert found.retry_after is (mode == "limited")
    assert failed is (mode in {"reset", "reset midway", "undone", "error midway"})


@pytest.mark.parametrize("by_reset", [False, True])
def test_a_hang_up_is_seen_by_the_upstream(*, by_reset: bool) -> None:
    async def hung_up() -> float:
        async with upstream("stall") as bad:
            client = await connected(bad.port)
            client.send(UNARY)
            await until(lambda: 7 in bad.came)
            gone = client.hang_up(by_reset=by_reset)
            await until(lambda: 7 in bad.closed)
            return bad.closed[7] - gone

    assert 0 <= run(hung_up()) < 5


def test_a_black_hole_takes_no_connection() -> None:
    with black_hole() as nowhere:
        host, port = nowhere.split(":")
        with pytest.raises(TimeoutError):
            socket.create_connection((host, int(port)), timeout=0.2)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Found(seen(End.WHOLE, first=10.5)), 500 - 20),
        (Found(seen(End.TOLD, first=10.5), failed=11.0), 1000),
        (Found(seen(End.TOLD)), 2000),
        (Found(seen(End.REFUSED, 503)), 2000),
    ],
)
def test_a_cost_counts_from_where_the_client_begins_to_wait(found: Found, expected: float) -> None:
    assert costs.cost(found, usual=20) == pytest.approx(expected)


def test_a_limit_is_for_the_worst_and_what_clients_saw_is_told() -> None:
    found = [Found(seen(End.REFUSED, 503, last=10 + ms / 1e3)) for ms in (1, 2, 60)]
    row = costs.row(Case("R", "refused", End.REFUSED, 503, limit=50), found, 0.0)
    assert (round(row.value), row.holds, row.note) == (60, False, "median 2.0; 3 x refused 503")
    assert costs.row(Case("R", "refused", End.REFUSED, 503), found, 0.0).value == pytest.approx(2)


def test_a_refusal_that_does_not_say_when_to_come_again_is_not_what_was_expected() -> None:
    case = Case("R17", "refused", End.REFUSED, 503)
    found = [Found(seen(End.REFUSED, 503, retry_after=again)) for again in (True, False)]
    assert costs.otherwise(case, [*found, Found(seen(End.REFUSED, 502, retry_after=True))]) == 2


def test_every_case_names_a_fault_that_there_is() -> None:
    async def known() -> set[str]:
        async with upstream() as one:
            return set(one.modes)

    assert {case.mode for case in (*costs.CASES, *costs.DOWN)} - set(costs.NOWHERE) <= run(known())


def test_only_routers_that_are_ready_are_chosen_in_turn(tmp_path: Path) -> None:
    service = Service([Pod(tmp_path, 0) for _ in range(3)])
    with pytest.raises(ConnectionRefusedError):
        service.port()
    for pod in service.pods[1:]:
        pod.ready = True
    assert {service.port() for _ in range(4)} == {pod.port for pod in service.pods[1:]}


@pytest.mark.parametrize(("again", "lost", "asked_again"), [(False, 1, 0), (True, 1, 2)])
def test_what_no_router_answers_is_lost_after_two_more_tries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, again: bool, lost: int, asked_again: int
) -> None:
    monkeypatch.setattr("benchmarks.rolls.AGAIN_S", (0.01, 0.01))

    async def loaded() -> Served:
        load = Served(Service([Pod(tmp_path, 0)]), iter([UNARY]), again=again)
        load.ask()
        await load.finish(5)
        return load

    load = run(loaded())
    assert (load.ends[End.LOST], load.again[UNARY.mark], load.live) == (lost, asked_again, 0)


def test_a_stream_that_ends_in_order_but_too_early_is_told_from_one_that_breaks(tmp_path: Path) -> None:
    load = Served(Service([Pod(tmp_path, 0)]), iter(()), again=True)

    async def ended(mode: str, number: int) -> None:
        async with upstream(mode) as bad:
            make = functools.partial(Marked, bad.port, load._ended)
            _, client = await asyncio.get_running_loop().create_connection(make, "127.0.0.1", bad.port)
            client.send(STREAM)
            await until(lambda: load.ends.total() == number)

    run(ended("undone", 1))
    run(ended("reset midway", 2))
    assert (load.ends[End.SILENT], load.unseen, load.cut_whole, load.live) == (2, 1, 0, 0)


def test_slow_clients_send_a_byte_now_and_then_and_are_replaced_when_they_are_sent_away() -> None:
    got: dict[int, bytes] = {}

    async def met() -> Crowd:
        async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            number = len(got)
            while data := await reader.read(1000):
                got[number] = got.get(number, b"") + data
                if number == 0 and data == b"x":
                    writer.write(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(meet, "127.0.0.1", 0)
        crowd = Crowd(server.sockets[0].getsockname()[1], 2)
        running = asyncio.create_task(crowd.run())
        await until(lambda: crowd.ends["heads"]["408"] > 0)
        await until(lambda: len(got) == 3)
        running.cancel()
        crowd.go()
        server.close()
        return crowd

    crowd = run(met())
    starts = [got[number].rstrip(b"x") for number in range(3)]
    assert starts == [crawl.STARTS[kind] for kind in ("heads", "bodies", "heads")]
    assert 1 < crowd.mean <= 2
