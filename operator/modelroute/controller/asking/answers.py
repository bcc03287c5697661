"""What routers and vLLM engines answer, read: strangers' words, so each is bounded and checked.

Called by ``sampler``. Pure. Never passes on an answer that it cannot read, nor more of one than is asked for.
"""

import math
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from modelroute.controller.asking.client import MOST_BYTES, Answer, UnansweredError
from modelroute.controller.asking.words import plain
from modelroute.controller.watching.cache import Key
from modelroute.planning.observed import Engine, Told, Traffic

_Count = Annotated[int, Meta(ge=0, le=10**9)]
_Total = Annotated[int, Meta(ge=0, le=2**53)]
_Seconds = Annotated[float, Meta(ge=0, le=10**9)]
_Word = Annotated[str, Meta(max_length=253)]


class _Replica(Struct, rename="camel"):
    address: _Word
    in_flight: _Count = 0


class _Backend(Struct, rename="camel"):
    name: _Word
    in_flight: _Count = 0
    waiting: _Count = 0
    requests: _Total = 0
    cold: _Total = 0
    quiet_seconds: _Seconds = 0.0
    replicas: Annotated[list[_Replica], Meta(max_length=5000)] = []


class _Status(Struct, rename="camel"):
    namespace: _Word | None
    name: _Word | None
    revision: Annotated[str, Meta(pattern="^[0-9a-f]{1,64}$")] | None
    generation: _Count | None
    refused_snapshot: str | None = None
    backends: Annotated[list[_Backend], Meta(max_length=64)] = []


def told_of(answer: Answer, key: Key) -> Told:
    """What a router's /status says; UnansweredError where it is of no use, or another route's router answered."""
    status = _decoded(answer)
    if status.name is not None and (status.namespace, status.name) != key:
        raise UnansweredError("a router of another ModelRoute answers at its address")
    return Told(
        revision=status.revision or "",
        generation=status.generation or 0,
        error=plain(status.refused_snapshot or ""),
        backends={
            b.name: Traffic(
                b.in_flight,
                b.waiting,
                b.requests,
                b.cold,
                {r.address: r.in_flight for r in b.replicas},
                b.quiet_seconds,
            )
            for b in status.backends
        },
    )


def _decoded(answer: Answer) -> _Status:
    if answer.status != 200:
        raise UnansweredError(f"/status said {answer.status}")
    if len(answer.body) >= MOST_BYTES:
        raise UnansweredError(f"/status said more than {MOST_BYTES} bytes")
    try:
        return msgspec.json.decode(answer.body, type=_Status)
    except msgspec.DecodeError:  # whose message may hold a piece of what was said
        raise UnansweredError("/status said something that is not a router's status") from None


def engine_of(answer: Answer) -> Engine:
    """What vLLM's /metrics say, of all engines behind one port; UnansweredError where the gauges are not there.

    Names as of vLLM 0.32. Cache in use: the fullest engine's. Asleep: any engine is; older ones do not say.
    """
    if answer.status != 200:
        raise UnansweredError(f"/metrics said {answer.status}")
    running = waiting = cache = 0.0
    known, sleeping = False, None
    for line in answer.body.decode("utf-8", "replace").splitlines():
        if not line.startswith("vllm:"):
            continue
        name, labels, value = _series(line)
        if name == "vllm:num_requests_running":
            running, known = running + value, True
        elif name == "vllm:num_requests_waiting":
            waiting += value
        elif name == "vllm:kv_cache_usage_perc":
            cache = max(cache, min(value, 1.0))
        elif name == "vllm:engine_sleep_state":
            sleeping = bool(sleeping) or (value > 0 and 'sleep_state="awake"' not in labels)
    if not known:
        raise UnansweredError("/metrics said nothing of vllm:num_requests_running")
    return Engine(int(running), int(waiting), cache, sleeping)


def _series(line: str) -> tuple[str, str, float]:
    """Name, labels and value of a line of Prometheus' text format; 0 for what is no count."""
    series, _, text = line.rpartition(" ")
    name, _, labels = series.partition("{")
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    return name, labels, value if math.isfinite(value) and 0 <= value <= 1e9 else 0.0
