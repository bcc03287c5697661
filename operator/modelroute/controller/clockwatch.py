"""Notices that the machine's clock was set: what was put off to a point in time is looked at anew.

Run by ``app`` beside the workers. The event loop's clock knows nothing of the time of day: a look at half past seven
that was put off by an hour would come when that hour is over, whatever the time is then. Never decides anything.
"""

import asyncio
import logging
from collections.abc import Callable

EVERY_SECONDS = 1.0
JUMP_SECONDS = 2.0
"""A clock that is brought in line little by little is off by much less in a second."""

log = logging.getLogger(__name__)


async def watch(clock: Callable[[], float], jumped: Callable[[], None]) -> None:
    """Call ``jumped`` each time that ``clock`` (Unix seconds) goes another way than the event loop's; until cancelled.

    A machine that slept is such a case, too.
    """
    loop = asyncio.get_running_loop()
    offset = clock() - loop.time()
    while True:
        await asyncio.sleep(EVERY_SECONDS)
        now = clock() - loop.time()
        if abs(now - offset) >= JUMP_SECONDS:
            log.warning("the clock was set by %+.0f s; what waits for a point in time is looked at anew", now - offset)
            jumped()
            offset = now
