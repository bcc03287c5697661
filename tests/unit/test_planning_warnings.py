"""What is legal and yet a risk is said, by its field; what is not is not."""

from dataclasses import replace
from typing import Any

import pytest

from modelroute.planning.admission.warnings import warnings
from tests.fakes import world
from tests.fakes.manifests import BOTH, HOSTED, VLLM

POLICED = replace(world.SETTINGS, network_policies=True)
SLEEPY: dict[str, Any] = {"backends": [VLLM | {"scaling": {"maxReplicas": 2, "idle": {"action": "Sleep"}}}]}
ZERO = {"scaling": {"minReplicas": 0}}
COLD = {"fallbacks": [{"backend": "big", "failures": ["ColdStart"]}]}
CANARY = {"canary": {"backend": "big"}}
OUTSIDE = {"service": {"type": "NodePort"}}
KEYS = {"auth": {"apiKeysSecretRef": {"name": "keys"}}}
CERTIFIED = {"tls": {"secretRef": {"name": "cert"}}}


def vllm(**fields: Any) -> dict[str, Any]:
    return {"backends": [VLLM | {"vllm": {"model": "org/small", **fields}}]}


def scaled(*others: dict[str, Any], **scaling: Any) -> dict[str, Any]:
    return {"backends": [VLLM | {"scaling": scaling}, *others]}


def cached(most: int, *, schedule: int = 1, node: str = "", **cache: Any) -> dict[str, Any]:
    picked = {"nodeSelector": {"kubernetes.io/hostname": node}} if node else {}
    small = VLLM | {"vllm": {"model": "org/small", "modelCache": cache, **picked}, "scaling": {"maxReplicas": most}}
    peak = {"name": "peak", "start": "08:00", "end": "09:00", "minReplicas": {"small": schedule}}
    return {"backends": [small], "schedules": [peak]}


def cold(policy: str) -> dict[str, Any]:
    return {"backends": [VLLM | ZERO | {"coldStart": {"policy": policy}}, HOSTED]}


RISKY: dict[str, tuple[dict[str, Any], str]] = {
    "no tag": (vllm(image="vllm"), 'spec.backends[0].vllm.image: "vllm" may be another image at each pull'),
    "latest": (vllm(image="a.example:5000/vllm:latest"), "spec.backends[0].vllm.image:"),
    "a port is no tag": (vllm(image="a.example:5000/vllm"), "spec.backends[0].vllm.image:"),
    "code of strangers": (vllm(args=["-a", "--trust-remote-code"]), "spec.backends[0].vllm.args[1]: --trust-remote"),
    "with underscores": (vllm(args=["--trust_remote_code=true"]), "spec.backends[0].vllm.args[0]:"),
    "nobody at night": (scaled(minReplicas=0), "spec.backends[0].scaling.minReplicas: 0, and nobody answers"),
    "a cold start is refused": (cold("Reject") | COLD, "spec.backends[0].scaling.minReplicas:"),
    "a cold start is held": (cold("Hold"), "spec.backends[0].scaling.minReplicas:"),
    "the fallback is itself": (
        scaled(minReplicas=0) | {"fallbacks": [{"backend": "small"}]},
        "spec.backends[0].scaling.minReplicas:",
    ),
    "both may be cold": (
        {"backends": [VLLM | ZERO, VLLM | ZERO | {"name": "other"}]},
        "spec.backends[1].scaling.minReplicas:",
    ),
    "no idling below the floor": (
        scaled(minReplicas=1, maxReplicas=2, idle={"action": "None"}),
        "spec.backends[0].scaling.idle: action None does nothing here; minReplicas is 1",
    ),
    "nobody may sleep": (
        scaled(minReplicas=2, maxReplicas=2, idle={"action": "Sleep"}),
        "spec.backends[0].scaling.idle: action Sleep does nothing here; replicas of minReplicas stay awake",
    ),
    "another decides": (
        scaled(HOSTED, minReplicas=0, engine="External", idle={"after": "1h"}),
        "spec.backends[0].scaling.idle: action ScaleToZero does nothing here; engine External decides",
    ),
    "KEDA lets none sleep": (
        scaled(HOSTED, minReplicas=0, maxReplicas=2, engine="KEDA", idle={"action": "Sleep"}),
        "spec.backends[0].scaling.idle: action Sleep does nothing here; engine KEDA decides",
    ),
    "a volume for one node": (cached(3, size="1Gi"), "spec.backends[0].vllm.modelCache: of up to 3 replicas only"),
    "a volume for one node, at the peak": (
        cached(1, schedule=2, size="1Gi"),
        "spec.backends[0].vllm.modelCache: of up to 2 replicas only",
    ),
    "apps beside the router may put it to sleep": (
        SLEEPY | {"router": {"mode": "Sidecar"}},
        "spec.backends[0].scaling.idle: action Sleep makes replicas serve vLLM's development paths",
    ),
    "a canary alone": ({"backends": BOTH} | CANARY, 'spec.canary: no fallback takes over what "big" fails'),
    "a canary that is its own fallback": (
        {"backends": BOTH, "fallbacks": [{"backend": "big"}]} | CANARY,
        "spec.canary: no fallback",
    ),
    "open to the world": ({"router": OUTSIDE}, "spec.router.auth: whoever reaches the NodePort may ask"),
    "keys in plain text": ({"router": OUTSIDE | KEYS}, "spec.router.tls: clients' keys and prompts come by plain http"),
    "headers of anybody": (
        {"router": OUTSIDE | CERTIFIED | {"auth": KEYS["auth"] | {"trustedHeaders": {"user": "x-user"}}}},
        "spec.router.auth.trustedHeaders: whoever reaches the NodePort may set them",
    ),
    "replicas of nothing": ({"router": {"mode": "None", "replicas": 3}}, "spec.router.replicas: mode None has no"),
    "ports of nothing": ({"router": {"sidecar": {"port": 9000}}}, "spec.router.sidecar: mode Gateway puts no router"),
    "resources of nothing": ({"router": {"mode": "None", "resources": {}}}, "spec.router.resources: mode None runs"),
}

