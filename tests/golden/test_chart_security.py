"""What platform teams ask of an operator's installation, line by line, over all that the chart renders."""

import argparse
from typing import Any

import pytest

from modelroute.api import podchecks
from modelroute.api.routers import Sidecar
from modelroute.cli import operator
from modelroute.planning.names import SIDECAR_LABEL
from modelroute.planning.resources import objects as pods
from modelroute.planning.resources import router
from tests.fakes import world
from tests.fakes.chart import POLICED, ROOT, VALUES, objects, rendered

USUAL = pytest.mark.parametrize("name", POLICED)
SCOPES = pytest.mark.parametrize("name", VALUES)
ROLES = ("Role", "ClusterRole")


def text(name: str, *values: str) -> str:
    return rendered("--set=crds.install=false", *VALUES[name], *values)


def rules(name: str, *kinds: str) -> list[dict[str, Any]]:
    """The rules of all roles of these kinds."""
    return [rule for kind in kinds for role in objects(text(name), kind) for rule in role["rules"]]


def pod(name: str, *values: str) -> dict[str, Any]:
    [deployment] = objects(text(name, *values), "Deployment")
    found: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return found


def container(name: str) -> dict[str, Any]:
    [found] = pod(name)["containers"]
    assert isinstance(found, dict)
    return found


@SCOPES
def test_sec_no_right_is_given_by_a_star(name: str) -> None:
    assert not [rule for rule in rules(name, *ROLES) if "*" in (*rule["apiGroups"], *rule["resources"], *rule["verbs"])]


@SCOPES
def test_sec_nobody_may_take_another_ones_rights(name: str) -> None:
    verbs = {verb for rule in rules(name, *ROLES) for verb in rule["verbs"]}
    assert verbs.isdisjoint({"escalate", "bind", "impersonate"})
    groups = {group for rule in rules(name, *ROLES) for group in rule["apiGroups"]}
    assert "rbac.authorization.k8s.io" not in groups


