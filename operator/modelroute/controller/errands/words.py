"""How errands are told of: their figures, what a failure of each kind means, and from how many in a row on.

Used by ``errands``. Never tells anybody itself.
"""

from collections.abc import Mapping
from typing import NamedTuple

from modelroute.planning.errands import CloseGate, Errand, Mark, Sleep, Wake, WarmUp
from modelroute.planning.observed import WarmUpResult

LOST_WAKES = 3
"""After so many failures to wake in a row a replica is taken for one that does not."""


class Telling(NamedTuple):
    """How failures of one kind of errand are told, and from how many in a row on."""

    reason: str
    lacks: str
    patience: int = 3


TELLING: Mapping[type[Errand], Telling] = {
    WarmUp: Telling("WarmupFailed", "gets no requests before its first answer"),
    CloseGate: Telling("WarmupFailed", "gets requests though its container was started again"),
    Mark: Telling("MarkFailed", "cannot be marked"),
    Sleep: Telling("SleepFailed", "does not go to sleep", patience=1),
    Wake: Telling("WakeFailed", "does not wake up", patience=1),
}
"""A replica that has just come may need a second try; one that sleeps is wanted now."""


def errand_pod(errand: Errand) -> str:
    """Whom it is about."""
    return errand.warm_up.pod if isinstance(errand, Wake) else errand.pod


def figures(result: WarmUpResult) -> str:
    """How fast it answered."""
    return f"/health {ms(result.health_seconds)}, first answer {ms(result.answer_seconds)}"


def ms(seconds: float) -> str:
    """``seconds`` as people read them."""
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.0f} s"
