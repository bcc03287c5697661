"""A ModelRoute and the addresses of its backends become the snapshot that routers run.

Called by ``plan``, and by ``modelroute serve``, which has no cluster. Never looks at the cluster: ``endpoints`` does.
"""

import re
from collections.abc import Mapping

import msgspec

from modelroute.api import types as t
from modelroute.api.scalars import seconds
from modelroute.planning import names
from modelroute.planning.observed import Observed
from modelroute.snapshot import types as s

_URL = re.compile(r"(https?)://([^/:]+)(?::([0-9]+))?(/.*)?\Z", re.IGNORECASE)
_FIRST_TOKEN_STREAMED = 60.0
_FIRST_TOKEN_WHOLE = 600.0
"""The first byte of an answer that is not streamed comes when all of it is made."""
_SERVICE_PREFIX = "/v1"
"""Where the API of a Service's pods is, as vLLM has it."""
_AUTH = s.Auth(keys_file=names.CLIENT_KEYS["keys.yaml"], pepper_file=names.CLIENT_KEYS["pepper"])


def snapshot_of(
    route: t.ModelRoute,
    endpoints: Mapping[str, tuple[str, ...]],
    loads: Mapping[str, Mapping[str, s.Load]] | None = None,
    starts: Mapping[str, s.Start] | None = None,
    *,
    loopback_allowed: bool = False,
) -> s.Snapshot:
    """The snapshot of ``route``, without its revision.

    ``endpoints``: ``host:port`` by backend. A backend that is not in it has none, an external one that of its URL.
    ``loads``: what replicas have to do, by backend and endpoint, where that is known and makes a difference.
    ``starts``: what is known of a backend's start, by backend.
    """
    spec, auth = route.spec, route.spec.router.auth
    backends = (_backend(b, endpoints, loopback_allowed=loopback_allowed) for b in spec.backends)
    headers = auth.trusted_headers
    return s.Snapshot(
        namespace=route.metadata.namespace,
        name=route.metadata.name,
        generation=route.metadata.generation,
        models=route.models,
        backends=tuple(
            msgspec.structs.replace(
                _with_loads(b, (loads or {}).get(b.name)), start=(starts or {}).get(b.name, s.Start())
            )
            for b in backends
        ),
        rules=tuple(s.Rule(r.name, _when(r.when), r.prefer, r.exclude, r.fail_closed) for r in spec.rules),
        canary=_canary(spec.canary),
        fallbacks=tuple(s.Fallback(backend=f.backend, failures=f.failures) for f in spec.fallbacks),
        retry=_retry(spec.retry),
        total=_seconds(spec.timeouts.total),
        auth=_AUTH if auth.api_keys_secret_ref else None,
        user_header=headers.user and headers.user.lower(),
        tier_header=headers.tier and headers.tier.lower(),
    )


def _backend(backend: t.Backend, endpoints: Mapping[str, tuple[str, ...]], *, loopback_allowed: bool) -> s.Backend:
    model = names.model(backend)
    common = s.Backend(
        name=backend.name,
        weight=backend.weight,
        timeouts=_timeouts(backend.timeouts),
        endpoints=tuple(sorted(set(endpoints.get(backend.name, ())))),
        prefix=_SERVICE_PREFIX,
        model=model,
        version=f"{backend.vllm.model}@{image_tag(backend.vllm.image)}" if backend.vllm else model or "",
        parameters=_parameters(backend.parameters),
        loopback_allowed=loopback_allowed,
        balancing=_balancing(backend.load_balancing),
        limits=_limits(backend.limits),
        health=_health(backend),
        cold_start=_cold_start(backend.cold_start),
        data_policy=backend.policy,
    )
    return _external(common, backend.external, endpoints) if backend.external else common


def _with_loads(backend: s.Backend, loads: Mapping[str, s.Load] | None) -> s.Backend:
    return msgspec.structs.replace(backend, loads=dict(loads)) if loads else backend


