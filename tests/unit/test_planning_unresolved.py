"""What a route refers to and is not there: named in ResolvedRefs by field and name, for whom it concerns."""

from typing import Any

import pytest

from modelroute.planning.observed import Observed
from modelroute.planning.references import named, references
from tests.fakes import world
from tests.fakes.manifests import HOSTED, VLLM

KEYS = {"auth": {"apiKeysSecretRef": {"name": "chat-keys"}}}
CERT = {"tls": {"secretRef": {"name": "cert"}}}
CACHED = {"name": "small", "vllm": {"model": "m", "modelCache": {"claimName": "models"}}}

TOKEN = {"name": "small", "vllm": {"model": "m", "hubTokenSecretRef": {"name": "hub", "key": "token"}}}
PULLED = {"name": "small", "vllm": {"model": "m", "imagePullSecrets": [{"name": "registry"}]}}
VOLUMES = [
    {"name": "a", "secret": {"secretName": "a"}},
    {"name": "b", "secret": {"secretName": "b", "optional": True}},
    {"name": "c", "projected": {"sources": [{"secret": {"name": "c", "optional": True}}]}},
]
VARIABLES = {
    "name": "vllm",
    "env": [{"name": "D", "valueFrom": {"secretKeyRef": {"name": "d", "key": "k", "optional": True}}}],
    "envFrom": [{"secretRef": {"name": "e", "optional": True}}],
}
MOUNTED = {
    "name": "small",
    "vllm": {"model": "m", "template": {"spec": {"volumes": VOLUMES, "containers": [VARIABLES]}}},
}


def resolved(observed: Observed, **spec: Any) -> tuple[str, str, str]:
    """Status, reason and message of the condition."""
    conditions = world.planned(world.route(**spec), observed).status.conditions
    found = next(c for c in conditions if c.type == "ResolvedRefs")
    return found.status, found.reason, found.message


@pytest.mark.parametrize(
    ("spec", "seen", "reason", "message"),
    [
        (
            [VLLM, world.KEYED],
            {},
            "SecretNotFound",
            'spec.backends[1].external.apiKeySecretRef: Secret "openai" is not in namespace team-a',
        ),
        (
            [world.KEYED],
            {"secrets": {"openai": frozenset({"key"})}},
            "SecretKeyNotFound",
            'spec.backends[0].external.apiKeySecretRef.key: Secret "openai" has no key "api-key"',
        ),
        (
            [world.BEHIND],
            {},
            "ServiceNotFound",
            'spec.backends[0].targetRef: Service "legacy" is not in namespace team-a',
        ),
        (
            [{"name": "old", "targetRef": {"name": "legacy", "port": 81}}],
            {"services": {"legacy": world.LEGACY}},
            "ServicePortNotFound",
            'spec.backends[0].targetRef.port: Service "legacy" has no port 81 (it has 80, 9090)',
        ),
        (
            [CACHED],
            {},
            "ClaimNotFound",
            'spec.backends[0].vllm.modelCache.claimName: PersistentVolumeClaim "models" is not in namespace team-a',
        ),
        (
            [TOKEN],
            {"secrets": {"hub": frozenset({"key"})}},
            "SecretKeyNotFound",
            'spec.backends[0].vllm.hubTokenSecretRef: Secret "hub" has no key "token"',
        ),
        (
            [PULLED],
            {},
            "SecretNotFound",
            'spec.backends[0].vllm.imagePullSecrets[0]: Secret "registry" is not in namespace team-a',
        ),
        (
            [MOUNTED],
            {},
            "SecretNotFound",
            'spec.backends[0].vllm.template.spec.volumes[0].secret.secretName: Secret "a" is not in namespace team-a',
        ),
    ],
)
def test_what_is_missing_is_named_with_its_field(
    spec: list[Any], seen: dict[str, Any], reason: str, message: str
) -> None:
    assert resolved(Observed(**seen), backends=spec) == ("False", reason, message)
    statuses = world.planned(world.route(backends=spec), Observed(**seen)).status.backends
    assert message in [b.message for b in statuses]


