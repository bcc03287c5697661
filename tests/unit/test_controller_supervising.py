"""Kopf is run to its end, also when it would not come to one."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import kopf
import pytest

from modelroute.controller.watching.supervising import run_kopf
from tests.fakes.clock import InstantLoop

told: list[asyncio.Event] = []
"""What kopf was given to be told to stop by."""


async def forever() -> None:
    await asyncio.Event().wait()


async def failing() -> None:
    await asyncio.sleep(1)
    raise LookupError("404 page not found")


async def ending() -> None:
    await asyncio.sleep(1)


async def stubborn() -> None:
    """As kopf's watches: their end waits for a helper, and no cancellation of their own stops that."""
    helper = None
    try:
        await forever()
    finally:
        helper = asyncio.create_task(forever())
        while not helper.done():
            try:
                await asyncio.shield(helper)
            except asyncio.CancelledError:
                continue


def run(
    monkeypatch: pytest.MonkeyPatch, *roots: Coroutine[Any, Any, None], beside: bool = False, cancel_at: float = 0
) -> set[str]:
    """Run "kopf" with these tasks, and a stubborn one beside them if asked for; what is left of tasks at its end.

    ``cancel_at``: after so many seconds it is cancelled, if at all.
    """

    async def spawn_tasks(stop_flag: asyncio.Event, **_: Any) -> list[asyncio.Task[None]]:
        told.append(stop_flag)
        if beside:
            asyncio.create_task(stubborn())  # noqa: RUF006 - nobody holds on to it in kopf either
        return [asyncio.create_task(root) for root in roots]

    async def main() -> set[str]:
        own = asyncio.create_task(forever(), name="ours")
        kopf_runs = asyncio.create_task(run_kopf(kopf.OperatorRegistry(), (), kopf.OperatorSettings()))
        await asyncio.sleep(0.5)
        later = asyncio.create_task(forever(), name="ours, but younger")
        async with asyncio.timeout(120):
            try:
                if cancel_at:
                    asyncio.get_running_loop().call_later(cancel_at - 0.5, kopf_runs.cancel)
                await kopf_runs
            finally:
                left = {task.get_name() for task in asyncio.all_tasks() - {asyncio.current_task()}}
                own.cancel()
                later.cancel()
        return left

    monkeypatch.setattr(kopf, "spawn_tasks", spawn_tasks)
    with asyncio.Runner(loop_factory=InstantLoop) as runner:
        return runner.run(main())


OURS = {"ours", "ours, but younger"}


def test_a_normal_end_ends_all_that_kopf_started_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, ending(), forever()) == OURS


def test_what_made_it_fail_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LookupError, match="404"):
        run(monkeypatch, failing(), forever())


def test_a_task_that_will_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LookupError, match="404"):
        run(monkeypatch, failing(), forever(), beside=True)


def test_what_is_cancelled_is_first_told_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stopping() -> None:
        await asyncio.sleep(0.1)
        await told[-1].wait()

    with pytest.raises(asyncio.CancelledError):
        run(monkeypatch, stopping(), forever(), cancel_at=0.5)
    assert told[-1].is_set()


def test_what_is_cancelled_at_its_end_comes_to_it_nevertheless(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LookupError, match="404"):
        run(monkeypatch, failing(), forever(), beside=True, cancel_at=3)
