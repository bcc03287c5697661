"""The decision: (policy, facts, draw) -> Forward | Reject, and who takes over when a backend fails.

Called by the router between two awaits, for every request; the same function would serve an explanation or a replay.
Never acts on what it decides.
"""

from collections.abc import Collection

from msgspec import Struct

from modelroute.api.types import FailureKind
from modelroute.policy.facts import Facts
from modelroute.policy.steps import STEPS, Chance, Choice, Table
from modelroute.snapshot.types import Backend, Snapshot

_SCALE = 2**20


class Policy(Struct, frozen=True):
    """A snapshot, ready to decide by. ``needs_text`` and ``header_names`` tell the router which facts to gather."""

    snapshot: Snapshot
    table: Table
    needs_text: bool
    header_names: frozenset[str]


class Forward(Struct, frozen=True, gc=False):
    """Send the request to ``backend``, for ``reason``."""

    backend: Backend
    reason: str


class Reject(Struct, frozen=True, gc=False):
    """Answer at once that nobody can: 503 with Retry-After."""

    reason: str
    message: str


def compile_policy(snapshot: Snapshot) -> Policy:
    """The policy of a snapshot."""
    whens = [rule.when for rule in snapshot.rules]
    identity = {snapshot.user_header, snapshot.tier_header} - {None}
    return Policy(
        snapshot=snapshot,
        table=Table.of(snapshot),
        needs_text=any(w.any_keyword or w.min_chars is not None or w.max_chars is not None for w in whens),
        header_names=frozenset(name for w in whens for name in w.headers) | frozenset(filter(None, identity)),
    )


def decide(policy: Policy, facts: Facts, draw: float) -> Forward | Reject:
    """Who answers this request; ``draw`` is uniform in [0, 1)."""
    # The draw's high bits choose by weight and its low bits the canary, so that neither leans on the other.
    chance = Chance(draw, draw * _SCALE % 1.0)
    choice: Choice | None = None
    for step in STEPS:
        choice = step(policy.table, facts, chance, choice)
    if choice is None:
        names = ", ".join(b.name for b in policy.snapshot.backends)
        return Reject("no_ready_backend", f"no backend of this route has a ready replica ({names}); try again shortly")
    return Forward(choice.backend, choice.reason)


def next_backend(policy: Policy, tried: Collection[str], failure: FailureKind) -> Forward | None:
    """Who takes over from the backends that were ``tried``, the last of which failed by ``failure``; None: nobody."""
    for fallback in policy.table.fallbacks:
        backend = policy.table.ready.get(fallback.backend)
        if backend is not None and fallback.backend not in tried and failure in fallback.failures:
            return Forward(backend, f"fallback {failure}")
    return None
