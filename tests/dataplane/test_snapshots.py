"""How a running router takes up new snapshots: whole, at once, and never a bad one."""

import asyncio
import os
from pathlib import Path

import pytest

from modelroute.router.app import POLL_SECONDS
from modelroute.router.source import FileSource
from modelroute.snapshot.codec import decode
from modelroute.snapshot.types import Balancing, Snapshot
from tests.dataplane.conftest import Plane, backend
from tests.dataplane.faults import QUICK, Held, until
from tests.fakes.client import chat, http
from tests.fakes.upstream import DONE, OPENER, Received, Upstream, Wire, answers, resets, text


async def test_a_new_snapshot_is_in_force_for_the_next_request(plane: Plane) -> None:
    old, new = await plane.upstream(), await plane.upstream()
    await plane.route(backend("old", old, weight=1))
    assert (await plane.chat()).backend == "old"
    await plane.route(backend("new", new, weight=1), models=("chat", "more"))
    assert (await plane.chat()).backend == "new"
    assert len((await plane.ask("GET", "/v1/models")).json["data"]) == 2


async def test_a_changed_file_is_found_without_being_told(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    await plane.route(backend("old", await plane.upstream(), weight=1))
    plane.write(backend("new", await plane.upstream(), weight=1))
    taken = asyncio.Event()
    assert plane.router is not None
    swap = plane.router.live.swap

    def swap_and_tell(snapshot: Snapshot) -> None:
        swap(snapshot)
        taken.set()

    monkeypatch.setattr(plane.router.live, "swap", swap_and_tell)
    await asyncio.wait_for(taken.wait(), 50 * POLL_SECONDS)
    assert (await plane.chat()).backend == "new"


async def test_a_running_stream_keeps_what_it_began_with(plane: Plane) -> None:
    swapped = asyncio.Event()

    async def halfway(_: Received, wire: Wire) -> None:
        wire.stream()
        wire.chunk(OPENER)
        await swapped.wait()
        wire.chunk(text("late") + DONE)
        wire.end()

    old = await plane.upstream(halfway)
    await plane.route(backend("old", old, weight=1))
    client = await plane.connect()
    client.send(http("POST", "/v1/chat/completions", chat(stream=True)))
    await client.head()
    await client.chunk()
    await plane.route(backend("new", await plane.upstream(), weight=1))
    swapped.set()
    assert await client.chunk() == text("late") + DONE
    assert await client.chunk() == b""
    await old.left()  # its endpoint is gone from the snapshot, so its connection is not kept


async def test_idle_connections_to_what_has_vanished_are_closed(plane: Plane) -> None:
    old = await plane.upstream()
    await plane.route(backend("small", old, weight=1))
    await plane.chat()
    assert len(old.open) == 1
    await plane.route(backend("small", await plane.upstream(), weight=1))
    await old.left()


async def test_what_is_in_flight_is_known_over_a_swap(plane: Plane) -> None:
    first, second = await plane.upstream(answers()), await plane.upstream(answers())

    async def holds(received: Received, wire: Wire) -> None:
        await release.wait()
        await answers()(received, wire)

    release = asyncio.Event()
    first.scripts = [holds]
    await plane.route(backend("small", first, weight=1))
    running = asyncio.create_task(plane.chat())
    await first.seen(1)
    await plane.route(backend("small", first, second, weight=1, balancing=Balancing(slow_start=0)))
    for _ in range(4):
        await plane.chat()
    assert (len(first.received), len(second.received)) == (1, 4)
    release.set()
    assert (await running).status == 200


async def test_a_replica_that_gets_nothing_more_is_told_of_until_it_has_answered(plane: Plane) -> None:
    """Who lets it go or puts it to sleep waits for that, and the replica's own count may be a moment old."""
    held = Held()
    first, second = await plane.upstream(held), await plane.upstream()
    await plane.route(backend("small", first, weight=1))
    running = asyncio.create_task(plane.chat())
    await first.seen(1)

    async def busy() -> dict[str, tuple[int, bool]]:
        """The replicas that answer, as the operator reads of them."""
        [told] = (await plane.status())["backends"]
        return {r["address"]: (r["inFlight"], r.get("leaving", False)) for r in told["replicas"] if r["inFlight"]}

    for _ in range(2):
        await plane.route(backend("small", second, weight=1))
        assert await busy() == {first.address: (1, True)}
    await plane.route(backend("small", first, second, weight=1))
    assert await busy() == {first.address: (1, False)}
    await plane.route(backend("small", second, weight=1))
    held.go.set()
    assert (await running).status == 200
    assert await busy() == {}
    assert len((await plane.status())["backends"][0]["replicas"]) == 1


async def test_a_retry_goes_to_no_replica_that_has_been_let_go_meanwhile(plane: Plane) -> None:
    held = Held(resets)
    ups = [await plane.upstream(held), await plane.upstream(held)]
    await plane.route(backend("small", *ups, weight=1), retry=QUICK)
    running = asyncio.create_task(plane.chat())
    await until(lambda: held.now == 1)
    [tried], [idle] = [up for up in ups if up.received], [up for up in ups if not up.received]
    new = await plane.upstream()
    await plane.route(backend("small", tried, new, weight=1), retry=QUICK)
    held.go.set()
    assert (await running).status == 200
    assert (len(idle.received), len(new.received)) == (0, 1)


class Even:
    """Draws that are as even as can be, in place of chance."""

    def __init__(self) -> None:
        self.drawn = 0

    def random(self) -> float:
        self.drawn += 1
        return self.drawn * 0.6180339887 % 1.0


@pytest.fixture
def even(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replicas are drawn evenly."""
    monkeypatch.setattr("modelroute.router.flow.exchange.random", Even())


async def part(plane: Plane, new: Upstream) -> float:
    """What a replica gets of a hundred requests, each of which finds all of them idle."""
    before = len(new.received)
    for _ in range(100):
        await plane.chat()
    return (len(new.received) - before) / 100


def older(plane: Plane, new: Upstream, seconds: float) -> None:
    """Of a replica: it came so much earlier."""
    assert plane.router is not None
    assert plane.router.live.route is not None
    [endpoint] = [e for e in plane.router.live.route.targets["small"].endpoints if e.name == new.address]
    endpoint.since -= seconds


async def test_a_replica_that_has_become_ready_comes_to_its_share_slowly(plane: Plane, even: None) -> None:
    """From a tenth on, as its gate has opened: the snapshot is the first that has it. Later ones do not begin anew."""
    old, new = await plane.upstream(), await plane.upstream()
    slowly = Balancing(slow_start=1000)
    await plane.route(backend("small", old, weight=1, balancing=slowly))
    await plane.route(backend("small", old, new, weight=1, balancing=slowly))
    assert await part(plane, new) == pytest.approx(0.1 / 1.1, abs=0.03)
    older(plane, new, 500)
    await plane.route(backend("small", old, new, weight=1, balancing=slowly))
    assert await part(plane, new) == pytest.approx(0.5 / 1.5, abs=0.03)
    older(plane, new, 490)
    assert await part(plane, new) == pytest.approx(0.99 / 1.99, abs=0.03)


async def test_replicas_that_a_router_finds_when_it_begins_have_their_whole_share(plane: Plane, even: None) -> None:
    """A router that was started again takes them for no younger than one that comes then."""
    ups = [await plane.upstream() for _ in range(3)]
    slowly = Balancing(slow_start=1000)
    await plane.route(backend("small", *ups[:2], weight=1, balancing=slowly))
    await plane.route(backend("small", *ups, weight=1, balancing=slowly))
    assert await part(plane, ups[2]) == pytest.approx(2 / 3 * 0.1 / 1.1, abs=0.03)


async def test_swaps_under_load_lose_nothing(plane: Plane) -> None:
    ups = [await plane.upstream() for _ in range(3)]
    await plane.route(backend("b0", ups[0], weight=1))
    answered: asyncio.Queue[None] = asyncio.Queue()

    async def keep_asking() -> list[int]:
        client, statuses = await plane.connect(), []
        while not over.is_set():
            client.send(http("POST", "/v1/chat/completions", chat()))
            statuses.append((await client.reply()).status)
            answered.put_nowait(None)
        return statuses

    over = asyncio.Event()
    workers = [asyncio.create_task(keep_asking()) for _ in range(8)]
    for n in range(60):
        await plane.route(*(backend(f"b{i}", ups[i], weight=1 + (n + i) % 3) for i in range(3) if i != n % 3))
        for _ in range(10):
            await answered.get()
    over.set()
    statuses = [status for worker in workers for status in await worker]
    assert set(statuses) == {200}
    assert len(statuses) >= 600


GOOD_ENDPOINTS = "127.0.0.1:9"


@pytest.mark.parametrize(
    ("what", "instead"),
    [
        (b"{", b""),
        (b'"models":["chat"]', b'"models":"chat"'),
        (b'"format":2', b'"format":3'),
        (b'"127.0.0.1:', b'"not an address '),
        (b'"weight":1', b'"weight":1,"secretFile":"../../etc/passwd"'),
        (b"", b"half"),
        (b"", b"empty"),
        (b"", b"gone"),
    ],
    ids=lambda value: value.decode(),
)
async def test_r28_a_bad_snapshot_is_kept_out(
    plane: Plane, what: bytes, instead: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    router = await plane.route(backend("small", await plane.upstream(), weight=1))
    good = plane.file.read_bytes()
    if instead == b"gone":
        plane.file.unlink()
    else:
        cut = {b"half": len(good) // 2, b"empty": 0}.get(instead, len(good))
        plane.file.write_bytes(good.replace(what, instead)[:cut] if what else good[:cut])
    for _ in range(3):
        router.poll()
    assert (await plane.chat()).status == 200
    assert await plane.metric("modelroute_snapshot_refused_total") == 1
    assert (await plane.status())["refusedSnapshot"]
    assert len([r for r in caplog.records if "refused" in r.message]) == 1
    plane.file.write_bytes(good)
    router.poll()
    assert (await plane.status())["refusedSnapshot"] is None


async def test_without_a_snapshot_a_router_is_alive_but_not_ready(plane: Plane) -> None:
    await plane.start()
    assert (await plane.ask("GET", "/healthz")).status == 200
    assert (await plane.ask("GET", "/readyz")).status == 503
    reply = await plane.chat()
    assert (reply.status, reply.error["code"], reply.headers["retry-after"]) == (503, "no_ready_backend", "5")
    await plane.route(backend("small", await plane.upstream(), weight=1))
    assert (await plane.ask("GET", "/readyz", admin=True)).status == 200
    assert (await plane.chat()).status == 200


def test_a_source_follows_the_links_of_a_mounted_configmap(tmp_path: Path, plane: Plane) -> None:
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        plane.file = tmp_path / version / "snapshot.json"
        plane.write(backend("small", GOOD_ENDPOINTS, weight=1))
        os.utime(plane.file, (0, 0))
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "snapshot.json").symlink_to("..data/snapshot.json")
    source = FileSource(tmp_path / "snapshot.json", decode)
    first = source.poll()
    (tmp_path / "..new").symlink_to("v2")
    (tmp_path / "..new").rename(tmp_path / "..data")
    second = source.poll()
    assert first is not None
    assert second is not None
    assert (first.generation, second.generation) == (1, 2)
    assert source.poll() is None


def test_a_file_that_is_being_written_is_taken_up_when_it_has_come_to_rest(tmp_path: Path) -> None:
    file = tmp_path / "route.json"
    file.write_bytes(b"first")
    source = FileSource(file, lambda data: data, written_by_hand=True)  # type: ignore[arg-type,return-value]
    assert source.poll() == b"first"  # type: ignore[comparison-overlap]
    found: list[object] = []
    for written in (b"half of", b"half of the next", b"half of the next"):
        file.write_bytes(written)
        os.utime(file, (len(written), len(written)))
        found.append(source.poll())
    assert found == [None, None, b"half of the next"]
