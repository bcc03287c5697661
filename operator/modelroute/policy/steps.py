"""The steps of a decision, in their order: rules, weights, canary. Each may replace the choice of those before it.

Called by ``decide`` alone. A step never gives a request to a backend that may not have it or that cannot answer now:
``covering`` says who does then. To add a step is to add a function to ``STEPS``.
"""

from bisect import bisect
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from modelroute.policy import cohort
from modelroute.policy.covering import cover
from modelroute.policy.facts import Facts
from modelroute.policy.table import EVERYBODY, Asked, Choice, Table
from modelroute.snapshot.types import Backend, When

Step = Callable[[Table, Asked, Choice | None], Choice | None]


def holds(when: When, facts: Facts, said: str) -> bool:
    """Whether all conditions that are given hold; keywords are looked for in ``said``."""
    if when.any_keyword and not any(keyword in said for keyword in when.any_keyword):
        return False
    if when.min_chars is not None and len(facts.text) < when.min_chars:
        return False
    if when.max_chars is not None and len(facts.text) > when.max_chars:
        return False
    if when.tiers and facts.tier not in when.tiers:
        return False
    return all(_says(facts.headers.get(name), value) for name, value in when.headers.items())


def _says(given: str | None, wanted: str) -> bool:
    """Whether a header has the value, alone or, where it came twice, among others."""
    return given == wanted or (given is not None and wanted in map(str.strip, given.split(",")))


def barred(table: Table, facts: Facts) -> frozenset[str]:
    """The backends that this request never reaches: what all rules that hold exclude, together."""
    names = EVERYBODY
    for bar in table.bars:
        if holds(bar.blind if facts.unseen else bar.when, facts, facts.everything):
            names |= bar.names
    return names


def by_rule(table: Table, asked: Asked, choice: Choice | None) -> Choice | None:
    """The first rule that holds: the first of its backends that can answer, else who stands in for the first."""
    for rule in table.rules:
        if not holds(rule.when, asked.facts, asked.facts.text):
            continue
        wanted = [b for name in rule.prefer if (b := table.backends[name]).name not in asked.barred]
        for backend in wanted:
            if asked.can(backend):
                return Choice(backend, f"rule {rule.name}", decided=True)
        for backend in wanted:
            trouble = asked.trouble(backend)
            if trouble and (covered := cover(table, asked, backend, trouble)):
                return replace(covered, decided=True)
        return choice
    return choice


def by_weight(table: Table, asked: Asked, choice: Choice | None) -> Choice | None:
    """A draw by weight, where no rule decided."""
    if choice is not None or not table.total:
        return choice
    point = asked.chance.weight * table.total
    index = min(bisect(table.bounds, point), len(table.bounds) - 1)
    backend = table.weighted[index]
    trouble = asked.trouble(backend)
    if trouble is None and backend.name not in asked.barred:
        return Choice(backend, f"weight {backend.weight}")
    # Where the draw fell within the share that it met is even again: it serves for a second draw.
    again = 1.0 - (table.bounds[index] - point) / backend.weight
    if trouble is not None and backend.name not in asked.barred:
        return cover(table, asked, backend, trouble) or _among_the_rest(table, asked, again)
    return _among_the_rest(table, asked, again)


def _among_the_rest(table: Table, asked: Asked, draw: float) -> Choice | None:
    """A draw among those that can answer; where none can, the first that is worth waiting for.

    Where rules bar all that have a weight, those without one are what is left.
    """
    left_over = [b for b in table.weighted if b.name not in asked.barred]
    if not left_over:
        return next((Choice(b, "what is left") for b in table.backends.values() if asked.can(b)), None)
    if backend := drawn([b for b in left_over if asked.can(b)], draw):
        return Choice(backend, f"weight {backend.weight}")
    for backend in table.weighted:
        trouble = asked.trouble(backend)
        if trouble and backend.name not in asked.barred and (covered := cover(table, asked, backend, trouble)):
            return covered
    return None


def drawn(able: Sequence[Backend], draw: float) -> Backend | None:
    """One of those who can answer, by weight; None where there is none."""
    left = draw * sum(b.weight for b in able)
    for backend in able:
        left -= backend.weight
        if left < 0 or backend is able[-1]:
            return backend
    return None


def by_canary(table: Table, asked: Asked, choice: Choice | None) -> Choice | None:
    """The canary in place of its baseline, for the users that are in it."""
    canary = table.canary
    if canary is None or choice is None or choice.verdict == "Reject":
        return choice
    replaced = choice.backend.name == canary.baseline if canary.baseline else not choice.decided
    backend = table.backends[canary.backend]
    if not replaced or not asked.can(backend):
        return choice
    why = cohort.reason(table.route, canary, asked.facts.user, asked.chance.canary)
    return Choice(backend, why) if why else choice


STEPS: tuple[Step, ...] = (by_rule, by_weight, by_canary)
