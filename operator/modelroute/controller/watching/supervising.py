"""Runs kopf to its end, and sees to it that there is one.

Called by ``app``. When one of kopf's watches fails, kopf cancels the others once, together with the helpers that they
wait for at their end: then some wait for ever, and the operator would be alive and blind. And kopf takes every task
that is younger than itself for its own, waits for it at its end and cancels it; so it is told which ones are.
"""

import asyncio
import contextlib
import weakref
from collections.abc import Callable, Collection, Coroutine, Iterator
from contextvars import ContextVar
from typing import Any, cast

import kopf

GRACE_SECONDS = 10.0
"""Kopf needs some for a good end; what is left after that is cancelled until it is gone."""

_of_kopf: ContextVar[bool] = ContextVar("_of_kopf", default=False)


async def run_kopf(
    registry: kopf.OperatorRegistry,
    namespaces: tuple[str, ...],
    settings: kopf.OperatorSettings,
    on_start: Callable[[], None] = lambda: None,
) -> None:
    """Watch until cancelled; what made kopf fail is raised. To be run as a task of its own.

    ``on_start`` is called when kopf has put its signal handlers in place of those that were there.
    """
    theirs: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
    asyncio.get_running_loop().set_task_factory(_noting(theirs))
    _of_kopf.set(True)
    stop = asyncio.Event()
    roots = await kopf.spawn_tasks(
        registry=registry,
        settings=settings,
        identity=cast("Any", "modelroute-operator"),  # kopf would ask for the user's name; in a pod it has none
        standalone=True,
        clusterwide=not namespaces,
        namespaces=namespaces,
        stop_flag=stop,
    )
    on_start()
    running = asyncio.create_task(kopf.run_tasks(roots, ignored=_AllBut(theirs)), name="kopf")
    try:
        await asyncio.wait(roots, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.set()
        await _end(running, theirs)
    running.result()


async def _end(running: asyncio.Task[None], theirs: Collection[asyncio.Task[Any]]) -> None:
    """Wait for the end of ``running``; when cancelled too: what is left would keep the process from its own."""
    now = asyncio.get_running_loop().time
    limit = now() + GRACE_SECONDS
    while not running.done():
        if now() >= limit:
            for task in set(theirs) - {running}:
                task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([running], timeout=max(limit - now(), 1))


def _noting(theirs: weakref.WeakSet[asyncio.Task[Any]]) -> Callable[..., asyncio.Task[Any]]:
    """A task factory that knows kopf's tasks by the context in which they are made."""

    def make(loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=loop, **options)
        if _of_kopf.get():
            theirs.add(task)
        return task

    return make


class _AllBut(Collection[asyncio.Task[Any]]):
    """All tasks, the later ones too, but those."""

    def __init__(self, those: Collection[asyncio.Task[Any]]) -> None:
        self._those = those

    def __contains__(self, task: object) -> bool:
        return task not in self._those

    def __iter__(self) -> Iterator[asyncio.Task[Any]]:
        return (task for task in asyncio.all_tasks() if task in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)
