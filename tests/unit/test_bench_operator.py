"""What the operator's benchmark reads from watches and audit logs."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from benchmarks.operator import Found, keys, peak, requests
from benchmarks.progress import Key, Progress
from modelroute.controller.kube.kinds import MODEL_ROUTE, Kind

CHAT = Key("team-0", "chat-1")
OURS = "system:serviceaccount:modelroute-system:modelroute-operator"


def status(generation: int, key: Key = CHAT) -> bytes:
    meta = {"namespace": key.namespace, "name": key.name, "resourceVersion": "7"}
    return json.dumps(
        {"type": "MODIFIED", "object": {"metadata": meta, "status": {"observedGeneration": generation}}}
    ).encode()


def written(generation: int, key: Key = CHAT) -> bytes:
    meta = {
        "namespace": key.namespace,
        "name": "x",
        "resourceVersion": "8",
        "labels": {"modelroute.dev/route": key.name},
    }
    data = {"snapshot.json": json.dumps({"generation": generation, "models": []})}
    return json.dumps({"type": "ADDED", "object": {"metadata": meta, "data": data}}).encode()


def asked(*, user: str = OURS, verb: str = "patch", at: str = "2026-01-01T00:00:00.5Z", number: int = 0) -> str:
    target = {"resource": "configmaps"}
    event = {
        "auditID": str(number),
        "user": {"username": user},
        "verb": verb,
        "objectRef": target,
        "stageTimestamp": at,
    }
    return json.dumps(event)


def play(script: Callable[[Progress], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        return await asyncio.wait_for(script(Progress()), 10)

    return asyncio.run(main())


@pytest.mark.parametrize("told", [[status(2)], [written(2)], [status(2), written(1)], [status(1), written(2)]])
def test_a_change_is_not_carried_out_before_both_its_status_and_its_configuration(told: list[bytes]) -> None:
    async def script(progress: Progress) -> bool:
        done = progress.carried_out(CHAT, 2)
        for line in told:
            progress.take(line)
        return done.done()

    assert play(script) is False


def test_a_change_is_carried_out_when_the_last_of_both_is_seen() -> None:
    async def script(progress: Progress) -> float:
        done = progress.carried_out(CHAT, 2)
        progress.take(status(2))
        progress.take(written(2))
        return await done

    assert play(script) > 0


def test_what_was_carried_out_before_is_not_waited_for() -> None:
    async def script(progress: Progress) -> bool:
        progress.take(written(3))
        progress.take(status(3))
        return progress.carried_out(CHAT, 2).done()

    assert play(script) is True


def test_all_are_carried_out_when_the_last_one_is() -> None:
    async def script(progress: Progress) -> bool:
        other = Key("team-0", "chat-2")
        waiting = asyncio.create_task(progress.all_carried_out([CHAT, other]))
        await asyncio.sleep(0)
        for line in (status(1), written(1), status(1, other)):
            progress.take(line)
        await asyncio.sleep(0)
        early = waiting.done()
        progress.take(written(1, other))
        await waiting
        return early

    assert play(script) is False


class Watched:
    """An API server whose watches tell some lines each and end."""

    def __init__(self, *watches: list[bytes]) -> None:
        self.watches = list(watches)
        self.since: list[str] = []

    async def version(self, _: Kind) -> str:
        return "1"

    async def watch(self, kind: Kind, _: str, since: str) -> AsyncIterator[bytes]:
        await asyncio.sleep(0.01)
        if kind is MODEL_ROUTE:
            self.since.append(since)
            for line in self.watches.pop(0):
                yield line


def test_a_watch_that_ends_is_gone_on_with_where_it_was() -> None:
    server = Watched([status(1)], [written(1)], *[[]] * 1000)

    async def script(progress: Progress) -> None:
        async with progress.following(server):  # type: ignore[arg-type]
            await progress.carried_out(CHAT, 1)

    play(script)
    assert server.since[:2] == ["1", "7"]


def test_who_waits_hears_of_a_watch_that_fails() -> None:
    async def script(progress: Progress) -> None:
        async with progress.following(Watched([b'{"type": "ERROR", "object": {"code": 410}}'])):  # type: ignore[arg-type]
            await progress.carried_out(CHAT, 1)

    with pytest.raises(RuntimeError, match=r"the watch of modelroutes failed: ValueError: .*410"):
        play(script)


def test_routes_are_spread_over_namespaces_and_each_is_there_once() -> None:
    found = keys(250)
    assert len(set(found)) == 250
    assert len({key.namespace for key in found}) == 3


def test_requests_of_the_operator_count_once_each() -> None:
    lines = [asked(number=1), asked(number=1), asked(number=2), asked(number=3, user="admin")]
    assert requests(lines) == 2


def test_the_peak_is_the_most_writes_of_a_second() -> None:
    second = [asked(at="2026-01-01T00:00:01.1Z"), asked(at="2026-01-01T00:00:01.9Z")]
    others = [asked(at="2026-01-01T00:00:01.2Z", verb="get"), asked(at="2026-01-01T00:00:02.0Z")]
    assert peak([*second, *others]) == 2


def test_goals_are_for_a_thousand_routes_and_the_rest_is_told() -> None:
    assert Found(1000, converge_seconds=21).rows()[0].holds is False
    assert Found(2000, converge_seconds=21).rows()[0].holds is None
