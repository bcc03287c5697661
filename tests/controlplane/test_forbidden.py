"""The operator without a right that it needs: what it may not do or see is named, and the rest goes on."""

import pytest

from modelroute.controller.kube.kinds import DEPLOYMENT, MODEL_ROUTE, SLICE, Kind
from modelroute.controller.kube.rbac import policy_rules
from tests.controlplane.plane import OPERATOR, Operator, Plane, until
from tests.controlplane.routes import ROUTER, SMALL, becomes, condition, create, names, settle, snapshot


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


@pytest.mark.parametrize("kind", [MODEL_ROUTE, SLICE], ids=lambda kind: kind.name)
def test_o28_a_right_to_watch_that_is_withheld_is_named_and_the_rest_goes_on(
    plane: Plane, stopped: Operator, namespace: str, kind: Kind
) -> None:
    """What may not be watched is listed now and then."""
    without = [r for r in policy_rules() if r["resources"] != [kind.plural]]
    plane.allow([*without, {"apiGroups": [kind.group], "resources": [kind.plural], "verbs": ["get", "list"]}])
    try:
        stopped.start()
        until("it leads", stopped.leads, 60)
        create(plane, namespace)
        message = becomes(plane, namespace, "Programmed", "False", "Forbidden", seconds=90)
        assert names(plane, namespace) == ROUTER | SMALL
        plane.admin.replace(MODEL_ROUTE, namespace, "chat", "/spec/models", ["another"])
        until("it in the snapshot", lambda: "another" in str(snapshot(plane, namespace)), seconds=90)
        assert stopped.ready()
    finally:
        plane.allow(policy_rules())
    assert f"cannot watch {kind.name}" in message
    until("no word of it", lambda: condition(plane, namespace, "Programmed")["reason"] != "Forbidden", 60)


def test_o28_routes_that_may_not_be_listed_are_waited_for(plane: Plane, stopped: Operator, namespace: str) -> None:
    plane.allow([r for r in policy_rules() if r["resources"] != ["modelroutes"]])
    create(plane, namespace)
    mark = len(stopped.log())
    try:
        stopped.start()
        until("it is named, again and again", lambda: stopped.log()[mark:].count("cannot list ModelRoute") > 2, 60)
        assert not stopped.ready()
        assert stopped.health() == (200, "ok\n")
    finally:
        plane.allow(policy_rules())
    settle(plane, namespace, ROUTER | SMALL)
    assert stopped.ready()
    assert "starting over" not in stopped.log()[mark:]


def test_o28_a_namespace_that_went_with_its_role_leaves_the_others(
    plane: Plane, stopped: Operator, namespace: str
) -> None:
    gone, kubeconfig = plane.namespace(), plane.identity(namespace, clusterwide=False)
    account = {"kind": "ServiceAccount", "namespace": namespace, "name": OPERATOR}
    plane.grant(f"namespaces/{gone}/", "Role", OPERATOR, policy_rules(), account)
    two = Operator(kubeconfig, f"--namespace={gone}", f"--namespace={namespace}")
    try:
        create(plane, gone)
        settle(plane, gone, ROUTER | SMALL)
        plane.admin.must("DELETE", f"/api/v1/namespaces/{gone}")
        until("it is gone", lambda: plane.admin.ask("GET", f"/api/v1/namespaces/{gone}").status_code == 404, 60)
        assert two.end() == 0
        two.start()
        until("it leads", two.leads, 60)
        create(plane, namespace)
        settle(plane, namespace, ROUTER | SMALL)
        assert two.ready()
        assert two.health() == (200, "ok\n")
    finally:
        two.end()
