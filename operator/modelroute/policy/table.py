"""What the steps of a decision look things up in, made once a snapshot, and what they hand to each other.

Used by ``decide``, ``steps`` and ``covering``. Never decides.
"""

from itertools import accumulate
from typing import Literal, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from modelroute.api.types import FailureKind
from modelroute.policy.facts import Facts, Moment, Trouble
from modelroute.snapshot.types import Backend, Canary, Fallback, Rule, Snapshot, When

EVERYBODY: frozenset[str] = frozenset()
"""Nobody is barred."""
_COLD = Trouble("ColdStart")


class Choice(Struct, frozen=True, gc=False):
    """A backend and the reason for it, as clients and metrics see it.

    ``decided``: by a rule, which a canary without a baseline leaves alone. ``covers``: the backend that this one is a
    fallback for, and its trouble.
    """

    backend: Backend
    reason: str
    decided: bool = False
    verdict: Literal["Forward", "Hold", "Reject"] = "Forward"
    covers: tuple[str, FailureKind] | None = None


class Bar(NamedTuple):
    """Backends that a request never reaches when ``when`` holds.

    ``blind`` is what has to hold of a request that has parts in which a keyword cannot be looked for: of a rule that
    fails closed all but the keywords.
    """

    when: When
    names: frozenset[str]
    blind: When


class Table(Struct, frozen=True):
    """A snapshot, so that a decision does no work that a snapshot could."""

    route: str
    backends: dict[str, Backend]
    weighted: tuple[Backend, ...]
    bounds: tuple[int, ...]  # the weights, each added to those before it
    total: int
    bars: tuple[Bar, ...]
    rules: tuple[Rule, ...]
    canary: Canary | None
    fallbacks: tuple[Fallback, ...]

    @classmethod
    def of(cls, snapshot: Snapshot) -> "Table":
        """The table of ``snapshot``; ValueError when it names a backend that it does not have."""
        _check_names(snapshot)
        weighted = tuple(b for b in snapshot.backends if b.weight)
        outside = frozenset(b.name for b in snapshot.backends if b.data_policy == "External")
        bars = [
            Bar(
                when=rule.when,
                names=frozenset(rule.exclude) | (outside if rule.fail_closed else EVERYBODY),
                blind=replace(rule.when, any_keyword=()) if rule.fail_closed else rule.when,
            )
            for rule in snapshot.rules
        ]
        return cls(
            route=f"{snapshot.namespace}/{snapshot.name}",
            backends={b.name: b for b in snapshot.backends},
            weighted=weighted,
            bounds=tuple(accumulate(b.weight for b in weighted)),
            total=sum(b.weight for b in weighted),
            bars=tuple(bar for bar in bars if bar.names),
            rules=tuple(r for r in snapshot.rules if r.prefer),
            canary=snapshot.canary,
            fallbacks=snapshot.fallbacks,
        )


def _check_names(snapshot: Snapshot) -> None:
    known = {b.name for b in snapshot.backends}
    named = {name for rule in snapshot.rules for name in (*rule.prefer, *rule.exclude)}
    named |= {fallback.backend for fallback in snapshot.fallbacks}
    if snapshot.canary is not None:
        named |= {snapshot.canary.backend, snapshot.canary.baseline or snapshot.canary.backend}
    if named - known:
        raise ValueError(f"the snapshot has no backend {', '.join(sorted(named - known))}")


class Chance(Struct, frozen=True, gc=False):
    """Two draws in [0, 1) that have nothing to do with each other, made of one."""

    weight: float
    canary: float


class Asked(Struct, frozen=True, gc=False):
    """One request at one moment; ``barred`` are the backends that it never reaches."""

    facts: Facts
    moment: Moment
    chance: Chance
    barred: frozenset[str]

    def trouble(self, backend: Backend) -> Trouble | None:
        """Why ``backend`` cannot take the request now, if it cannot.

        A trouble other than a cold start is over when its time is: one that fails is then tried by one request.
        """
        found = self.moment.troubles.get(backend.name)
        if found is None:
            return None if backend.endpoints else _COLD
        return None if found.until <= self.moment.now and found.kind != "ColdStart" else found

    def can(self, backend: Backend) -> bool:
        """Whether ``backend`` may have the request and can take it now."""
        return backend.name not in self.barred and self.trouble(backend) is None
