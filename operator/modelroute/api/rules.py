"""What types cannot say: one field against another, each rule as CEL for the API server and as Python.

Used by ``crd`` (the CEL) and by ``parse`` (the Python). Never looks outside the manifest.
"""

from collections.abc import Iterable

from modelroute.api import types as t
from modelroute.api.addresses import EXTERNAL, PROMETHEUS
from modelroute.api.checks import Finding, Rule, beyond_cel, rule
from modelroute.api.choices import SPEC
from modelroute.api.deploying import ADAPTERS, ENGINES, TOLERATION, VLLM
from modelroute.api.scalars import HEADER, seconds
from modelroute.api.times import cron_problem, zone_problem

# --- one field against another ----------------------------------------------------------------------------------------


def _above(low: float | None, high: float | None) -> bool:
    return low is not None and high is not None and low > high


def _longer(low: str | None, high: str | None) -> bool:
    return low is not None and high is not None and seconds(low) > seconds(high)


def _some_time(name: str) -> Rule:
    """That the duration ``name``, where it is given, is above 0."""
    return rule(
        f'!has(self.{name}) || duration(self.{name}) > duration("0s")',
        f"{name} is 0; give it some time, or leave it out",
        lambda part: (given := getattr(part, name)) is not None and seconds(given) == 0,
        f".{name}",
    )


_BACKEND = (
    rule(
        "(has(self.vllm) ? 1 : 0) + (has(self.targetRef) ? 1 : 0) + (has(self.external) ? 1 : 0) == 1",
        "a backend needs exactly one of vllm, targetRef and external",
        lambda b: [b.vllm, b.target_ref, b.external].count(None) != 2,
    ),
    rule(
        f"has(self.vllm) || !has(self.scaling) || self.scaling.minReplicas == {t.Scaling().min_replicas} && "
        f'!has(self.scaling.maxReplicas) && self.scaling.engine == "{t.Scaling().engine}"',
        "only a vllm backend has replicas to scale",
        lambda b: b.vllm is None and b.scaling != t.Scaling(),
        ".scaling",
    ),
    rule(
        "!has(self.external) || !has(self.warmup) || !has(self.warmup.schedules) || self.warmup.schedules.size() == 0",
        "a hosted API is not warmed up; leave schedules out",
        lambda b: b.external is not None and bool(b.warmup.schedules),
        ".warmup.schedules",
    ),
    ADAPTERS,
)

_SCALING = (
    rule(
        "!has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
        "minReplicas is above maxReplicas",
        lambda s: _above(s.min_replicas, s.max_replicas),
        ".minReplicas",
    ),
)


def _untimely(asked: t.Schedule | t.WarmupSchedule) -> Iterable[Finding]:
    if asked.cron is not None and (problem := cron_problem(asked.cron)):
        yield ".cron", problem
    if problem := zone_problem(asked.time_zone):
        yield ".timeZone", problem


_TIMELY = beyond_cel(_untimely)

_SCHEDULE = (
    rule(
        "has(self.start) && has(self.end) && !has(self.cron) && !has(self.duration) || "
        "has(self.cron) && has(self.duration) && !has(self.start) && !has(self.end) && !has(self.days)",
        "a schedule needs start and end, or cron and duration",
        lambda s: bool(
            (s.start is None or s.end is None or s.cron or s.duration)
            and (s.cron is None or s.duration is None or s.start or s.end or s.days)
        ),
    ),
    _some_time("duration"),
    rule(
        "!has(self.start) || !has(self.end) || self.start != self.end",
        "start and end are the same; a window of a whole day is cron with duration 24h",
        lambda s: s.start is not None and s.start == s.end,
        ".end",
    ),
    _TIMELY,
)


def _torn(asked: t.Rule) -> Iterable[Finding]:
    both = set(asked.prefer) & set(asked.exclude)
    names = ((i, name) for i, name in enumerate(asked.exclude) if name in both)
    yield from ((f".exclude[{i}]", f'"{name}" is both preferred and excluded') for i, name in names)


_MODEL_CACHE = (
    rule(
        "has(self.claimName) != has(self.size)",
        "give either claimName (an existing claim) or size (a new one)",
        lambda c: (c.claim_name is None) == (c.size is None),
    ),
    rule(
        "!has(self.storageClassName) || has(self.size)",
        "storageClassName goes with size; an existing claim has its own",
        lambda c: c.storage_class_name is not None and c.size is None,
        ".storageClassName",
    ),
)

