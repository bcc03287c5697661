"""What was asked of a backend lately: samples, boiled down to what a decision needs.

Kept by the controller, sample by sample; read by the decision. Never decides. A row of samples that breaks off begins
anew, as after a restart: of what was in the hole only routers know, and only for how long nobody has asked.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from math import inf
from typing import NamedTuple

from modelroute.api import types as t
from modelroute.api.scalars import seconds

STABLE_SECONDS, BURST_SECONDS = 60.0, 6.0
"""What a load is the mean over, in calm and in a burst: Knative's stable and panic windows (knative/serving,
``pkg/autoscaler/scaling/autoscaler.go``; docs "Additional autoscaling configuration for Knative Pod Autoscaler")."""
GAP_SECONDS = 15.0
"""Samples come every second or two; what was not seen for so long was not seen."""
FULL_CACHE = 0.95
"""Of 1: a vLLM whose cache is as full as this makes requests wait, or starts them anew."""
_CROWDED_SECONDS = 3600.0
_MOST_SAMPLES = 240
_PIECES = 60
"""A window is remembered in so many pieces, whatever its length and however often samples come."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at all routers of a route, for one backend, and at its replicas' own metrics."""

    at: float  # Unix seconds
    in_flight: int = 0
    waiting: int = 0  # in routers: for a start, or for their turn
    cold: int = 0  # requests since the last sample that met no ready replica
    requests: int = 0  # since the last sample, that routers let through: short ones may never be in flight at a look
    queued: int = 0  # within replicas
    cache: float = 0.0  # of 1: the fullest replica's
    ready: int = 0  # replicas that take requests
    complete: bool = True  # every router that is ready was heard
    quiet_for: float = 0.0  # seconds for which nobody had asked any of them, as far as all know

    @property
    def load(self) -> int:
        """Requests that are there now."""
        return self.in_flight + self.waiting

    @property
    def busy(self) -> bool:
        """Whether anybody asked."""
        return bool(self.load or self.cold or self.requests or self.queued)


class Piece(NamedTuple):
    """From ``start`` to the start of the next piece: the extreme of the loads in it."""

    start: float
    load: float


@dataclass(frozen=True, slots=True)
class Demand:
    """What was sampled in one unbroken row, the newest last.

    Of the long windows only the extremes of pieces are kept. ``quiet`` is since when nobody has asked, by what
    routers know where nobody looked. ``late``: a row before it broke off, since samples came too seldom. ``crowded``:
    when replicas last proved to be full, and with what load each.
    """

    samples: tuple[Sample, ...] = ()  # of the last 60 s
    began: float = inf
    highs: tuple[Piece, ...] = ()  # over scaleDown.stabilization
    lows: tuple[Piece, ...] = ()  # over scaleUp.stabilization
    quiet: float | None = None  # None: somebody asks, or it is not known
    active: float = -inf  # when somebody last asked
    late: bool = False
    crowded: Piece | None = None

    def fresh(self, now: float) -> bool:
        """Whether the newest sample tells of ``now``; not where the clock was turned back, either."""
        return bool(self.samples) and abs(now - self.samples[-1].at) <= GAP_SECONDS

    def blind(self, now: float) -> bool:
        """Whether samples came too seldom within the last minute to tell of it. Where there are none, nobody knows."""
        waited = bool(self.samples) and now - self.samples[-1].at > GAP_SECONDS
        return waited or (self.late and not self.seen(STABLE_SECONDS))

    def seen(self, span: float) -> bool:
        """Whether the row goes back ``span`` seconds."""
        return bool(self.samples) and self.samples[-1].at - self.began >= span

    def mean(self, span: float) -> float:
        """Requests that were there, on average over the last ``span`` seconds; at least so many, where not all was
        heard."""
        return _mean(s for s in self.samples if s.at > self.samples[-1].at - span)

    def whole(self, scaling: t.Scaling) -> bool:
        """Whether all of a window after which fewer are enough was seen, and the newest sample is complete."""
        if not self.highs or not self.samples[-1].complete:
            return False
        return self.samples[-1].at - self.highs[0].start >= down_window(scaling)

    @property
    def peak(self) -> float:
        """The highest mean load of that window."""
        return max((piece.load for piece in self.highs), default=0.0)

    def trough(self, scaling: t.Scaling) -> float:
        """The lowest mean load of the window after which replicas may come; 0 while it was not all seen."""
        if not self.lows or self.samples[-1].at - self.lows[0].start < seconds(scaling.scale_up.stabilization):
            return 0.0
        return min(piece.load for piece in self.lows)

    @property
    def highest_burst(self) -> float:
        """The highest mean over six seconds of the last minute."""
        ends = [s.at for s in self.samples]
        return max(_mean(s for s in self.samples if end - BURST_SECONDS < s.at <= end) for end in ends)

    @property
    def pressed(self) -> str:
        """Whether replicas were at their own limits for a minute, in words; empty: they were not."""
        if not self.seen(STABLE_SECONDS):
            return ""
        if all(s.queued for s in self.samples):
            return "requests queue within the replicas"
        return "the cache of a replica is full" if all(s.cache >= FULL_CACHE for s in self.samples) else ""


