"""The operator without a right that it needs: what it may not do or see is named, and the rest goes on."""

from modelroute.controller.kube.kinds import DEPLOYMENT
from modelroute.controller.kube.rbac import policy_rules
from tests.controlplane.plane import Operator, Plane, until
from tests.controlplane.routes import ROUTER, SMALL, becomes, condition, create, names, settle


def test_o28_a_right_that_is_lacking_is_named_and_the_rest_goes_on(
    plane: Plane, operator: Operator, namespace: str
) -> None:
    without = [r for r in policy_rules() if r["resources"] != ["deployments"]]
    reading = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list", "watch"]}
    plane.allow([*without, reading])
    create(plane, namespace)
    try:
        message = becomes(plane, namespace, "Programmed", "False", "Forbidden")
        made = names(plane, namespace)
    finally:
        plane.allow(policy_rules())
    assert "cannot patch Deployment/chat--small" in message
    assert made == {place for place in ROUTER | SMALL if DEPLOYMENT.name not in place}


def test_o28_a_right_that_is_given_back_is_used(plane: Plane, operator: Operator, namespace: str) -> None:
    plane.allow([r for r in policy_rules() if r["resources"] != ["configmaps"]])
    try:
        create(plane, namespace)
        becomes(plane, namespace, "Programmed", "False", "Forbidden")
    finally:
        plane.allow(policy_rules())
    settle(plane, namespace, ROUTER | SMALL)
    until("no word of it", lambda: condition(plane, namespace, "Programmed")["reason"] != "Forbidden")


def test_o28_a_right_to_list_that_is_withheld_is_named_and_the_rest_goes_on(
    plane: Plane, stopped: Operator, namespace: str
) -> None:
    plane.allow([r for r in policy_rules() if r["resources"] != ["deployments"]])
    create(plane, namespace)
    try:
        stopped.start()
        until("it leads", stopped.leads, 60)
        message = becomes(plane, namespace, "Programmed", "False", "Forbidden")
        made = names(plane, namespace)
        assert stopped.ready()
        assert stopped.metric('modelroute_unseen_namespaces{resource="deployments"}') == 1
    finally:
        plane.allow(policy_rules())
    assert "cannot list Deployment" in message
    assert made == {place for place in ROUTER | SMALL if DEPLOYMENT.name not in place}
    settle(plane, namespace, ROUTER | SMALL)
    until("no word of it", lambda: condition(plane, namespace, "Programmed")["reason"] != "Forbidden")


def test_o28_a_namespace_that_went_leaves_the_others(plane: Plane, stopped: Operator, namespace: str) -> None:
    gone = plane.namespace()
    kubeconfig = plane.identity(namespace, clusterwide=False)
    two = Operator(kubeconfig, f"--namespace={gone}", f"--namespace={namespace}")  # without a right in the first
    try:
        until("it leads", two.leads, 60)
        create(plane, namespace)
        settle(plane, namespace, ROUTER | SMALL)
        assert two.ready()
        assert two.health() == (200, "ok\n")
    finally:
        two.end()
