"""A ModelRoute and the addresses of its backends become the snapshot that routers run.

Called by ``plan``, and by ``modelroute serve``, which has no cluster. Never looks at the cluster: ``endpoints`` does.
"""

import re
from collections.abc import Mapping

from modelroute.api import types as t
from modelroute.api.scalars import seconds
from modelroute.planning import names
from modelroute.snapshot import types as s

_URL = re.compile(r"(https?)://([^/:]+)(?::([0-9]+))?(/.*)?\Z", re.IGNORECASE)
_FIRST_TOKEN_STREAMED = 60.0
_FIRST_TOKEN_WHOLE = 600.0
"""The first byte of an answer that is not streamed comes when all of it is made."""


def snapshot_of(
    route: t.ModelRoute, endpoints: Mapping[str, tuple[str, ...]], *, loopback_allowed: bool = False
) -> s.Snapshot:
    """The snapshot of ``route``, without its revision.

    ``endpoints``: ``host:port`` by backend. A backend that is not in it has none, an external one that of its URL.
    """
    spec, headers = route.spec, route.spec.router.auth.trusted_headers
    return s.Snapshot(
        namespace=route.metadata.namespace,
        name=route.metadata.name,
        generation=route.metadata.generation,
        models=route.models,
        backends=tuple(_backend(b, endpoints, loopback_allowed=loopback_allowed) for b in spec.backends),
        rules=tuple(s.Rule(name=r.name, when=_when(r.when), prefer=r.prefer) for r in spec.rules),
        canary=_canary(spec.canary),
        fallbacks=tuple(s.Fallback(backend=f.backend, failures=f.failures) for f in spec.fallbacks),
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
        model=model,
        version=f"{backend.vllm.model}@{image_tag(backend.vllm.image)}" if backend.vllm else model or "",
        parameters=_parameters(backend.parameters),
        loopback_allowed=loopback_allowed,
    )
    return _external(common, backend.external, endpoints) if backend.external else common


def _external(common: s.Backend, external: t.External, endpoints: Mapping[str, tuple[str, ...]]) -> s.Backend:
    found = _URL.match(external.base_url)
    if found is None:
        raise ValueError(f"{external.base_url!r} was not checked against the scalar BASE_URL")
    tls = found[1].lower() == "https"
    port = found[3] or ("443" if tls else "80")
    return s.Backend(
        **{f: getattr(common, f) for f in ("name", "weight", "timeouts", "model", "version", "parameters")},
        endpoints=endpoints.get(common.name, (f"{found[2]}:{port}",)),
        external=True,
        tls=tls,
        host=found[2],
        prefix=(found[4] or "").rstrip("/"),
        secret_file=names.secret_file(common.name) if external.api_key_secret_ref else None,
        loopback_allowed=common.loopback_allowed,
    )


def image_tag(image: str) -> str:
    """What tells one version of an image from another: its tag, else the start of its digest, else ``latest``."""
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return tag or digest[:19] or "latest"


def _timeouts(asked: t.Timeouts) -> s.Timeouts:
    first = seconds(asked.first_token) if asked.first_token else None
    return s.Timeouts(
        connect=seconds(asked.connect),
        first_token_streamed=_FIRST_TOKEN_STREAMED if first is None else first,
        first_token_whole=_FIRST_TOKEN_WHOLE if first is None else first,
        stream_idle=seconds(asked.stream_idle),
    )


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
