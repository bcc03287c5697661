"""The steps of a decision, in their order: rules, weights, canary. Each may replace the choice of those before it.

Called by ``decide`` alone. A step never sees a backend that cannot answer: those without a ready replica are left out
before (``Table.ready``) or stood in for by their fallback. To add a step is to add a function to ``STEPS``.
"""

from collections.abc import Callable
from typing import NamedTuple

from msgspec import Struct

from modelroute.policy import cohort
from modelroute.policy.facts import Facts
from modelroute.snapshot.types import Backend, Canary, Fallback, Rule, Snapshot, When
from modelroute.snapshot.weights import Share, cold_stand_in, shares


class Choice(NamedTuple):
    """A backend and the reason for it, as clients and metrics see it."""

    backend: Backend
    reason: str
    decided: bool = False
    """By a rule, which a canary without a baseline leaves alone."""


class Chance(NamedTuple):
    """Two draws in [0, 1) that have nothing to do with each other, made of one."""

    weight: float
    canary: float


class Table(Struct, frozen=True):
    """What the steps look things up in; made once a snapshot, so that a decision does no work that a snapshot could."""

    route: str
    ready: dict[str, Backend]
    stand_in: Backend | None
    shares: tuple[Share, ...]
    rules: tuple[Rule, ...]
    canary: Canary | None
    fallbacks: tuple[Fallback, ...]

    @classmethod
    def of(cls, snapshot: Snapshot) -> "Table":
        """The table of ``snapshot``."""
        return cls(
            route=f"{snapshot.namespace}/{snapshot.name}",
            ready={b.name: b for b in snapshot.backends if b.endpoints},
            stand_in=cold_stand_in(snapshot.backends, snapshot.fallbacks),
            shares=shares(snapshot.backends, snapshot.fallbacks),
            rules=snapshot.rules,
            canary=snapshot.canary,
            fallbacks=snapshot.fallbacks,
        )


Step = Callable[[Table, Facts, Chance, Choice | None], Choice | None]


def holds(when: When, facts: Facts) -> bool:
    """Whether all conditions that are given hold."""
    if when.any_keyword and not any(keyword in facts.text for keyword in when.any_keyword):
        return False
    if when.min_chars is not None and len(facts.text) < when.min_chars:
        return False
    if when.max_chars is not None and len(facts.text) > when.max_chars:
        return False
    if when.tiers and facts.tier not in when.tiers:
        return False
    return all(facts.headers.get(name) == value for name, value in when.headers.items())


def by_rule(table: Table, facts: Facts, chance: Chance, choice: Choice | None) -> Choice | None:  # noqa: ARG001
    """The first rule that holds: the first of its backends that is ready, else who stands in for cold ones."""
    for rule in table.rules:
        if not holds(rule.when, facts):
            continue
        for name in rule.prefer:
            if backend := table.ready.get(name):
                return Choice(backend, f"rule {rule.name}", decided=True)
        return Choice(table.stand_in, "fallback ColdStart", decided=True) if table.stand_in else choice
    return choice


def by_weight(table: Table, facts: Facts, chance: Chance, choice: Choice | None) -> Choice | None:  # noqa: ARG001
    """A draw by weight, where no rule decided."""
    if choice is not None or not table.shares:
        return choice
    left = chance.weight
    for share in table.shares:
        left -= share.share
        if left < 0:
            break
    return Choice(share.backend, share.reason)


def by_canary(table: Table, facts: Facts, chance: Chance, choice: Choice | None) -> Choice | None:
    """The canary in place of its baseline, for the users that are in it."""
    canary = table.canary
    if canary is None or choice is None:
        return choice
    replaced = choice.backend.name == canary.baseline if canary.baseline else not choice.decided
    backend = table.ready.get(canary.backend)
    if not replaced or backend is None:
        return choice
    why = cohort.reason(table.route, canary, facts.user, chance.canary)
    return Choice(backend, why) if why else choice


STEPS: tuple[Step, ...] = (by_rule, by_weight, by_canary)