CALM: dict[str, dict[str, Any]] = {
    "two backends": {"backends": BOTH},
    "a tag": vllm(image="a.example:5000/vllm:v1"),
    "a digest": vllm(image="vllm@sha256:00"),
    "another argument": vllm(args=["--max-model-len=8192"]),
    "a fallback for cold starts": cold("HoldThenFallback") | COLD,
    "a fallback while it is held": cold("Hold") | COLD,
    "others that answer": cold("Fallback"),
    "idle replicas go": scaled(HOSTED, minReplicas=0, idle={"action": "None"}),
    "idle replicas go by KEDA": scaled(HOSTED, minReplicas=0, engine="KEDA", idle={"after": "10m"}),
    "a volume for one replica": cached(1, size="1Gi"),
    "a volume for all nodes": cached(3, size="1Gi", accessMode="ReadWriteMany"),
    "a volume and one node": cached(3, size="1Gi", node="gpu-1"),
    "an existing claim": cached(3, claimName="models"),
    "idle replicas sleep": scaled(minReplicas=1, maxReplicas=2, idle={"action": "Sleep"}),
    "a canary with a fallback": {"backends": BOTH, "fallbacks": [{"backend": "small"}]} | CANARY,
    "a route for the world": {"router": OUTSIDE | KEYS | CERTIFIED},
    "headers of a proxy": {"router": {"auth": {"trustedHeaders": {"user": "x-user"}}}},
    "a router in each pod": {"router": {"mode": "Sidecar", "sidecar": {"port": 9000}, "resources": {}}},
}


@pytest.mark.parametrize(("spec", "starts"), RISKY.values(), ids=RISKY.keys())
def test_a_risk_is_said_once_and_by_its_field(spec: dict[str, Any], starts: str) -> None:
    assert len([sentence for sentence in warnings(world.route(**spec), POLICED) if sentence.startswith(starts)]) == 1


@pytest.mark.parametrize("spec", CALM.values(), ids=CALM.keys())
def test_what_is_no_risk_is_not_said(spec: dict[str, Any]) -> None:
    assert warnings(world.route(**spec), POLICED) == ()


def test_it_is_said_that_without_policies_every_pod_may_put_a_replica_to_sleep() -> None:
    [told] = warnings(world.route(**SLEEPY), world.SETTINGS)
    assert told.startswith("spec.backends[0].scaling.idle: action Sleep")
    assert told.endswith("the operator runs without NetworkPolicies: every pod reaches them")
    assert len(told) <= 256


@pytest.mark.parametrize("spec", [spec for spec, _ in RISKY.values()], ids=RISKY.keys())
def test_the_api_server_cuts_no_sentence(spec: dict[str, Any]) -> None:
    assert [s for s in warnings(world.route(**spec), POLICED) if len(s) > 256] == []
