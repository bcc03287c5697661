"""What was asked of a backend lately: samples, boiled down to what a decision needs.

Kept by the controller, sample by sample; read by the decision. Never decides.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at all routers of a route, for one backend, and at its replicas' own metrics."""

    at: float  # Unix seconds
    in_flight: int = 0
    waiting: int = 0  # in routers: for a start, or for their turn
    cold: int = 0  # requests since the last sample that met no ready replica
    queued: int = 0  # within replicas
    cache: float = 0.0  # of 1: the fullest replica's
    complete: bool = True  # every router that is ready was heard


@dataclass(frozen=True, slots=True)
class Demand:
    """What was sampled, the newest last."""

    samples: tuple[Sample, ...] = ()


MOST_SAMPLES = 512


def after(demand: Demand, sample: Sample, scaling: object) -> Demand:  # noqa: ARG001 - decides how much is kept
    """``demand`` with one more sample; of old ones no more than are of use."""
    return Demand((*demand.samples, sample)[-MOST_SAMPLES:])
