"""What replicas say of their own load, made calm enough to be handed to the routers in the snapshot.

Called by ``plan``. A snapshot is written for every change of this, and each of its routers told: so numbers are coarse,
a step is left only for one that is well off it, nothing is said where all replicas are alike, and no change comes
sooner than ``CALM_SECONDS`` after the last one of the snapshot. At rest nothing is said, and so nothing written.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

import msgspec

from modelroute.api import types as t
from modelroute.api.podchecks import PORT
from modelroute.planning import names
from modelroute.planning.observed import Engine, KubeObject, Observed, written_at
from modelroute.snapshot.codec import FILE_NAME
from modelroute.snapshot.types import Load

CALM_SECONDS = 10.0
_FULL = 0.8
"""Below it, how much of a cache is in use makes no difference to a replica."""
NOTHING = Load()

Loads = Mapping[str, Mapping[str, Load]]
"""By backend and endpoint."""


class Calm(NamedTuple):
    """What routers are told, and when that may change, in Unix seconds, where it should already."""

    loads: Loads
    look_again: float | None = None


class _Backend(msgspec.Struct):
    name: str
    loads: dict[str, Load] = {}


class _Written(msgspec.Struct):
    backends: list[_Backend] = []


def step(engine: Engine, before: Load = NOTHING) -> Load:
    """``engine`` in steps of 0, 2, 4, 8 … waiting, and of a tenth of the cache; ``before`` stays while it is near."""
    waiting = 1 << engine.waiting.bit_length() - 1 if engine.waiting > 1 else 0
    if before.waiting and before.waiting // 2 < engine.waiting < 3 * before.waiting:
        waiting = before.waiting
    cache = int(engine.cache * 10 + 1e-9) / 10
    if before.cache and before.cache - 0.1 < engine.cache < before.cache + 0.15:
        cache = before.cache
    return Load(waiting, cache if cache >= _FULL else 0.0)


def loads_of(route: t.ModelRoute, observed: Observed, endpoints: Mapping[str, Collection[str]], now: float) -> Calm:
    """What to tell of the replicas at ``endpoints`` (by backend); ``now`` is in Unix seconds.

    Of a backend none of whose replicas was heard, what was said last stays.
    """
    several = {b.name: endpoints.get(b.name, ()) for b in route.spec.backends if b.vllm}
    several = {name: there for name, there in several.items() if len(there) > 1}
    if not several:
        return Calm({})
    live = observed.child("ConfigMap", names.snapshot(route.metadata.name))
    before = _written(live)
    told = {n: {e: load for e, load in before.get(n, {}).items() if e in there} for n, there in several.items()}
    wanted = {name: _wanted(observed, name, there, told[name]) for name, there in several.items()}
    due = written_at(live) + CALM_SECONDS
    if wanted == told or now >= due:
        return Calm({name: loads for name, loads in wanted.items() if loads})
    return Calm({name: loads for name, loads in told.items() if loads}, due)


def _wanted(observed: Observed, backend: str, there: Collection[str], told: Mapping[str, Load]) -> Mapping[str, Load]:
    by_endpoint = {p.at(PORT): observed.engines.get(p.name) for p in observed.replicas(backend)}
    heard = {endpoint: engine for endpoint in there if (engine := by_endpoint.get(endpoint))}
    if not heard:
        return told
    steps = {endpoint: step(engine, told.get(endpoint, NOTHING)) for endpoint, engine in heard.items()}
    alike = len(heard) == len(there) and len(set(steps.values())) == 1
    return {} if alike else {endpoint: load for endpoint, load in steps.items() if load != NOTHING}


def _written(live: KubeObject | None) -> dict[str, Mapping[str, Load]]:
    """What the snapshot says that was written last; nothing of one that somebody made unreadable."""
    text = ((live or {}).get("data") or {}).get(FILE_NAME, "")
    if '"loads"' not in text:
        return {}
    try:
        return {b.name: b.loads for b in msgspec.json.decode(text, type=_Written).backends}
    except msgspec.DecodeError:
        return {}
