"""Who may reach replicas and routers: routers and the operator, and clients where clients belong."""

from dataclasses import replace
from typing import Any

import pytest

from modelroute.planning.observed import KubeObject, Observed
from modelroute.planning.plan import plan
from modelroute.planning.settings import Settings
from tests.fakes import world
from tests.fakes.manifests import BOTH, HOSTED, VLLM

SETTINGS = replace(world.SETTINGS, network_policies=True, operator_namespace="ops")
OPERATOR = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ops"}},
    "podSelector": {"matchLabels": {"app.kubernetes.io/name": "modelroute", "app.kubernetes.io/component": "operator"}},
}

ROUTERS = {"matchLabels": {"app.kubernetes.io/component": "router", "app.kubernetes.io/managed-by": "modelroute"}}


def policies(settings: Any = SETTINGS, **spec: Any) -> dict[str, KubeObject]:
    """The policies' specs by name."""
    objects = plan(world.route(**spec), Observed(), settings, world.moment(world.NOW)).objects
    return {o["metadata"]["name"]: o["spec"] for o in objects if o["kind"] == "NetworkPolicy"}


def test_sec_there_are_none_unless_the_installation_wants_them() -> None:
    assert policies(world.SETTINGS) == {}


def test_sec_replicas_are_reached_by_routers_and_the_operator_alone() -> None:
    found = policies()["chat-backends"]
    assert found["podSelector"]["matchLabels"] == {
        "modelroute.dev/route": "chat",
        "app.kubernetes.io/component": "backend",
    }
    [rule] = found["ingress"]
    sidecar = {"matchExpressions": [{"key": "modelroute.dev/sidecar", "operator": "Exists"}]}
    assert rule["ports"] == [{"port": 8000, "protocol": "TCP"}]
    assert rule["from"] == [{"podSelector": ROUTERS}, {"podSelector": sidecar}, OPERATOR]
    assert found["policyTypes"] == ["Ingress"]


def test_sec_it_picks_the_pods_that_are_made() -> None:
    made = world.made(world.of_vllm(), "Deployment", "chat--small")["spec"]["template"]["metadata"]["labels"]
    router = world.made(world.of_vllm(), "Deployment", "chat-router")["spec"]["template"]["metadata"]["labels"]
    found = policies()
    assert found["chat-backends"]["podSelector"]["matchLabels"].items() <= made.items()
    assert found["chat-router"]["podSelector"]["matchLabels"].items() <= router.items()
    assert found["chat-backends"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"].items() <= router.items()


def test_sec_anybody_asks_a_router_and_the_operator_looks_after_it() -> None:
    assert policies()["chat-router"]["ingress"] == [
        {"ports": [{"port": 8000, "protocol": "TCP"}]},
        {"ports": [{"port": 8001, "protocol": "TCP"}], "from": [OPERATOR]},
    ]


def test_sec_what_scrapes_metrics_is_let_in_where_it_is_named() -> None:
    scraper = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    found = policies(replace(SETTINGS, monitoring_namespace="monitoring"))
    sources = found["chat-backends"]["ingress"][0]["from"], found["chat-router"]["ingress"][1]["from"]
    assert [source[-1] for source in sources] == [scraper, scraper]


SLEEPY = VLLM | {"name": "sleepy", "scaling": {"idle": {"action": "Sleep"}}}


@pytest.mark.parametrize("settings", [SETTINGS, replace(SETTINGS, monitoring_namespace="monitoring")])
def test_sec_only_routers_and_the_operator_reach_a_replica_that_may_sleep(settings: Settings) -> None:
    """Its port serves the paths that put it to sleep; routers forward none of them."""
    found = policies(settings, backends=[VLLM, SLEEPY])
    [rule] = found["chat-sleepers"]["ingress"]
    assert rule == {"ports": [{"port": 8000, "protocol": "TCP"}], "from": [{"podSelector": ROUTERS}, OPERATOR]}


def test_sec_of_pods_with_a_router_in_them_only_the_routes_own_reach_it() -> None:
    [rule] = policies(backends=[SLEEPY], router={"mode": "Sidecar"})["chat-sleepers"]["ingress"]
    own = {"podSelector": {"matchLabels": {"modelroute.dev/sidecar": "chat"}}}
    assert rule["from"] == [{"podSelector": ROUTERS}, own, OPERATOR]


def test_sec_no_other_policy_opens_a_replica_that_may_sleep() -> None:
    """Policies add up: what one lets in, no other keeps out."""
    asked: dict[str, Any] = {"backends": [VLLM, SLEEPY]}
    made = world.made(world.route(**asked), "Deployment", "chat--sleepy")["spec"]["template"]["metadata"]["labels"]
    assert [name for name, policy in policies(**asked).items() if picks(policy, made)] == ["chat-sleepers"]
    others = world.made(world.route(**asked), "Deployment", "chat--small")["spec"]["template"]["metadata"]["labels"]
    assert [name for name, policy in policies(**asked).items() if picks(policy, others)] == ["chat-backends"]


def picks(policy: KubeObject, labels: dict[str, str]) -> bool:
    """Whether it is about pods with these ``labels``."""
    picked = policy["podSelector"]
    among = {"In": True, "NotIn": False}
    expressions = picked.get("matchExpressions", ())
    found = all((labels.get(e["key"]) in e["values"]) is among[e["operator"]] for e in expressions)
    return bool(found and picked["matchLabels"].items() <= labels.items())


def test_sec_there_is_none_for_what_is_not_run() -> None:
    assert (set(policies(backends=[HOSTED])), set(policies(router={"mode": "None"}, backends=BOTH))) == (
        {"chat-router"},
        {"chat-backends"},
    )
