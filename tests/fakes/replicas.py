"""Replicas of one backend as planning sees them, and what it wants of them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from modelroute.api.status import BackendStatus, Status
from modelroute.planning.errands import WarmUp
from modelroute.planning.observed import Observed, Pod, WarmUpResult
from modelroute.planning.warming.warmup import Warmth, warmth
from tests.fakes.manifests import VLLM
from tests.fakes.world import moment, route

SLOT, SLOT_BEFORE = "2026-05-01T07:45:00Z", "2026-04-30T07:45:00Z"
MORNING = ("morning", SLOT)
NOW = moment(SLOT) + 10
START = NOW - 100
SMALL = VLLM | {"warmup": {"schedules": [{"name": "morning", "cron": "45 7 * * *"}]}}


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


def warm_up(pod: str = "small-1", **fields: Any) -> WarmUp:
    """The request of a warm-up, as no manifest says otherwise."""
    return replace(WarmUp("small", pod, "10.0.0.1:8000", "small", "ping", 1, 60.0), **fields)


def answered(at: float = NOW, seconds: float = 0.31, **fields: Any) -> WarmUpResult:
    """How that ended."""
    return WarmUpResult(at, health_seconds=0.003, answer_seconds=seconds, **fields)


def asked(*pods: Pod, backend: Mapping[str, Any] = VLLM, **seen: Any) -> Warmth:
    """What a route of one backend wants of these pods at ``now``. ``old``: what the status said; ``endpoints``: of its
    Service."""
    old, endpoints, now = seen.pop("old", None), seen.pop("endpoints", ()), seen.pop("now", NOW)
    status = Status(backends=(BackendStatus("small", "VLLM", 100, warmup=old),)) if old else None
    wanted = route(old=status, backends=[backend])
    return warmth(wanted, Observed(pods=pods, **seen), {"small": endpoints}, now)