@SCOPES
def test_sec_nobody_may_reach_into_a_pod_or_ask_for_a_token(name: str) -> None:
    resources = {resource for rule in rules(name, *ROLES) for resource in rule["resources"]}
    inside = {"pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "pods/ephemeralcontainers", "nodes/proxy"}
    assert resources.isdisjoint(inside | {"serviceaccounts/token"})


@USUAL
def test_sec_secrets_are_read_by_name_and_never_listed(name: str) -> None:
    of_secrets = [rule for rule in rules(name, *ROLES) if "secrets" in rule["resources"]]
    assert of_secrets
    assert {verb for rule in of_secrets for verb in rule["verbs"]}.isdisjoint({"list", "watch", "deletecollection"})


def test_sec_with_namespaces_named_no_right_is_the_clusters() -> None:
    assert rules("namespaced", "ClusterRole") == []
    assert not objects(text("namespaced"), "ClusterRoleBinding")


@SCOPES
def test_sec_no_process_is_root_or_anybody_known(name: str) -> None:
    security = pod(name)["securityContext"]
    assert security["runAsNonRoot"] is True
    assert min(security["runAsUser"], security["runAsGroup"]) > 10000


@SCOPES
def test_only_an_empty_directory_can_be_written_to(name: str) -> None:
    assert pod(name)["volumes"] == [{"name": "tmp", "emptyDir": {}}]
    assert container(name)["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]


@SCOPES
def test_a_token_is_mounted_where_that_is_said_and_nowhere_else(name: str) -> None:
    [account] = objects(text(name), "ServiceAccount")
    assert account["automountServiceAccountToken"] is False
    assert pod(name)["automountServiceAccountToken"] is True


@SCOPES
def test_resources_are_set(name: str) -> None:
    resources = container(name)["resources"]
    assert {"cpu", "memory"} <= resources["requests"].keys()
    assert "memory" in resources["limits"]


@SCOPES
def test_probes_are_distinct(name: str) -> None:
    found = container(name)
    assert found["livenessProbe"]["httpGet"]["path"] != found["readinessProbe"]["httpGet"]["path"]
    assert "startupProbe" in found


@USUAL
def test_replicas_keep_apart_and_are_not_evicted_together(name: str) -> None:
    [deployment] = objects(text(name), "Deployment")
    assert deployment["spec"]["replicas"] == 2
    [term] = pod(name)["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    selector = deployment["spec"]["selector"]
    assert term["podAffinityTerm"]["labelSelector"] == selector
    [budget] = objects(text(name), "PodDisruptionBudget")
    assert budget["spec"] == {"maxUnavailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow", "selector": selector}


def test_an_affinity_of_ones_own_takes_the_place_of_ours() -> None:
    assert pod("default", "--set=affinity.podAffinity.x=1")["affinity"] == {"podAffinity": {"x": 1}}


def policy(name: str, *values: str) -> dict[str, Any]:
    [found] = objects(text(name, *values), "NetworkPolicy")
    spec: dict[str, Any] = found["spec"]
    return spec


def ports(rules: list[dict[str, Any]], peer: str) -> dict[int, Any]:
    """Who may be reached, or may come, by port; None: anybody."""
    return {port["port"]: rule.get(peer) for rule in rules for port in rule["ports"]}


@USUAL
def test_all_other_traffic_of_the_operator_is_denied(name: str) -> None:
    [deployment] = objects(text(name), "Deployment")
    assert policy(name)["podSelector"] == deployment["spec"]["selector"]
    assert policy(name)["policyTypes"] == ["Ingress", "Egress"]
    assert all(rule.get("ports") for rule in (*policy(name)["ingress"], *policy(name)["egress"]))


MONITORING = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}


@pytest.mark.parametrize("name", ["default", "full"])
def test_only_monitoring_may_read_metrics_and_anybody_ask_the_webhooks(name: str) -> None:
    assert ports(policy(name)["ingress"], "from") == {9443: None, 8080: [MONITORING]}


def test_where_there_are_no_webhooks_nobody_may_ask_them() -> None:
    assert ports(policy("namespaced")["ingress"], "from") == {8080: [MONITORING]}


def test_without_a_namespace_for_monitoring_nobody_may_read_metrics() -> None:
    assert ports(policy("default", "--set=networkPolicies.monitoringNamespace=")["ingress"], "from") == {9443: None}
    assert not policy("namespaced", "--set=networkPolicies.monitoringNamespace=")["ingress"]


def test_the_operator_reaches_the_api_server_dns_and_the_ports_of_pods_it_asks() -> None:
    pods: list[Any] = [{"namespaceSelector": {}}]
    outside = dict.fromkeys((443, 6443, 16443, 53))
    asked = (podchecks.PORT, router.ADMIN_PORT, Sidecar().admin_port)
    assert ports(policy("default")["egress"], "to") == outside | dict.fromkeys(asked, pods)


def test_with_namespaces_named_only_their_pods_are_reached() -> None:
    [peer] = ports(policy("namespaced")["egress"], "to")[8000]
    expected = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["team-a", "team-b"]}
    assert peer == {"namespaceSelector": {"matchExpressions": [expected]}}


def test_more_may_be_reached_by_a_value() -> None:
    assert ports(policy("full")["egress"], "to")[9000] is None


def test_without_policies_there_are_none_and_the_operator_makes_none() -> None:
    without = text("default", "--set=networkPolicies.enabled=false")
    assert not objects(without, "NetworkPolicy")
    assert not {"--network-policies", "--monitoring-namespace=monitoring"} & set(arguments(without))


def arguments(rendered: str) -> list[str]:
    [deployment] = objects(rendered, "Deployment")
    found: list[str] = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    return found


@USUAL
def test_the_operator_knows_each_of_its_flags(name: str) -> None:
    parser = argparse.ArgumentParser(exit_on_error=False)
    operator.add_arguments(parser)
    parsed = parser.parse_args(arguments(text(name)))
    assert (parsed.network_policies, parsed.monitoring_namespace) == (True, "monitoring")
    assert parsed.operator_namespace == "modelroute-system"


def test_the_address_of_prometheus_is_handed_on() -> None:
    assert "--prometheus-url=http://prometheus.monitoring.svc:9090" in arguments(text("full"))


def test_what_is_scraped_is_named_by_the_services_and_pods_own_labels() -> None:
    full = text("full")
    [service] = [s for s in objects(full, "Service") if s["metadata"]["name"] != "modelroute-webhook"]
    [monitor], [of_pods, of_sidecars, of_replicas] = (objects(full, kind) for kind in ("ServiceMonitor", "PodMonitor"))
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert [e["port"] for e in monitor["spec"]["endpoints"]] == [p["name"] for p in service["spec"]["ports"]]
    for of in (of_pods, of_sidecars, of_replicas):
        assert of["spec"]["namespaceSelector"] == {"any": True}
        assert of["metadata"]["labels"]["release"] == "prometheus"
    assert of_sidecars["spec"]["selector"] == {"matchExpressions": [{"key": SIDECAR_LABEL, "operator": "Exists"}]}
    assert monitor["metadata"]["labels"]["release"] == "prometheus"


@pytest.mark.parametrize(("name", "child"), [("routers", "chat-router"), ("replicas", "chat--small")])
def test_pods_are_scraped_by_labels_and_a_port_that_they_have(name: str, child: str) -> None:
    [monitor] = [m for m in objects(text("full"), "PodMonitor") if m["metadata"]["name"] == f"modelroute-{name}"]
    template = world.made(world.of_vllm(), "Deployment", child)["spec"]["template"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    [asked], ports = monitor["spec"]["podMetricsEndpoints"], template["spec"]["containers"][0]["ports"]
    assert asked["port"] in [port["name"] for port in ports]


def test_without_the_right_to_read_secrets_there_is_none() -> None:
    assert not [rule for rule in rules("bare", *ROLES) if "secrets" in rule["resources"]]


@SCOPES
def test_an_operator_that_ends_answers_until_nobody_asks_it_any_more(name: str) -> None:
    assert container(name)["lifecycle"] == {"preStop": {"sleep": {"seconds": pods.PRE_STOP_SECONDS}}}
    assert pod(name)["terminationGracePeriodSeconds"] == pods.PRE_STOP_SECONDS + 30


def test_an_annotation_of_ones_own_takes_the_place_of_ours() -> None:
    key = "kubectl.kubernetes.io/default-container"
    rendered = text("default", f"--set=podAnnotations.{key.replace('.', chr(92) + '.')}=mine")
    assert rendered.count(key) == 1
    assert f"{key}: mine" in rendered


@SCOPES
def test_it_renders_the_same_each_time(name: str) -> None:
    before = text(name)
    rendered.cache_clear()
    assert text(name) == before


@pytest.mark.parametrize("place", ["charts/modelroute/templates/NOTES.txt", "README.md"])
def test_it_is_said_what_an_uninstall_leaves_and_how_to_be_rid_of_that(place: str) -> None:
    said = (ROOT / place).read_text()
    assert "helm uninstall" in said
    assert "no finalizers" in said
    assert "kubectl delete modelroutes.modelroute.dev --all --all-namespaces" in said
    assert "kubectl delete crd modelroutes.modelroute.dev" in said