@pytest.mark.parametrize(
    ("router", "seen", "reason", "message"),
    [
        (
            KEYS,
            {},
            "SecretNotFound",
            'spec.router.auth.apiKeysSecretRef: Secret "chat-keys" is not in namespace team-a',
        ),
        (
            KEYS,
            {"chat-keys": frozenset({"keys.yaml"})},
            "SecretKeyNotFound",
            'spec.router.auth.apiKeysSecretRef: Secret "chat-keys" has no key "pepper"',
        ),
        (CERT, {}, "SecretNotFound", 'spec.router.tls.secretRef: Secret "cert" is not in namespace team-a'),
        (
            CERT,
            {"cert": frozenset({"tls.crt"})},
            "SecretKeyNotFound",
            'spec.router.tls.secretRef: Secret "cert" has no key "tls.key"',
        ),
    ],
)
def test_the_routers_own_secrets_are_named(router: Any, seen: Any, reason: str, message: str) -> None:
    found = resolved(Observed(secrets=seen), router=router)
    assert found == ("False", reason, message)


def test_the_routers_own_secrets_are_there() -> None:
    seen = {"chat-keys": frozenset({"keys.yaml", "pepper"}), "cert": frozenset({"tls.crt", "tls.key", "ca.crt"})}
    assert resolved(Observed(secrets=seen), router=KEYS | CERT)[0] == "True"


def test_all_that_is_missing_is_named() -> None:
    message = resolved(Observed(), backends=[world.BEHIND, world.KEYED])[2]
    assert message.split("; ")[1].startswith("spec.backends[1].external")


def test_nothing_is_missing() -> None:
    seen = Observed(
        secrets={"openai": frozenset({"api-key"})},
        services={"legacy": world.LEGACY},
        claims=frozenset({"models"}),
    )
    found = resolved(seen, backends=[CACHED, world.BEHIND, world.KEYED])
    assert found == ("True", "ResolvedRefs", "all references are resolved")


@pytest.mark.parametrize("backend", [CACHED, TOKEN, PULLED, MOUNTED])
def test_replicas_that_run_have_what_they_need(backend: Any) -> None:
    seen = Observed(slices=world.ready("10.0.0.1"))
    [found] = world.planned(world.route(backends=[backend]), seen).status.backends
    assert found.ready_replicas == 1


HIDDEN = Observed(hidden=frozenset({"openai", "chat-keys", "cert"}))
"""The operator may not read these Secrets; others are not there."""


def test_what_the_operator_may_not_read_is_not_known() -> None:
    found = resolved(HIDDEN, backends=[world.KEYED])
    problem = 'the operator may not read Secret "openai", so whether it has all that it needs is not known'
    assert found == ("Unknown", "SecretNotReadable", f"spec.backends[0].external.apiKeySecretRef: {problem}")


def test_what_is_known_to_be_missing_comes_before_what_is_not_known() -> None:
    assert resolved(HIDDEN, backends=[world.KEYED, world.BEHIND])[:2] == ("False", "ServiceNotFound")


def test_traffic_goes_on_where_the_operator_may_not_read_keys() -> None:
    """The routers mount them, and find out themselves."""
    asked = world.route(backends=[world.KEYED], router=KEYS)
    found = world.planned(asked, world.settled(asked, hidden=HIDDEN.hidden))
    assert found.snapshot.backends[0].endpoints
    assert "may not read" not in found.status.backends[0].message
    [ready] = [c for c in found.status.conditions if c.type == "Ready"]
    assert (ready.status, ready.reason) == ("True", "AllBackendsReady")


def test_every_secret_that_is_named_is_looked_for() -> None:
    """A webhook that asks whether a user may read what a manifest names asks for just these."""
    asked = world.route(backends=[TOKEN, PULLED | {"name": "b"}, MOUNTED | {"name": "c"}], router=KEYS | CERT)
    assert named(references(asked), "Secret") == sorted([*"abcde", "cert", "chat-keys", "hub", "registry"])


def test_what_a_route_refers_to_is_looked_for() -> None:
    asked = world.route(backends=[VLLM, CACHED | {"name": "c"}, world.BEHIND, world.KEYED, HOSTED | {"name": "free"}])
    found = [named(references(asked), kind) for kind in ("Service", "Secret", "PersistentVolumeClaim", "Prometheus")]
    assert found == [["legacy"], ["openai"], ["models"], []]
