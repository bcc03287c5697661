"""What types cannot say: one field against another. Each rule stands once, as CEL for the API server and as Python.

Used by ``crd`` (the CEL) and by ``parse`` (the Python). Two forms, since the API server must refuse at once, and a manifest
must also be checked where there is no API server; a test holds them to the same verdicts. Never looks outside the manifest.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from modelroute.api import types as t

Finding = tuple[str, str]
"""The path below the checked object (``.prefer[0]``, or ``""``) and what is wrong there."""


class Rule(NamedTuple):
    """One check of one type; ``message`` is a CEL expression that makes the sentence."""

    cel: str
    message: str
    check: Callable[[Any], Iterator[Finding]]
    field_path: str | None = None


def _when(check: Callable[[Any], bool], problem: str, path: str = "") -> Callable[[Any], Iterator[Finding]]:
    def found(obj: Any) -> Iterator[Finding]:
        if check(obj):
            yield path, problem

    return found


# --- references to backends ---------------------------------------------------------------------------------------------

_NAMES = "self.backends.map(b, b.name)"


def _unknown(spec: t.Spec, references: list[tuple[str, str | None]]) -> Iterator[Finding]:
    names = [b.name for b in spec.backends]
    for path, name in references:
        if name is not None and name not in names:
            yield path, f'"{name}" is not a backend of this route ({", ".join(names)})'


def _rule_references(spec: t.Spec) -> Iterator[Finding]:
    return _unknown(
        spec,
        [(f".rules[{i}].prefer[{j}]", name) for i, rule in enumerate(spec.rules) for j, name in enumerate(rule.prefer)],
    )


def _fallback_references(spec: t.Spec) -> Iterator[Finding]:
    return _unknown(spec, [(f".fallbacks[{i}].backend", f.backend) for i, f in enumerate(spec.fallbacks)])


def _canary_references(spec: t.Spec) -> Iterator[Finding]:
    canary = spec.canary
    return _unknown(
        spec, [(".canary.backend", canary.backend), (".canary.baseline", canary.baseline)] if canary else []
    )


_SPEC = (
    Rule(
        "self.backends.map(b, has(b.weight) ? b.weight : 1).sum() > 0",
        '"the weights of all backends are 0, so none would get a request; give one a weight above 0"',
        _when(
            lambda s: not sum(b.weight for b in s.backends),
            "the weights of all backends are 0, so none would get a request; give one a weight above 0",
            ".backends",
        ),
        ".backends",
    ),
    Rule(
        f"!has(self.rules) || self.rules.all(r, r.prefer.all(p, p in {_NAMES}))",
        '"a rule prefers what is not a backend of this route"',
        _rule_references,
        ".rules",
    ),
    Rule(
        f"!has(self.fallbacks) || self.fallbacks.all(f, f.backend in {_NAMES})",
        '"a fallback names what is not a backend of this route"',
        _fallback_references,
        ".fallbacks",
    ),
    Rule(
        f"!has(self.canary) || self.canary.backend in {_NAMES}",
        '"\\"" + self.canary.backend + "\\" is not a backend of this route"',
        lambda s: (f for f in _canary_references(s) if f[0] == ".canary.backend"),
        ".canary.backend",
    ),
    Rule(
        f"!has(self.canary) || !has(self.canary.baseline) || self.canary.baseline in {_NAMES}",
        '"\\"" + self.canary.baseline + "\\" is not a backend of this route"',
        lambda s: (f for f in _canary_references(s) if f[0] == ".canary.baseline"),
        ".canary.baseline",
    ),
)

# --- one field against another ------------------------------------------------------------------------------------------


def _kinds(backend: t.Backend) -> int:
    return sum(x is not None for x in (backend.vllm, backend.target_ref, backend.external))


def _above(low: float | None, high: float | None) -> bool:
    return low is not None and high is not None and low > high


_BACKEND = (
    Rule(
        "(has(self.vllm) ? 1 : 0) + (has(self.targetRef) ? 1 : 0) + (has(self.external) ? 1 : 0) == 1",
        '"backend " + self.name + " needs exactly one of vllm, targetRef and external"',
        lambda b: _when(
            lambda b: _kinds(b) != 1, f"backend {b.name} needs exactly one of vllm, targetRef and external"
        )(b),
    ),
    Rule(
        "!has(self.scaling) || has(self.vllm)",
        '"only a vllm backend has replicas to scale"',
        _when(
            lambda b: b.scaling != t.Scaling() and b.vllm is None,
            "only a vllm backend has replicas to scale",
            ".scaling",
        ),
        ".scaling",
    ),
)

_MODEL_CACHE = (
    Rule(
        "has(self.claimName) != has(self.size)",
        '"give either claimName (an existing claim) or size (a new one)"',
        _when(
            lambda c: (c.claim_name is None) == (c.size is None),
            "give either claimName (an existing claim) or size (a new one)",
        ),
    ),
    Rule(
        "!has(self.storageClassName) || has(self.size)",
        '"storageClassName goes with size; an existing claim has its own"',
        _when(
            lambda c: c.storage_class_name is not None and c.size is None,
            "storageClassName goes with size; an existing claim has its own",
            ".storageClassName",
        ),
        ".storageClassName",
    ),
)

_WHEN = (
    Rule(
        "has(self.anyKeyword) && self.anyKeyword.size() > 0 || has(self.minChars) || has(self.maxChars) || "
        "has(self.headers) && self.headers.size() > 0 || has(self.tiers) && self.tiers.size() > 0",
        '"a rule needs a condition; for all requests use weights"',
        _when(lambda w: w == t.When(), "a rule needs a condition; for all requests use weights"),
    ),
    Rule(
        "!has(self.minChars) || !has(self.maxChars) || self.minChars <= self.maxChars",
        '"minChars is above maxChars"',
        lambda w: _when(
            lambda w: _above(w.min_chars, w.max_chars), f"minChars {w.min_chars} is above maxChars {w.max_chars}"
        )(w),
    ),
)

_MAX_TOKENS = (
    Rule(
        "!has(self.default) || !has(self.max) || self.default <= self.max",
        '"default is above max"',
        lambda m: _when(lambda m: _above(m.default, m.max), f"default {m.default} is above max {m.max}")(m),
    ),
)

_TEMPERATURE = (
    Rule(
        "!has(self.default) || !has(self.max) || double(self.default) <= double(self.max)",
        '"default " + self.default + " is above max " + self.max',
        lambda m: _when(
            lambda m: _above(m.default and float(m.default), m.max and float(m.max)),
            f"default {m.default} is above max {m.max}",
        )(m),
    ),
)

_CANARY = (
    Rule(
        "!has(self.baseline) || self.baseline != self.backend",
        '"the canary cannot be its own baseline"',
        _when(lambda c: c.baseline == c.backend, "the canary cannot be its own baseline", ".baseline"),
        ".baseline",
    ),
)

_SERVICE = (
    Rule(
        '!has(self.nodePort) || (has(self.type) && self.type != "ClusterIP")',
        '"nodePort needs type NodePort or LoadBalancer"',
        _when(
            lambda s: s.node_port is not None and s.type == "ClusterIP",
            "nodePort needs type NodePort or LoadBalancer",
            ".nodePort",
        ),
        ".nodePort",
    ),
)

# --- addresses ----------------------------------------------------------------------------------------------------------

# One expression serves both forms. A host that resolvers take for an address in disguise (127.1, 0x7f000001, 0177.0.0.1) is
# refused with the open ones. What a name resolves to is looked at by the router when it connects.
FORBIDDEN_URL = (
    r"(?i)^https?://("
    r"(0|127|169[.]254|22[4-9]|2[3-5][0-9])[.][0-9.]*"
    r"|100[.]100[.]100[.]200"
    r"|[0-9]+([.][0-9]+){0,2}"
    r"|([0-9]+[.])*0[0-9x][0-9a-fx.]*"
    r"|([^/:]*[.])?(localhost|metadata[.]google[.]internal)"
    r"|metadata"
    r")[.]?(:|/|$)"
)
CLUSTER_URL = r"(?i)^https?://[^/:]*[.]svc([.]cluster[.]local)?[.]?(:|/|$)"

_INSECURE = "plain http is only for Services of the cluster (a host that ends in .svc); write https://"
_FORBIDDEN = "a backend may not be this machine or a metadata service; name the API's public host"


def _insecure(external: t.External) -> bool:
    return external.base_url.startswith("http://") and re.search(CLUSTER_URL, external.base_url) is None


def _forbidden(external: t.External) -> bool:
    return re.search(FORBIDDEN_URL, external.base_url) is not None


_EXTERNAL = (
    Rule(
        f'self.baseURL.startsWith("https://") || self.baseURL.matches(r"{CLUSTER_URL}")',
        f'"{_INSECURE}"',
        _when(_insecure, _INSECURE, ".baseURL"),
        ".baseURL",
    ),
    Rule(
        f'!self.baseURL.matches(r"{FORBIDDEN_URL}")',
        f'"{_FORBIDDEN}"',
        _when(_forbidden, _FORBIDDEN, ".baseURL"),
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
