"""Runs kopf to its end, and sees to it that there is one.

Called by ``app``. When one of kopf's watches fails, kopf cancels the others once, together with the helpers that they
wait for at their end: then some wait for ever, and the operator would be alive and blind.
"""

import asyncio
import contextlib
import signal
from typing import Any, cast

import kopf

from modelroute.controller.watching import kopf_settings

GRACE_SECONDS = 10.0
"""Kopf needs some for a good end; what is left after that is cancelled until it is gone."""


async def run_kopf(registry: kopf.OperatorRegistry, namespaces: tuple[str, ...]) -> None:
    """Watch until a signal comes, which is the normal end; what made kopf fail is raised."""
    before = asyncio.all_tasks()
    roots = await kopf.spawn_tasks(
        registry=registry,
        settings=kopf_settings(),
        identity=cast("Any", "modelroute-operator"),  # kopf would ask for the user's name; in a pod it has none
        standalone=True,
        clusterwide=not namespaces,
        namespaces=namespaces,
    )
    running = asyncio.create_task(kopf.run_tasks(roots, ignored=before), name="kopf")
    try:
        await asyncio.wait(roots, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait([running], timeout=GRACE_SECONDS)
    finally:
        await _end(running, before)
        _release_signals()
    running.result()


async def _end(running: asyncio.Task[None], before: set[asyncio.Task[Any]]) -> None:
    while not running.done():
        for task in asyncio.all_tasks() - before - {running}:
            task.cancel()
        await asyncio.wait([running], timeout=1)


def _release_signals() -> None:
    """Kopf leaves handlers behind that would swallow the next signal."""
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(ValueError):
            asyncio.get_running_loop().remove_signal_handler(number)
