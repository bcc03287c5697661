"""A request that goes upstream with all that belongs to it: made by ``service``, used by ``exchange`` and ``attempt``.

Values alone; nothing here acts.
"""

import asyncio
import ssl
from typing import NamedTuple

from msgspec import Struct

from modelroute.policy.retry import Budget
from modelroute.router.http.http1 import ClientConnection
from modelroute.router.http.request import Request
from modelroute.router.metrics.metrics import Metrics
from modelroute.router.surface.body import Ask


class Shared(NamedTuple):
    """What all requests of a router share."""

    loop: asyncio.AbstractEventLoop
    metrics: Metrics
    tls: ssl.SSLContext
    budget: Budget


class Job(Struct, frozen=True):
    """A request that goes upstream, and whom it is for."""

    shared: Shared
    client: ClientConnection
    request: Request
    ask: Ask


class Windows(Struct, frozen=True, gc=False):
    """What one try may take: seconds, and two moments on the loop's clock (inf: none).

    ``end``: of all of it; ``patience``: after which nobody waits for an answer of which nothing has gone out.
    ``counts``: whether to be late with the first byte is the backend's fault, and not the client's own impatience.
    """

    connect: float
    first: float
    idle: float
    end: float
    patience: float
    counts: bool
