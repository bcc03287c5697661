"""Replicas that are out come back by a probe, and those that nobody asks are looked at."""

import asyncio

from modelroute.snapshot.types import Fallback, Health
from tests.dataplane.conftest import Plane, backend, times
from tests.dataplane.faults import ejected, until
from tests.fakes.upstream import Received, Script, Wire, answers

QUICK = Health(consecutive_failures=2, ejection=0.05, interval=0.05)
FAILS = answers({"error": {"message": "no"}}, 500)


def lines(received: list[Received], start: str) -> int:
    return sum(r.line.startswith(start) for r in received)


def by_path(*, health: int, chat: int) -> Script:
    """A replica that answers probes by one status and requests by another."""

    async def script(received: Received, wire: Wire) -> None:
        await answers({}, health if received.path == "/health" else chat)(received, wire)

    return script


async def test_a_replica_that_is_out_comes_back_when_a_probe_says_that_it_is_well(plane: Plane) -> None:
    sick, well = await plane.upstream(by_path(health=500, chat=500)), await plane.upstream()
    await plane.route(backend("small", sick, well, weight=1, health=QUICK))
    while await plane.metric("modelroute_replicas_ejected", backend="small") == 0:
        await plane.chat()
    asked = lines(sick.received, "POST")
    for _ in range(5):
        assert (await plane.chat()).status == 200
    assert lines(sick.received, "POST") == asked
    sick.scripts = [by_path(health=200, chat=200)]
    await until(lambda: ejected(plane) == [False, False])
    assert await plane.metric("modelroute_replicas_ejected", backend="small") == 0
    while lines(sick.received, "POST") == asked:
        await plane.chat()


async def test_a_replica_that_nobody_asks_is_found_dead_by_its_probes(plane: Plane) -> None:
    dead, well = await plane.upstream(by_path(health=500, chat=200)), await plane.upstream()
    await plane.route(backend("small", dead, well, weight=1, health=QUICK))
    await until(lambda: ejected(plane) == [True, False])
    assert await plane.metric("modelroute_replicas_ejected", backend="small") == 1
    assert lines(dead.received, "POST") == 0


async def test_a_probe_that_is_not_answered_counts_as_a_failure(plane: Plane) -> None:
    gone, well = await plane.upstream(), await plane.upstream()
    gone.deafen()
    await plane.route(backend("small", gone, well, weight=1, health=QUICK, timeouts=times(connect=2)))
    await until(lambda: ejected(plane) == [True, False])


async def test_without_a_path_nothing_is_probed(plane: Plane) -> None:
    up = await plane.upstream()
    router = await plane.route(backend("small", up, weight=1, health=Health(interval=0.01, path="")))
    for _ in range(20):
        router._prober.tick(asyncio.get_running_loop().time() + 60)
        await asyncio.sleep(0)
    assert up.received == []


async def test_a_backend_of_which_all_is_out_is_probed_each_second_however_often_it_failed(plane: Plane) -> None:
    sick, big = await plane.upstream(by_path(health=500, chat=500)), await plane.upstream()
    long = Health(consecutive_failures=1, ejection=300, interval=60)
    await plane.route(
        backend("small", sick, weight=1, health=long),
        backend("big", big),
        fallbacks=(Fallback("big", ("ServerError",)),),
    )
    assert (await plane.chat()).reason == "fallback ServerError"
    assert await plane.metric("modelroute_backend_in_trouble", backend="small") == 1
    await until(lambda: lines(sick.received, "GET") > 0)  # which takes it out for 600 s more
    sick.scripts = [by_path(health=200, chat=200)]
    await until(lambda: ejected(plane) == [False])
    assert await plane.metric("modelroute_backend_in_trouble", backend="small") == 0
    assert (await plane.chat()).backend == "small"


async def test_probes_end_with_the_router(plane: Plane) -> None:
    async def never(_: Received, wire: Wire) -> None:
        await wire.gone()

    up = await plane.upstream(never)
    router = await plane.route(backend("small", up, weight=1, health=QUICK))
    await up.seen(1)
    router.end()
    router.end()
    await up.left()
