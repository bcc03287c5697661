"""What types cannot say: one field against another. Each rule stands once, as CEL for the API server and as Python.

Used by ``crd`` (the CEL) and by ``parse`` (the Python). Two forms, since the API server must refuse at once, and a
manifest must also be checked where there is no API server; a test holds them to the same verdicts. Never looks outside
the manifest.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from modelroute.api import types as t
from modelroute.api.scalars import HEADER

Finding = tuple[str, str]
"""The path below the checked object (``.prefer[0]``, or ``""``) and what is wrong there."""


class Rule(NamedTuple):
    """One check of one type: ``cel`` is true, and ``find`` finds nothing, where all is well.

    ``says`` is a CEL expression of the sentence, for where ``problem`` alone would not name what is wrong. The API
    server takes one only if it can tell the length of each text that is put together.
    """

    cel: str
    problem: str
    find: Callable[[Any], Iterable[Finding]]
    path: str = ""
    says: str = ""


def _rule(cel: str, problem: str, broken: Callable[[Any], bool], path: str = "") -> Rule:
    """A rule whose problem is the same sentence in both forms."""
    return Rule(cel, problem, lambda obj: [(path, problem)] if broken(obj) else [], path)


# --- references to backends -------------------------------------------------------------------------------------------

Reference = tuple[str, str | None]
"""The path of a field that names a backend, and the name in it."""


_NAMES = "self.backends.map(b, b.name)"
_UNKNOWN = "is not a backend of this route"


def _references(cel: str, says: str, path: str, references: Callable[[t.Spec], Iterable[Reference]]) -> Rule:
    """A rule that what ``references`` gives are names of backends."""

    def find(spec: t.Spec) -> Iterable[Finding]:
        names = [b.name for b in spec.backends]
        for at, name in references(spec):
            if name is not None and name not in names:
                yield at, f'"{name}" {_UNKNOWN} ({", ".join(names)})'

    return Rule(cel, f"this {_UNKNOWN}", find, path, says)


def _preferred(spec: t.Spec) -> Iterable[Reference]:
    for i, rule in enumerate(spec.rules):
        for j, name in enumerate(rule.prefer):
            yield f".rules[{i}].prefer[{j}]", name


def _without_tier(spec: t.Spec) -> Iterable[Finding]:
    if spec.router.auth.trusted_headers.tier is None:
        yield from ((f".rules[{i}].when.tiers", _TIER) for i, rule in enumerate(spec.rules) if rule.when.tiers)


_TIER = "nobody has a tier without router.auth.trustedHeaders.tier; name there the header that tells it"

_SPEC = (
    _rule(
        "self.backends.map(b, has(b.weight) ? b.weight : 1).sum() > 0",
        "the weights of all backends are 0, so none would get a request; give one a weight above 0",
        lambda s: not any(b.weight for b in s.backends),
        ".backends",
    ),
    _references(
        f"!has(self.rules) || self.rules.all(r, r.prefer.all(p, p in {_NAMES}))",
        f"self.rules.map(r, r.prefer.map(p, !(p in {_NAMES}), "
        f'"rule " + r.name + " prefers \\"" + p + "\\", which {_UNKNOWN}")).filter(l, l.size() > 0)[0][0]',
        ".rules",
        _preferred,
    ),
    _references(
        f"!has(self.fallbacks) || self.fallbacks.all(f, f.backend in {_NAMES})",
        f'self.fallbacks.map(f, !(f.backend in {_NAMES}), "\\"" + f.backend + "\\" {_UNKNOWN}")[0]',
        ".fallbacks",
        lambda s: [(f".fallbacks[{i}].backend", f.backend) for i, f in enumerate(s.fallbacks)],
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
        "(has(self.router) && has(self.router.auth) && has(self.router.auth.trustedHeaders) && "
        "has(self.router.auth.trustedHeaders.tier))",
        _TIER,
        _without_tier,
        ".rules",
    ),
)

# --- one field against another ----------------------------------------------------------------------------------------


def _above(low: float | None, high: float | None) -> bool:
    return low is not None and high is not None and low > high


_BACKEND = (
    _rule(
        "(has(self.vllm) ? 1 : 0) + (has(self.targetRef) ? 1 : 0) + (has(self.external) ? 1 : 0) == 1",
        "a backend needs exactly one of vllm, targetRef and external",
        lambda b: [b.vllm, b.target_ref, b.external].count(None) != 2,
    ),
    _rule(
        f"has(self.vllm) || !has(self.scaling) || self.scaling.minReplicas == {t.Scaling().min_replicas}",
        "only a vllm backend has replicas to scale",
        lambda b: b.vllm is None and b.scaling != t.Scaling(),
        ".scaling",
    ),
)

_MODEL_CACHE = (
    _rule(
        "has(self.claimName) != has(self.size)",
        "give either claimName (an existing claim) or size (a new one)",
        lambda c: (c.claim_name is None) == (c.size is None),
    ),
    _rule(
        "!has(self.storageClassName) || has(self.size)",
        "storageClassName goes with size; an existing claim has its own",
        lambda c: c.storage_class_name is not None and c.size is None,
        ".storageClassName",
    ),
)

_WHEN = (
    _rule(
        "has(self.anyKeyword) && self.anyKeyword.size() > 0 || has(self.minChars) || has(self.maxChars) || "
        "has(self.headers) && self.headers.size() > 0 || has(self.tiers) && self.tiers.size() > 0",
        "a rule needs a condition; for all requests use weights",
        lambda w: w == t.When(),
    ),
    _rule(
        "!has(self.minChars) || !has(self.maxChars) || self.minChars <= self.maxChars",
        "minChars is above maxChars",
        lambda w: _above(w.min_chars, w.max_chars),
    ),
    # Of a map's keys the schema itself can say nothing; ``parse`` finds a wrong one by its type.
    Rule(
        f'!has(self.headers) || self.headers.all(name, name.size() <= 64 && name.matches(r"{HEADER}"))',
        "a name in headers is not an HTTP header name",
        lambda _: [],
        ".headers",
    ),
)

_MAX_TOKENS = (
    _rule(
        "!has(self.default) || !has(self.max) || self.default <= self.max",
        "default is above max",
        lambda m: _above(m.default, m.max),
    ),
)

_TEMPERATURE = (
    _rule(
        "!has(self.default) || !has(self.max) || double(self.default) <= double(self.max)",
        "default is above max",
        lambda m: m.default is not None and m.max is not None and float(m.default) > float(m.max),
    ),
)

_CANARY = (
    _rule(
        "!has(self.baseline) || self.baseline != self.backend",
        "the canary cannot be its own baseline",
        lambda c: c.baseline == c.backend,
        ".baseline",
    ),
)

_SERVICE = (
    _rule(
        '!has(self.nodePort) || (has(self.type) && self.type != "ClusterIP")',
        "nodePort needs type NodePort or LoadBalancer",
        lambda s: s.node_port is not None and s.type == "ClusterIP",
        ".nodePort",
    ),
)

# --- addresses --------------------------------------------------------------------------------------------------------

# One expression serves both forms. A host that resolvers take for an address in disguise (127.1, 0x7f000001,
# 0177.0.0.1) is refused with the open ones. What a name resolves to is looked at by the router when it connects.
FORBIDDEN_URL = (
    r"(?i)^https?://("
    r"(0|127|169[.]254|22[4-9]|2[3-5][0-9])[.][0-9.]*"
    r"|100[.]100[.]100[.]200|168[.]63[.]129[.]16|192[.]0[.]0[.]192"
    r"|[0-9]+([.][0-9]+){0,2}"
    r"|([0-9]+[.])*0[0-9x][0-9a-fx.]*"
    r"|([^/:]*[.])?(localhost|metadata[.]google[.]internal)"
    r"|metadata"
    r")[.]?(:|/|$)"
)
LOOPBACK_URL = r"(?i)^https?://(127[.][0-9]+[.][0-9]+[.][0-9]+|localhost)(:|/|$)"
CLUSTER_URL = r"(?i)^https?://[^/:]*[.]svc([.]cluster[.]local)?[.]?(:|/|$)"

_EXTERNAL = (
    _rule(
        f'self.baseURL.startsWith("https://") || self.baseURL.matches(r"{CLUSTER_URL}")',
        "plain http is only for Services of the cluster (a host that ends in .svc); write https://",
        lambda e: e.base_url.startswith("http://") and not re.search(CLUSTER_URL, e.base_url),
        ".baseURL",
    ),
    _rule(
        f'!self.baseURL.matches(r"{FORBIDDEN_URL}")',
        "a backend may not be this machine or a metadata service; name the API's public host",
        lambda e: bool(re.search(FORBIDDEN_URL, e.base_url)),
        ".baseURL",
    ),
)

RULES: dict[type, tuple[Rule, ...]] = {
    t.Spec: _SPEC,
    t.Backend: _BACKEND,
    t.ModelCache: _MODEL_CACHE,
    t.When: _WHEN,
    t.MaxTokens: _MAX_TOKENS,
    t.Temperature: _TEMPERATURE,
    t.Canary: _CANARY,
    t.RouterService: _SERVICE,
    t.External: _EXTERNAL,
}
