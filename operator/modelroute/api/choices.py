"""The rules of a spec as a whole: that what names a backend names one of this route, and that a rule leaves a choice.

Used by ``rules``, through which the CRD and ``parse`` reach them. Never looks outside the manifest.
"""

from collections.abc import Callable, Iterable

from modelroute.api import types as t
from modelroute.api.checks import Finding, Rule, rule

Reference = tuple[str, str | None]
"""The path of a field that names a backend, and the name in it."""

_NAMES = "self.backends.map(b, b.name)"
_UNKNOWN = "is not a backend of this route"
_TIER = (
    "nobody has a tier without router.auth.trustedHeaders.tier (the header that tells it) or "
    "router.auth.apiKeysSecretRef (keys that have one)"
)


def _references(cel: str, says: str, path: str, references: Callable[[t.Spec], Iterable[Reference]]) -> Rule:
    """A rule that what ``references`` gives are names of backends."""

    def find(spec: t.Spec) -> Iterable[Finding]:
        names = [b.name for b in spec.backends]
        for at, name in references(spec):
            if name is not None and name not in names:
                yield at, f'"{name}" {_UNKNOWN} ({", ".join(names)})'

    return Rule(cel, f"this {_UNKNOWN}", find, path, says)


def _in_rules(field: str, verb: str) -> Rule:
    """That the list ``field`` of each rule names backends."""

    def references(spec: t.Spec) -> Iterable[Reference]:
        for i, asked in enumerate(spec.rules):
            for j, name in enumerate(getattr(asked, field)):
                yield f".rules[{i}].{field}[{j}]", name

    return _references(
        f"!has(self.rules) || self.rules.all(r, !has(r.{field}) || r.{field}.all(p, p in {_NAMES}))",
        f"self.rules.map(r, has(r.{field}), r.{field}.map(p, !(p in {_NAMES}), "
        f'"rule " + r.name + " {verb} \\"" + p + "\\", which {_UNKNOWN}")).filter(l, l.size() > 0)[0][0]',
        ".rules",
        references,
    )


def _without_tier(spec: t.Spec) -> Iterable[Finding]:
    auth = spec.router.auth
    if auth.trusted_headers.tier is None and auth.api_keys_secret_ref is None:
        yield from ((f".rules[{i}].when.tiers", _TIER) for i, asked in enumerate(spec.rules) if asked.when.tiers)


# --- the data policy --------------------------------------------------------------------------------------------------

_CLOSED = "has(r.failClosed) && r.failClosed"
_OUTSIDE = '(has(b.dataPolicy) ? b.dataPolicy == "External" : has(b.external))'
_LEAKS = f"{_CLOSED} && has(r.prefer) && r.prefer.exists(p, self.backends.exists(b, b.name == p && {_OUTSIDE}))"
_TAKES = f"self.backends.exists(b, !(has(r.exclude) && b.name in r.exclude) && !({_CLOSED} && {_OUTSIDE}))"
_LEAK = "is failClosed and cannot prefer a backend whose dataPolicy is External"
_NOBODY = "leaves no backend that may answer: name fewer in exclude, or give one that is yours"


def _leaking(spec: t.Spec) -> Iterable[Finding]:
    outside = {b.name for b in spec.backends if b.policy == "External"}
    for i, asked in enumerate(spec.rules):
        for j, name in enumerate(asked.prefer):
            if asked.fail_closed and name in outside:
                yield f".rules[{i}].prefer[{j}]", f"this rule {_LEAK}"


def _empty(spec: t.Spec) -> Iterable[Finding]:
    for i, asked in enumerate(spec.rules):
        if not any(_may_answer(asked, b) for b in spec.backends):
            yield f".rules[{i}]", f"this rule {_NOBODY}"


def _may_answer(asked: t.Rule, backend: t.Backend) -> bool:
    return backend.name not in asked.exclude and not (asked.fail_closed and backend.policy == "External")


def _of_a_rule(broken: str, problem: str, find: Callable[[t.Spec], Iterable[Finding]]) -> Rule:
    """A rule about each of the route's rules; ``broken`` is CEL of one that is wrong, called ``r``."""
    says = f'self.rules.map(r, {broken}, "rule " + r.name + " {problem}")[0]'
    return Rule(f"!has(self.rules) || !self.rules.exists(r, {broken})", f"a rule {problem}", find, ".rules", says)


def _scheduled(spec: t.Spec) -> Iterable[Finding]:
    own = [b.name for b in spec.backends if b.vllm]
    for i, schedule in enumerate(spec.schedules):
        for name in schedule.min_replicas:
            if name not in own:
                yield (
                    f".schedules[{i}].minReplicas.{name}",
                    f'"{name}" is no vllm backend of this route ({", ".join(own)})',
                )


SPEC = (
    rule(
        "self.backends.map(b, has(b.weight) ? b.weight : 1).sum() > 0",
        "the weights of all backends are 0, so none would get a request; give one a weight above 0",
        lambda s: not any(b.weight for b in s.backends),
        ".backends",
    ),
    _in_rules("prefer", "prefers"),
    _in_rules("exclude", "excludes"),
    _of_a_rule(_LEAKS, _LEAK, _leaking),
    _of_a_rule(f"!{_TAKES}", _NOBODY, _empty),
    _references(
        f"!has(self.fallbacks) || self.fallbacks.all(f, f.backend in {_NAMES})",
        f'self.fallbacks.map(f, !(f.backend in {_NAMES}), "\\"" + f.backend + "\\" {_UNKNOWN}")[0]',
        ".fallbacks",
        lambda s: [(f".fallbacks[{i}].backend", f.backend) for i, f in enumerate(s.fallbacks)],
    ),
    Rule(
        "!has(self.schedules) || self.schedules.all(s, s.minReplicas.all(n, "
        "self.backends.exists(b, b.name == n && has(b.vllm))))",
        "a schedule keeps replicas of what is no vllm backend of this route",
        _scheduled,
        ".schedules",
    ),
    _references(
        f"!has(self.canary) || self.canary.backend in {_NAMES}",
        f'"\\"" + self.canary.backend + "\\" {_UNKNOWN}"',
        ".canary.backend",
        lambda s: [(".canary.backend", s.canary.backend)] if s.canary else [],
    ),
    _references(
        f"!has(self.canary) || !has(self.canary.baseline) || self.canary.baseline in {_NAMES}",
        f'"\\"" + self.canary.baseline + "\\" {_UNKNOWN}"',
        ".canary.baseline",
        lambda s: [(".canary.baseline", s.canary.baseline)] if s.canary else [],
    ),
    Rule(
        "!has(self.rules) || !self.rules.exists(r, has(r.when.tiers) && r.when.tiers.size() > 0) || "
        "(has(self.router) && has(self.router.auth) && (has(self.router.auth.apiKeysSecretRef) || "
        "has(self.router.auth.trustedHeaders) && has(self.router.auth.trustedHeaders.tier)))",
        _TIER,
        _without_tier,
        ".rules",
    ),
)
