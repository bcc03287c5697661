"""The decision: (policy, facts, moment, draw) -> Forward | Hold | Reject, and who takes over when a backend fails.

Called by the router between two awaits, for every request; the same function would serve an explanation or a replay.
Never acts on what it decides.
"""

import math
import re
from collections.abc import Collection

from msgspec import Struct

from modelroute.api.types import FailureKind
from modelroute.policy.covering import fallback_for
from modelroute.policy.facts import QUIET, Facts, Moment, Trouble
from modelroute.policy.steps import STEPS, barred, drawn
from modelroute.policy.table import EVERYBODY, Asked, Chance, Choice, Table
from modelroute.snapshot.types import Backend, Snapshot

_SCALE = 2**20
_ESCAPED = re.compile(r'["\\/\x00-\x1f\ud800-\udfff]')
"""Characters that JSON has an escape of their own for."""


class Policy(Struct, frozen=True):
    """A snapshot, ready to decide by; the rest tells the router which facts to gather.

    ``counts_chars``: the length of what the user wrote decides. ``has_keywords``: words do; of all text in the body
    where one of them ``keeps_away``. ``keywords``: their bytes, where JSON has no other way to write each but by
    numbers; else None.
    """

    snapshot: Snapshot
    table: Table
    counts_chars: bool
    has_keywords: bool
    keeps_away: bool
    keywords: frozenset[bytes] | None
    header_names: frozenset[str]


class Forward(Struct, frozen=True, gc=False):
    """Send the request to ``backend``, for ``reason``; whatever becomes of it, it never goes to one that is barred.

    ``covers``: the backend that this one is a fallback for, and what is the matter with that.
    """

    backend: Backend
    reason: str
    barred: frozenset[str] = EVERYBODY
    covers: tuple[str, FailureKind] | None = None


class Hold(Struct, frozen=True, gc=False):
    """Let the request wait until ``backend`` takes more, for ``kind``: ColdStart or Overloaded."""

    backend: Backend
    reason: str
    kind: FailureKind
    barred: frozenset[str] = EVERYBODY


class Reject(Struct, frozen=True, gc=False):
    """Answer at once that nobody can: 503, or 429 when it is the providers' limits. ``wait``: seconds, inf: unknown."""

    reason: str
    message: str
    wait: float = math.inf
    status: int = 503


def compile_policy(snapshot: Snapshot) -> Policy:
    """The policy of a snapshot."""
    whens = [rule.when for rule in snapshot.rules]
    identity = {snapshot.user_header, snapshot.tier_header} - {None}
    table = Table.of(snapshot)
    keywords = [keyword for w in whens for keyword in w.any_keyword]
    return Policy(
        snapshot=snapshot,
        table=table,
        counts_chars=any(w.min_chars is not None or w.max_chars is not None for w in whens),
        has_keywords=bool(keywords),
        keeps_away=any(bar.when.any_keyword for bar in table.bars),
        keywords=None if _ESCAPED.search("".join(keywords)) else frozenset(k.encode() for k in keywords),
        header_names=frozenset(name for w in whens for name in w.headers) | frozenset(filter(None, identity)),
    )


def decide(policy: Policy, facts: Facts, draw: float, moment: Moment = QUIET) -> Forward | Hold | Reject:
    """Who answers this request; ``draw`` is uniform in [0, 1)."""
    table = policy.table
    # The draw's high bits choose by weight and its low bits the canary, so that neither leans on the other.
    chance = Chance(draw, draw * _SCALE % 1.0)
    asked = Asked(facts, moment, chance, barred(table, facts) if table.bars else EVERYBODY)
    choice: Choice | None = None
    for step in STEPS:
        choice = step(table, asked, choice)
    if choice is None or choice.verdict == "Reject":
        return _reject(table, asked)
    if choice.verdict == "Hold":
        trouble = asked.trouble(choice.backend)
        return Hold(choice.backend, choice.reason, trouble.kind if trouble else "Overloaded", asked.barred)
    return Forward(choice.backend, choice.reason, asked.barred, choice.covers)


def _reject(table: Table, asked: Asked) -> Reject:
    """Why nobody can answer, and when that may be over."""
    allowed = [b for b in table.backends.values() if b.name not in asked.barred]
    if not allowed:
        return Reject("no_allowed_backend", "the rules of this route allow no backend for this request")
    troubles = [t for b in allowed if (t := asked.trouble(b))]
    names = ", ".join(b.name for b in allowed)
    # A start that is late says nothing of when it will be over.
    wait = min((rest for t in troubles if (rest := t.until - asked.moment.now) > 0), default=math.inf)
    if troubles and all(t.kind == "RateLimited" for t in troubles) and len(troubles) == len(allowed):
        return Reject("rate_limited", f"the providers behind this route limit its rate ({names})", wait, 429)
    told = ", ".join(f"{b.name}: {_word(asked.trouble(b))}" for b in allowed)
    message = f"no backend of this route can answer now ({told}); try again shortly"
    return Reject("no_ready_backend", message, wait)


def _word(trouble: Trouble | None) -> str:
    """What is the matter, in a reader's words."""
    words = {"ColdStart": "no replica is ready", "RateLimited": "rate limited", "Overloaded": "at its limits"}
    return words.get(trouble.kind, "failing") if trouble else "not asked for this"


def warm(moment: Moment) -> Moment | None:
    """``moment``, had every backend a replica: so it is seen whom a request is for. None: no backend is cold."""
    cold = [name for name, trouble in moment.troubles.items() if trouble.kind == "ColdStart"]
    if not cold:
        return None
    return Moment({**moment.troubles, **dict.fromkeys(cold, _OVER)}, moment.now, moment.patience)


def next_backend(
    policy: Policy,
    tried: Collection[str],
    failure: FailureKind,
    moment: Moment = QUIET,
    bars: frozenset[str] = EVERYBODY,
) -> Forward | None:
    """Who takes over from the backends that were ``tried``, the last of which failed by ``failure``; None: nobody."""
    asked = Asked(_NOBODY, moment, _NO_CHANCE, bars.union(tried))
    backend = fallback_for(policy.table, asked, failure)
    return Forward(backend, f"fallback {failure}", bars) if backend else None


def next_peer(
    policy: Policy, tried: Collection[str], moment: Moment, bars: frozenset[str], draw: float
) -> Forward | None:
    """Who of those with a weight carries the share of one that was ``tried`` and failed; ``draw`` is in [0, 1)."""
    asked = Asked(_NOBODY, moment, _NO_CHANCE, bars.union(tried))
    backend = drawn([b for b in policy.table.weighted if asked.can(b)], draw)
    return Forward(backend, f"weight {backend.weight}", bars) if backend else None


_NOBODY = Facts("")
_OVER = Trouble("Overloaded", -math.inf)
"""A trouble whose time is over is none."""
_NO_CHANCE = Chance(0.0, 0.0)
