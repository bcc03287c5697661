"""Who may reach replicas and routers: routers and the operator, and clients where clients belong."""

from dataclasses import replace
from typing import Any

import pytest
import yaml

from modelroute.planning.observed import KubeObject, Observed
from modelroute.planning.plan import plan
from modelroute.planning.settings import Settings
from tests.fakes import world
from tests.fakes.chart import ROOT
from tests.fakes.manifests import BOTH, HOSTED, VLLM

SETTINGS = replace(world.SETTINGS, network_policies=True, operator_namespace="ops")


def policies(settings: Any = SETTINGS, **spec: Any) -> dict[str, KubeObject]:
    """The policies' specs by name."""
    objects = plan(world.route(**spec), Observed(), settings, world.moment(world.NOW)).objects
    return {o["metadata"]["name"]: o["spec"] for o in objects if o["kind"] == "NetworkPolicy"}


def test_sec_there_are_none_unless_the_installation_wants_them() -> None:
    assert policies(world.SETTINGS) == {}


SLEEPY = VLLM | {"name": "sleepy", "scaling": {"idle": {"action": "Sleep"}}}
ROUTER, ADMIN, REPLICA, SLEEPER = "chat-router 8000", "chat-router 8001", "chat--small 8000", "chat--sleepy 8000"
EVERYWHERE = {ROUTER, ADMIN, REPLICA, SLEEPER}


def labels(deployment: str) -> dict[str, str]:
    made = world.made(world.route(backends=[VLLM, SLEEPY]), "Deployment", deployment)
    found: dict[str, str] = made["spec"]["template"]["metadata"]["labels"]
    return found


def labels_of_the_operator() -> dict[str, str]:
    """As the chart has them."""
    chart = yaml.safe_load_all((ROOT / "tests/golden/chart/default.yaml").read_text())
    [found] = [o["spec"]["template"]["metadata"]["labels"] for o in chart if o and o["kind"] == "Deployment"]
    assert isinstance(found, dict)
    return found


def reached(namespace: str, own: dict[str, str], settings: Settings = SETTINGS, **spec: Any) -> set[str]:
    """Where a pod of that namespace with its ``own`` labels comes to, of all there is."""
    found = policies(settings, backends=[VLLM, SLEEPY], **spec).values()
    assert all(p["policyTypes"] == ["Ingress"] for p in found)

    def lets_in(place: str) -> bool:
        deployment, _, port = place.partition(" ")
        about = [p for p in found if picks(p["podSelector"], labels(deployment))]
        rules = [r for p in about for r in p["ingress"] if {"port": int(port), "protocol": "TCP"} in r["ports"]]
        return not about or any(
            not r.get("from") or any(comes(peer, namespace, own) for peer in r["from"]) for r in rules
        )

    return set(filter(lets_in, EVERYWHERE))


def comes(peer: dict[str, Any], namespace: str, own: dict[str, str]) -> bool:
    """Whether a policy's ``peer`` is a pod of that namespace with these labels."""
    assert peer.keys() <= {"namespaceSelector", "podSelector"}
    of = {"matchLabels": {"kubernetes.io/metadata.name": "team-a"}} | peer.get("namespaceSelector", {})
    return picks(of, {"kubernetes.io/metadata.name": namespace}) and picks(peer.get("podSelector", {}), own)


def picks(selector: dict[str, Any], own: dict[str, str]) -> bool:
    """Whether a selector is about what has these labels."""
    among = {"In": True, "NotIn": False, "Exists": True}
    expressions = selector.get("matchExpressions") or ()
    found = all((own.get(e["key"]) in e.get("values", own.values())) is among[e["operator"]] for e in expressions)
    return bool(found and selector.get("matchLabels", {}).items() <= own.items())


@pytest.mark.parametrize(
    ("namespace", "own", "comes_to"),
    [
        ("team-a", {"app": "shop"}, {ROUTER}),
        ("team-b", {"app": "shop"}, {ROUTER}),
        ("team-a", labels("chat-router"), {ROUTER, REPLICA, SLEEPER}),
        ("team-b", labels("chat-router"), {ROUTER}),
        ("team-a", labels("chat--small"), {ROUTER}),
        ("team-a", {"modelroute.dev/sidecar": "chat"}, {ROUTER, REPLICA}),
        ("ops", labels_of_the_operator(), EVERYWHERE),
        ("ops", {"app": "shop"}, {ROUTER}),
        ("team-a", labels_of_the_operator(), {ROUTER}),
    ],
    ids=[
        "client",
        "stranger",
        "router",
        "another's router",
        "replica",
        "sidecar",
        "operator",
        "its neighbour",
        "a double",
    ],
)
def test_sec_who_comes_where(namespace: str, own: dict[str, str], comes_to: set[str]) -> None:
    """As an enforcer was seen to have it. A replica that may sleep serves the paths that put it to sleep."""
    assert reached(namespace, own) == comes_to


@pytest.mark.parametrize(("named", "comes_to"), [("", {ROUTER}), ("metrics", EVERYWHERE - {SLEEPER})])
def test_sec_what_scrapes_metrics_is_let_in_where_it_is_named(named: str, comes_to: set[str]) -> None:
    assert reached("metrics", {"app": "prometheus"}, replace(SETTINGS, monitoring_namespace=named)) == comes_to


@pytest.mark.parametrize(("asked", "may"), [("chat", True), ("another", False)])
def test_sec_of_pods_with_a_router_in_them_only_the_routes_own_reach_what_may_sleep(asked: str, may: bool) -> None:
    found = reached("team-a", {"modelroute.dev/sidecar": asked}, router={"mode": "Sidecar"})
    assert (SLEEPER in found) is may


def test_sec_there_is_none_for_what_is_not_run() -> None:
    assert (set(policies(backends=[HOSTED])), set(policies(router={"mode": "None"}, backends=BOTH))) == (
        {"chat-router"},
        {"chat-backends"},
    )