def down_window(scaling: t.Scaling) -> float:
    """Seconds for which replicas must not have been wanted before they go: never less than a mean is taken over."""
    return max(seconds(scaling.scale_down.stabilization), STABLE_SECONDS)


def after(demand: Demand | None, sample: Sample, scaling: t.Scaling) -> Demand:
    """What is known when ``sample`` has come after ``demand``; None: it is the first one."""
    if demand is None or not demand.samples or not 0 <= sample.at - demand.samples[-1].at <= GAP_SECONDS:
        demand = Demand(began=sample.at, late=demand is not None and demand.blind(sample.at))
    recent = [s for s in demand.samples if s.at > sample.at - STABLE_SECONDS]
    known = replace(demand, samples=(*recent, sample)[-_MOST_SAMPLES:])
    lows = _extended(
        known.lows, Piece(sample.at, known.mean(STABLE_SECONDS)), seconds(scaling.scale_up.stabilization), min
    )
    known = replace(known, lows=lows, crowded=_crowded(known))
    known = _heard(known, sample, scaling) if sample.complete else known
    return replace(known, quiet=None, active=sample.at) if sample.busy else known


def _heard(known: Demand, sample: Sample, scaling: t.Scaling) -> Demand:
    """What a complete sample says of how little is wanted; after too long a time without one that is seen anew."""
    heard = [s for s in known.samples if s.complete]
    unbroken = len(heard) > 1 and sample.at - heard[-2].at <= GAP_SECONDS
    highs = _extended(known.highs if unbroken else (), Piece(sample.at, _mean(heard)), down_window(scaling), max)
    quiet = known.quiet if unbroken else None  # a router that was started since knows less than was seen
    if quiet is None:
        quiet = max(known.active, sample.at - sample.quiet_for)
    return replace(known, highs=highs, quiet=quiet)


def _crowded(known: Demand) -> Piece | None:
    """The load that proved to be too much for a replica; forgotten after an hour, since engines are set up anew."""
    newest, old = known.samples[-1], known.crowded
    if old and newest.at - old.start > _CROWDED_SECONDS:
        old = None
    if not newest.ready or not known.pressed:
        return old
    if not all(s.complete and s.ready == newest.ready for s in known.samples):
        return old
    load = known.mean(STABLE_SECONDS) / newest.ready
    return Piece(newest.at, min(load, old.load) if old else load)


def _mean(samples: Iterable[Sample]) -> float:
    loads = [s.load for s in samples]
    return sum(loads) / len(loads)


def _extended(
    kept: tuple[Piece, ...], new: Piece, window: float, extreme: Callable[[float, float], float]
) -> tuple[Piece, ...]:
    """``kept`` with one value more, without the pieces that ended before the window."""
    if kept and new.start - kept[-1].start < window / _PIECES:
        pieces = (*kept[:-1], Piece(kept[-1].start, extreme(kept[-1].load, new.load)))
    else:
        pieces = (*kept, new)
    first = max((i for i, piece in enumerate(pieces) if piece.start <= new.start - window), default=0)
    return pieces[first:]


def relief(demand: Demand, scaling: t.Scaling) -> float:
    """When the peak leaves the window after which replicas may go, if nothing as high comes."""
    last = max(i for i, piece in enumerate(demand.highs) if piece.load == demand.peak)
    ends = [piece.start for piece in demand.highs[last + 1 :]]
    return (ends[0] if ends else demand.samples[-1].at) + down_window(scaling)