_WHEN = (
    rule(
        "has(self.anyKeyword) && self.anyKeyword.size() > 0 || has(self.minChars) || has(self.maxChars) || "
        "has(self.headers) && self.headers.size() > 0 || has(self.tiers) && self.tiers.size() > 0",
        "a rule needs a condition; for all requests use weights",
        lambda w: w == t.When(),
    ),
    rule(
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
    rule(
        "!has(self.default) || !has(self.max) || self.default <= self.max",
        "default is above max",
        lambda m: _above(m.default, m.max),
    ),
)

_TEMPERATURE = (
    rule(
        "!has(self.default) || !has(self.max) || double(self.default) <= double(self.max)",
        "default is above max",
        lambda m: m.default is not None and m.max is not None and float(m.default) > float(m.max),
    ),
)

_CANARY = (
    rule(
        "!has(self.baseline) || self.baseline != self.backend",
        "the canary cannot be its own baseline",
        lambda c: c.baseline == c.backend,
        ".baseline",
    ),
)

_SERVICE = (
    rule(
        '!has(self.nodePort) || (has(self.type) && self.type != "ClusterIP")',
        "nodePort needs type NodePort or LoadBalancer",
        lambda s: s.node_port is not None and s.type == "ClusterIP",
        ".nodePort",
    ),
)

# The API server fills in the mode before it looks at these. A Service or TLS that nobody serves would be passed over
# without a word: plain http where https was asked for.
_ROUTER = (
    rule(
        'self.mode == "Gateway" || !has(self.service) || self.service.type == "ClusterIP" && '
        "!has(self.service.port) && !has(self.service.nodePort)",
        "only a router of mode Gateway has a Service; leave service out",
        lambda r: r.mode != "Gateway" and r.service != t.RouterService(),
        ".service",
    ),
    rule(
        'self.mode == "Gateway" || !has(self.tls)',
        "only a router of mode Gateway serves https; leave tls out",
        lambda r: r.mode != "Gateway" and r.tls is not None,
        ".tls",
    ),
)

_SIDECAR = (
    rule(
        "self.port != self.adminPort",
        "adminPort is the same as port",
        lambda s: s.port == s.admin_port,
        ".adminPort",
    ),
)

_RULE = (
    rule(
        "has(self.prefer) && self.prefer.size() > 0 || has(self.exclude) && self.exclude.size() > 0 || "
        "has(self.failClosed) && self.failClosed",
        "a rule needs prefer, exclude or failClosed: what should follow where its conditions hold",
        lambda r: not (r.prefer or r.exclude or r.fail_closed),
    ),
    Rule(
        "!has(self.prefer) || !has(self.exclude) || !self.prefer.exists(p, p in self.exclude)",
        "a backend is both preferred and excluded",
        _torn,
        ".exclude",
        'self.prefer.map(p, p in self.exclude, "\\"" + p + "\\" is both preferred and excluded")[0]',
    ),
)

_TIMEOUTS = (
    _some_time("total"),
    rule(
        "!has(self.firstToken) || !has(self.total) || duration(self.firstToken) <= duration(self.total)",
        "firstToken is above total",
        lambda x: _longer(x.first_token, x.total),
        ".firstToken",
    ),
)

_HEALTH = (
    _some_time("ejection"),
    rule(
        "!has(self.ejection) || !has(self.maxEjection) || duration(self.ejection) <= duration(self.maxEjection)",
        f"ejection is above maxEjection (default {t.Health().max_ejection})",
        lambda h: _longer(h.ejection, h.max_ejection),
        ".ejection",
    ),
    rule(
        '!has(self.interval) || duration(self.interval) == duration("0s") || duration(self.interval) >= duration("1s")',
        "interval is under 1s; 0s turns probes off",
        lambda h: 0 < seconds(h.interval) < 1,
        ".interval",
    ),
)

_WARMUP_REQUEST = (
    rule(
        '!has(self.timeout) || duration(self.timeout) <= duration("10m")',
        "timeout is above 10m",
        lambda r: seconds(r.timeout) > 600,
        ".timeout",
    ),
)

_BACKOFF = (
    rule(
        "!has(self.min) || !has(self.max) || duration(self.min) <= duration(self.max)",
        f"min is above max (default {t.Backoff().max})",
        lambda b: _longer(b.min, b.max),
        ".min",
    ),
)

RULES: dict[type, tuple[Rule, ...]] = {
    t.Spec: SPEC,
    t.Backend: _BACKEND,
    t.VLLM: VLLM,
    t.Toleration: TOLERATION,
    t.Scaling: (*_SCALING, *ENGINES, PROMETHEUS),
    t.Schedule: _SCHEDULE,
    t.WarmupSchedule: (_TIMELY,),
    t.ModelCache: _MODEL_CACHE,
    t.When: _WHEN,
    t.Rule: _RULE,
    t.Timeouts: _TIMEOUTS,
    t.RouteTimeouts: (_some_time("total"),),
    t.Health: _HEALTH,
    t.Backoff: _BACKOFF,
    t.WarmupRequest: _WARMUP_REQUEST,
    t.MaxTokens: _MAX_TOKENS,
    t.Temperature: _TEMPERATURE,
    t.Canary: _CANARY,
    t.Router: _ROUTER,
    t.RouterService: _SERVICE,
    t.Sidecar: _SIDECAR,
    t.External: EXTERNAL,
}