def _external(common: s.Backend, external: t.External, endpoints: Mapping[str, tuple[str, ...]]) -> s.Backend:
    found = _URL.match(external.base_url)
    if found is None:
        raise ValueError(f"{external.base_url!r} was not checked against the scalar BASE_URL")
    tls = found[1].lower() == "https"
    port = found[3] or ("443" if tls else "80")
    return msgspec.structs.replace(
        common,
        endpoints=endpoints.get(common.name, (f"{found[2]}:{port}",)),
        external=True,
        tls=tls,
        host=found[2].removesuffix("."),  # which is for DNS alone
        prefix=(found[4] or "").rstrip("/"),
        secret_file=names.secret_file(common.name) if external.api_key_secret_ref else None,
    )


def image_tag(image: str) -> str:
    """What tells one version of an image from another: its tag, else the start of its digest, else ``latest``."""
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return tag or digest[:19] or "latest"


def _timeouts(asked: t.Timeouts) -> s.Timeouts:
    first = _seconds(asked.first_token)
    return s.Timeouts(
        connect=seconds(asked.connect),
        first_token_streamed=_FIRST_TOKEN_STREAMED if first is None else first,
        first_token_whole=_FIRST_TOKEN_WHOLE if first is None else first,
        stream_idle=seconds(asked.stream_idle),
        total=_seconds(asked.total),
    )


def _seconds(asked: str | None) -> float | None:
    return None if asked is None else seconds(asked)


def _balancing(asked: t.LoadBalancing) -> s.Balancing:
    return s.Balancing(asked.type, asked.prefix_chars, asked.bound_percent, seconds(asked.slow_start))


def _limits(asked: t.Limits) -> s.Limits:
    return s.Limits(asked.max_in_flight, asked.max_waiting, seconds(asked.max_wait))


def _health(backend: t.Backend) -> s.Health:
    """With the probe that suits the kind of backend; a hosted API bills by the request, and is not probed unasked."""
    asked, path = backend.health, backend.health.path
    if path is None:
        path = "/health" if backend.vllm else f"{_SERVICE_PREFIX}/models" if backend.target_ref else ""
    return s.Health(
        consecutive_failures=asked.consecutive_failures,
        success_percent=asked.success_percent,
        ejection=seconds(asked.ejection),
        max_ejection=seconds(asked.max_ejection),
        max_ejected_percent=asked.max_ejected_percent,
        interval=seconds(asked.interval) if path else 0.0,
        path=path,
    )


def _cold_start(asked: t.ColdStart) -> s.ColdStart:
    return s.ColdStart(asked.policy, seconds(asked.max_wait), asked.max_held)


def _retry(asked: t.Retry) -> s.Retry:
    return s.Retry(asked.attempts, seconds(asked.backoff.min), seconds(asked.backoff.max), asked.budget_percent)


def _parameters(asked: t.Parameters) -> s.Parameters:
    temperature = asked.temperature
    return s.Parameters(
        system_prompt=asked.system_prompt,
        default_max_tokens=asked.max_tokens.default,
        max_max_tokens=asked.max_tokens.max,
        default_temperature=None if temperature.default is None else float(temperature.default),
        max_temperature=None if temperature.max is None else float(temperature.max),
    )


def _when(asked: t.When) -> s.When:
    return s.When(
        any_keyword=asked.any_keyword,
        min_chars=asked.min_chars,
        max_chars=asked.max_chars,
        headers={name.lower(): value for name, value in asked.headers.items()},
        tiers=asked.tiers,
    )


def _canary(asked: t.Canary | None) -> s.Canary | None:
    if asked is None:
        return None
    return s.Canary(backend=asked.backend, percent=asked.percent, baseline=asked.baseline, allow=asked.allow)


def written_revision(route: t.ModelRoute, observed: Observed) -> str:
    """The revision of the snapshot that was last written."""
    live = observed.child("ConfigMap", names.snapshot(route.metadata.name))
    annotations = live["metadata"].get("annotations") or {} if live else {}
    return str(annotations.get(names.REVISION_ANNOTATION, ""))
