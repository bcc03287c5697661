"""Which backend gets which share of the requests that no rule decides, now that some may have no ready replica.

Used by ``planning`` for the status; a property test holds it to what ``policy`` does at each draw.
Never looks at anything but the snapshot's own backends and fallbacks.
"""

from collections.abc import Sequence
from typing import NamedTuple

from modelroute.snapshot.types import Backend, Fallback


class Share(NamedTuple):
    """``backend`` answers the part ``share`` (of 1) of the undecided requests, for ``reason``."""

    backend: Backend
    share: float
    reason: str


def cold_stand_in(backends: Sequence[Backend], fallbacks: Sequence[Fallback]) -> Backend | None:
    """Who is declared to answer for a backend while none of its replicas is ready, if anybody can."""
    by_name = {b.name: b for b in backends}
    declared = (by_name[f.backend] for f in fallbacks if "ColdStart" in f.failures)
    return next((b for b in declared if b.endpoints), None)


def shares(backends: Sequence[Backend], fallbacks: Sequence[Fallback]) -> tuple[Share, ...]:
    """The shares, summing to 1; empty when no backend can answer.

    A weighted backend with a ready replica keeps its share. The share of one without goes to the first fallback that
    takes over on ColdStart; where none is declared, to the other weighted backends in proportion. One whose requests
    are held, or refused, while it is cold keeps its share.
    """
    weighted = [b for b in backends if b.weight]
    total = sum(b.weight for b in weighted)
    stand_in = cold_stand_in(backends, fallbacks)
    kept: list[Share] = []
    for backend in weighted:
        share = backend.weight / total
        if backend.endpoints:
            kept.append(Share(backend, share, f"weight {backend.weight}"))
        elif backend.cold_start.policy in ("Hold", "Reject"):
            kept.append(Share(backend, share, "held ColdStart" if backend.cold_start.policy == "Hold" else "cold"))
        elif stand_in:
            kept.append(Share(stand_in, share, "fallback ColdStart"))
    covered = sum(s.share for s in kept)
    return tuple(s._replace(share=s.share / covered) for s in kept)
