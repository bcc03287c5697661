"""Replicas of one backend as planning sees them, and what it wants of them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from modelroute.api.status import BackendStatus, Status
from modelroute.planning.errands import WarmUp
from modelroute.planning.observed import Observed, Pinged, Pod
from modelroute.planning.times.moments import rfc3339
from modelroute.planning.warming.slots import Slot
from modelroute.planning.warming.warmup import Timetable, Warmth, warmth
from tests.fakes.manifests import VLLM
from tests.fakes.world import route

START = 1000.0
NOW = START + 100
SLOT = rfc3339(NOW - 10)
MORNING = ("morning", SLOT)
SMALL = VLLM | {"warmup": {"schedules": [{"name": name, "cron": "45 7 * * *"} for name in ("morning", "noon")]}}


def replica(name: str = "small-1", backend: str = "small", **fields: Any) -> Pod:
    """One whose containers are ready and whose gate is closed, unless said otherwise."""
    usual: dict[str, Any] = {
        "address": "10.0.0.1",
        "created": START,
        "started": START + 20,
        "loaded": START + 60,
        "gated": True,
    }
    return Pod(name=name, component="backend", backend=backend, **usual | fields)


def warm(name: str = "small-1", backend: str = "small", **fields: Any) -> Pod:
    """One that takes traffic."""
    return replica(name, backend, **{"warm": START + 61, "ready": True} | fields)


def ping(pod: str = "small-1", **fields: Any) -> WarmUp:
    """The request of a warm-up, as no manifest says otherwise."""
    return replace(WarmUp("small", pod, "10.0.0.1:8000", "small", "ping", 1, 60.0), **fields)


def answered(at: float = NOW, seconds: float = 0.31, **fields: Any) -> Pinged:
    """How that ended."""
    return Pinged(at, health_seconds=0.003, answer_seconds=seconds, **fields)


def asked(*pods: Pod, backend: Mapping[str, Any] = SMALL, due: tuple[Slot, ...] = (), **seen: Any) -> Warmth:
    """What a route of one backend wants of these pods. ``old``: what the status said; ``endpoints``: of its Service."""
    old, endpoints = seen.pop("old", None), seen.pop("endpoints", ())
    status = Status(backends=(BackendStatus("small", "VLLM", 100, warmup=old),)) if old else None
    wanted = route(old=status, backends=[backend])
    timetable = Timetable(lambda *_: due, lambda _, status, *__: (status, ()), lambda *_: None)
    return warmth(wanted, Observed(pods=pods, **seen), {"small": endpoints}, NOW, timetable)
