"""Who may reach replicas and routers: routers and the operator, and clients where clients belong."""

from dataclasses import replace
from typing import Any

from modelroute.planning.observed import KubeObject, Observed
from modelroute.planning.plan import plan
from tests.fakes import world
from tests.fakes.manifests import BOTH, HOSTED

SETTINGS = replace(world.SETTINGS, network_policies=True, operator_namespace="ops")
OPERATOR = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ops"}},
    "podSelector": {"matchLabels": {"app.kubernetes.io/name": "modelroute", "app.kubernetes.io/component": "operator"}},
}


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
    router = {"app.kubernetes.io/component": "router", "app.kubernetes.io/managed-by": "modelroute"}
    sidecar = {"matchExpressions": [{"key": "modelroute.dev/sidecar", "operator": "Exists"}]}
    assert rule["ports"] == [{"port": 8000, "protocol": "TCP"}]
    assert rule["from"] == [{"podSelector": {"matchLabels": router}}, {"podSelector": sidecar}, OPERATOR]
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


def test_sec_there_is_none_for_what_is_not_run() -> None:
    assert (set(policies(backends=[HOSTED])), set(policies(router={"mode": "None"}, backends=BOTH))) == (
        {"chat-router"},
        {"chat-backends"},
    )
