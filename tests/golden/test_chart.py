"""The chart as helm renders it, as files. ``UPDATE_GOLDEN=1`` writes the files anew; read the difference.

Helm is needed: without it these tests fail.
"""

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelroute import __version__
from modelroute.controller.kube.rbac import CLUSTER_RULES, LEASE_RULES, OWN_RULES, RULES, policy_rules
from tests.fakes.chart import CHART, ROOT, VALUES, helm, objects, rendered

GOLDEN = Path(__file__).parent / "chart"


@pytest.mark.parametrize("name", VALUES)
def test_rendered(name: str) -> None:
    text = rendered("--set=crds.install=false", *VALUES[name])
    path = GOLDEN / f"{name}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text(), f"read the difference, then: UPDATE_GOLDEN=1 pytest {Path(__file__).name}"


def test_the_versions_are_one() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {chart["version"], chart["appVersion"], project["version"]} == {__version__}


def test_lint() -> None:
    done = helm("lint", "--strict", CHART)
    assert done.returncode == 0, done.stdout


def test_the_crd_is_the_generated_one_and_outlives_the_release() -> None:
    (crd,) = objects(rendered(), "CustomResourceDefinition")
    assert crd == yaml.safe_load((CHART / "files/crd.yaml").read_text())
    assert crd["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    assert crd == yaml.safe_load((ROOT / "crds/modelroutes.modelroute.dev.yaml").read_text())


@pytest.mark.parametrize("name", VALUES)
def test_the_operator_runs_under_the_restricted_standard(name: str) -> None:
    (deployment,) = objects(rendered(*VALUES[name]), "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert {"hostNetwork", "hostPID", "hostIPC"}.isdisjoint(pod)
    for container in pod["containers"]:
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}


def rights(role: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.mark.parametrize(("name", "kind"), [("default", "ClusterRole"), ("namespaced", "Role")])
def test_the_operator_may_do_what_it_does_and_nothing_else(name: str, kind: str) -> None:
    roles = [r for r in objects(rendered(*VALUES[name]), kind) if r["metadata"]["name"] == "modelroute-operator"]
    needed = {(*thing, verb) for thing, verbs in RULES.items() for verb in verbs}
    assert roles
    assert all(rights(role) == needed for role in roles)


@pytest.mark.parametrize("name", VALUES)
def test_the_lease_is_its_own_in_its_own_namespace(name: str) -> None:
    roles = [
        r for r in objects(rendered(*VALUES[name]), "Role") if r["metadata"]["name"] == "modelroute-operator-lease"
    ]
    assert [role["metadata"]["namespace"] for role in roles] == ["modelroute-system"]
    assert roles[0]["rules"] == policy_rules(LEASE_RULES)


def test_the_webhooks_may_do_what_they_do_and_nothing_else() -> None:
    text = rendered()
    [own], [whole] = (
        [r["rules"] for r in objects(text, kind) if r["metadata"]["name"] == "modelroute-operator-webhooks"]
        for kind in ("Role", "ClusterRole")
    )
    for given, needed in ((own, OWN_RULES), (whole, CLUSTER_RULES)):
        assert flat(given) == flat(policy_rules(needed))


def flat(rules: list[dict[str, Any]]) -> set[tuple[str, str, str, str]]:
    """Group, resource, name and verb of each right."""
    named = {(*right, "".join(rule.get("resourceNames", ()))) for rule in rules for right in rights({"rules": [rule]})}
    return {(group, resource, name, verb) for group, resource, verb, name in named}


@pytest.mark.parametrize("values", [["--set=webhooks.enabled=false"], VALUES["namespaced"]], ids=["off", "namespaced"])
def test_without_webhooks_nothing_of_them_is_left(values: list[str]) -> None:
    assert "webhook" not in rendered("--set=crds.install=false", *values)


def test_nothing_is_cluster_wide_when_namespaces_are_named() -> None:
    text = rendered(*VALUES["namespaced"])
    places = [role["metadata"]["namespace"] for role in objects(text, "Role")]
    assert places == ["modelroute-system", "team-a", "team-b"]
    assert objects(text, "ClusterRole") + objects(text, "ClusterRoleBinding") == []


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("image.operator.tag=latest", "/image/operator/tag"),
        ("imge.operator.tag=1", "additional properties 'imge'"),
        ("watchNamespaces={Team}", "/watchNamespaces/0"),
        ("image.pullPolicy=Sometimes", "/image/pullPolicy"),
        ("webhooks.enabled=maybe", "/webhooks/enabled"),
        ("replicas=two", "/replicas"),
        ("networkPolicies.monitoringNamespace=A B", "/networkPolicies/monitoringNamespace"),
        ("prometheusUrl=prometheus:9090", "/prometheusUrl"),
        ("serviceMonitor.interval=30", "/serviceMonitor/interval"),
        ("serviceMonitor.interval=0s", "/serviceMonitor/interval"),
        ("image=null", "missing property 'image'"),
        ("networkPolicies=null", "missing property 'networkPolicies'"),
        ("webhooks.enabled=null", "missing property 'enabled'"),
        ("image.operator.repository=reg/x:latest", "/image/operator/repository"),
        ("replicas=0", "nobody answers the webhooks"),
        ("resources.memory=1Gi", "/resources"),
        ("affinity.podAffinty.x=1", "/affinity"),
    ],
)
def test_a_value_that_cannot_be_is_refused(wrong: str, told: str) -> None:
    done = helm("template", "modelroute", CHART, f"--set={wrong}")
    assert done.returncode == 1
    assert told in done.stderr


@pytest.mark.parametrize("fine", ["image.operator.repository=reg:5000/a/x", "webhooks.enabled=false,replicas=0"])
def test_a_value_that_can_be_is_taken(fine: str) -> None:
    assert helm("template", "modelroute", CHART, f"--set={fine}").returncode == 0


def test_no_value_can_be_taken_away() -> None:
    """Helm drops what is null, and templates would trip over it, or turn something off."""
    values, schema = (yaml.safe_load((CHART / f"values.{kind}").read_text()) for kind in ("yaml", "schema.json"))
    assert set(schema["required"]) == set(values)
    for name in ("image", "crds", "webhooks", "networkPolicies", "serviceMonitor"):
        assert set(schema["properties"][name]["required"]) == set(values[name])
