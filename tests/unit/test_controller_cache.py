"""The cache: what is newer wins, and every object leads to the routes that it concerns."""

from typing import Any

import pytest

from modelroute.controller.kube.kinds import (
    CONFIG_MAP,
    DAEMON_SET,
    DEPLOYMENT,
    HORIZONTAL_AUTOSCALER,
    MODEL_ROUTE,
    POD,
    SERVICE,
    SLICE,
    Kind,
)
from modelroute.controller.watching.cache import TOMBSTONES, Cache, Key
from modelroute.planning.observed import Slice

CHAT, CODE = Key("team-a", "chat"), Key("team-a", "code")
OWN = {"modelroute.dev/route": "chat"}


def seen(name: str, version: int, *, uid: str = "u", labels: dict[str, str] | None = None, **rest: Any) -> Any:
    meta = {"namespace": "team-a", "name": name, "uid": uid, "resourceVersion": str(version), "labels": labels or {}}
    return {"metadata": meta, **rest}


def route(name: str, version: int, *services: str) -> Any:
    backends = [{"name": "b", "targetRef": {"name": service, "port": 80}} for service in services]
    return seen(name, version, uid=name, spec={"backends": backends})


def piece(service: str, version: int, **rest: Any) -> Any:
    ends = [{"addresses": ["10.0.0.1"], "targetRef": {"name": "web-1"}}]
    body = {"addressType": "IPv4", "ports": [{"name": "web", "port": 80}], "endpoints": ends} | rest
    return seen(f"{service}-x", version, labels={"kubernetes.io/service-name": service}, **body)


def test_a_child_concerns_the_route_of_its_label() -> None:
    cache = Cache()
    assert cache.put(DEPLOYMENT, seen("d", 1, labels=OWN)) == {CHAT}
    assert [c["metadata"]["name"] for c in cache.labelled(CHAT)] == ["d"]


def test_o10_what_is_older_or_the_same_is_passed_over() -> None:
    cache = Cache()
    cache.put(DEPLOYMENT, seen("d", 5, labels=OWN, spec=5))
    assert cache.put(DEPLOYMENT, seen("d", 5, labels=OWN, spec=6)) == set()
    assert cache.put(DEPLOYMENT, seen("d", 4, labels=OWN, spec=4)) == set()
    assert cache.labelled(CHAT)[0]["spec"] == 5


def test_o10_that_it_left_is_passed_over_when_it_is_older_than_what_is_known() -> None:
    cache = Cache()
    cache.put(CONFIG_MAP, seen("c", 12, labels=OWN))
    assert cache.remove(CONFIG_MAP, seen("c", 11, labels=OWN)) == set()
    assert cache.remove(CONFIG_MAP, seen("c", 13, labels=OWN)) == {CHAT}


def test_a_new_version_without_news_concerns_nobody() -> None:
    cache = Cache()
    managed = seen("d", 1, labels=OWN)
    managed["metadata"]["managedFields"] = [{"manager": "x"}]
    cache.put(DEPLOYMENT, managed)
    assert cache.put(DEPLOYMENT, seen("d", 2, labels=OWN)) == set()


@pytest.mark.parametrize("kind", [CONFIG_MAP, DEPLOYMENT, SERVICE], ids=lambda k: k.name)
@pytest.mark.parametrize("entry", [{}, {"manager": "modelroute"}], ids=["nobody", "never"])
def test_who_wrote_it_and_when_need_not_be_said(kind: Kind, entry: dict[str, str]) -> None:
    cache, odd = Cache(), seen("d", 1, labels=OWN)
    odd["metadata"]["managedFields"] = [entry]
    assert cache.put(kind, odd) == {CHAT}


def managed(version: int, *managers: str) -> Any:
    """A Deployment whose number of replicas these have written, the last one holding it."""
    found = seen("d", version, labels=OWN, spec={"replicas": 2})
    held: dict[str, Any] = {"f:spec": {"f:replicas": {}}}
    found["metadata"]["managedFields"] = [{"manager": m, "fieldsV1": held} for m in managers]
    return found


def test_o23_whose_the_number_of_replicas_is_is_kept_with_its_version() -> None:
    cache = Cache()
    cache.put(DEPLOYMENT, managed(1, "modelroute"))
    [kept] = cache.labelled(CHAT)
    assert kept["metadata"]["managedFields"] == [{"fieldsV1": {"f:spec": {"f:replicas": {}}}}]
    assert kept["metadata"]["resourceVersion"] == "1"


def test_o23_a_number_that_another_took_over_is_news() -> None:
    cache = Cache()
    cache.put(DEPLOYMENT, managed(1, "modelroute"))
    assert cache.put(DEPLOYMENT, managed(2, "autoscaler")) == {CHAT}
    assert cache.labelled(CHAT)[0]["metadata"].keys().isdisjoint({"managedFields", "resourceVersion"})


@pytest.mark.parametrize("kind", [HORIZONTAL_AUTOSCALER, DAEMON_SET])
def test_how_a_child_fares_that_nothing_depends_on_is_no_news(kind: Kind) -> None:
    cache = Cache()
    cache.put(kind, seen("a", 1, labels=OWN, status={"currentReplicas": 1}))
    assert cache.put(kind, seen("a", 2, labels=OWN, status={"currentReplicas": 2})) == set()


def scaling(version: int, active: str, count: int) -> Any:
    told = {"reason": "FailedGetPodsMetric", "message": "no metrics API", "lastTransitionTime": str(version)}
    conditions = [{"type": "AbleToScale", "status": "True"}, {"type": "ScalingActive", "status": active, **told}]
    return seen("a", version, labels=OWN, status={"currentReplicas": count, "conditions": conditions})


def test_that_an_autoscaler_changes_no_number_is_news_once() -> None:
    cache = Cache()
    cache.put(HORIZONTAL_AUTOSCALER, scaling(1, "True", 1))
    assert cache.put(HORIZONTAL_AUTOSCALER, scaling(2, "False", 2)) == {CHAT}
    assert cache.put(HORIZONTAL_AUTOSCALER, scaling(3, "False", 3)) == set()
    why = {"type": "ScalingActive", "status": "False", "reason": "FailedGetPodsMetric", "message": "no metrics API"}
    assert cache.labelled(CHAT)[0]["status"] == {"conditions": [why]}
    assert cache.put(HORIZONTAL_AUTOSCALER, scaling(4, "True", 4)) == {CHAT}


def test_on_how_many_nodes_an_image_is_is_news() -> None:
    cache = Cache()
    counts = {"desiredNumberScheduled": 3, "numberReady": 1}
    cache.put(DAEMON_SET, seen("a", 1, labels=OWN, status=counts | {"numberAvailable": 1}))
    assert cache.put(DAEMON_SET, seen("a", 2, labels=OWN, status=counts | {"numberReady": 2})) == {CHAT}
    assert cache.labelled(CHAT)[0]["status"] == counts | {"numberReady": 2}


def test_when_pods_changed_last_is_no_news() -> None:
    cache = Cache()
    cache.put(SERVICE, seen("s", 1, labels=OWN))
    cache.put(SLICE, piece("s", 2))
    churned = piece("s", 3)
    churned["metadata"]["annotations"] = {"endpoints.kubernetes.io/last-change-trigger-time": "later"}
    assert cache.put(SLICE, churned) == set()


def test_of_anybodys_service_only_ports_are_news() -> None:
    cache = Cache()
    cache.put(MODEL_ROUTE, route("chat", 1, "legacy"))
    ports = [{"name": "web", "port": 80, "targetPort": 8080}]
    cache.put(SERVICE, seen("legacy", 2, spec={"ports": ports}))
    assert cache.put(SERVICE, seen("legacy", 3, spec={"ports": ports, "selector": {"app": "new"}})) == set()
    assert cache.put(SERVICE, seen("legacy", 4, spec={"ports": []})) == {CHAT}


def test_a_child_that_changes_its_label_concerns_both_routes() -> None:
    cache = Cache()
    cache.put(DEPLOYMENT, seen("d", 1, labels=OWN))
    assert cache.put(DEPLOYMENT, seen("d", 2, labels={"modelroute.dev/route": "code"})) == {CHAT, CODE}
    assert cache.labelled(CHAT) == ()


def test_a_service_concerns_those_that_refer_to_it() -> None:
    cache = Cache()
    cache.put(MODEL_ROUTE, route("chat", 1, "legacy"))
    cache.put(MODEL_ROUTE, route("code", 2, "legacy"))
    assert cache.put(SERVICE, seen("legacy", 3)) == {CHAT, CODE}
    assert cache.put(SERVICE, seen("other", 4)) == set()


def test_a_route_that_refers_no_longer_is_no_longer_concerned() -> None:
    cache = Cache()
    cache.put(MODEL_ROUTE, route("chat", 1, "legacy"))
    cache.put(MODEL_ROUTE, route("chat", 2))
    assert cache.put(SERVICE, seen("legacy", 3)) == set()


def test_endpoints_concern_the_users_of_their_service() -> None:
    cache = Cache()
    cache.put(MODEL_ROUTE, route("code", 1, "legacy"))
    assert cache.put(SLICE, piece("legacy", 2)) == {CODE}
    assert cache.slices("team-a", "legacy") == (Slice("IPv4", (("web", 80),), (("10.0.0.1", "web-1"),)),)


def test_endpoints_of_a_childs_service_concern_its_route() -> None:
    cache = Cache()
    cache.put(SERVICE, seen("chat--small", 1, labels=OWN))
    assert cache.put(SLICE, piece("chat--small", 2)) == {CHAT}


def test_what_is_gone_concerns_its_route_once() -> None:
    cache = Cache()
    cache.put(CONFIG_MAP, seen("c", 1, labels=OWN))
    assert cache.remove(CONFIG_MAP, seen("c", 2)) == {CHAT}
    assert cache.remove(CONFIG_MAP, seen("c", 2)) == set()
    assert cache.labelled(CHAT) == ()


def test_the_end_of_a_predecessor_leaves_its_successor() -> None:
    cache = Cache()
    cache.put(CONFIG_MAP, seen("c", 3, uid="second", labels=OWN))
    assert cache.remove(CONFIG_MAP, seen("c", 2, uid="first")) == set()
    assert cache.get(CONFIG_MAP, "team-a", "c")


def test_o10_a_late_answer_does_not_revive_what_is_gone() -> None:
    cache = Cache()
    cache.put(CONFIG_MAP, seen("c", 1, labels=OWN))
    cache.remove(CONFIG_MAP, seen("c", 5))
    assert cache.put(CONFIG_MAP, seen("c", 4, labels=OWN)) == set()
    assert cache.put(CONFIG_MAP, seen("c", 6, uid="next", labels=OWN)) == {CHAT}


def test_a_late_listing_does_not_bring_what_went_unseen() -> None:
    cache = Cache()
    assert cache.remove(CONFIG_MAP, seen("c", 5)) == set()
    assert cache.put(CONFIG_MAP, seen("c", 4, labels=OWN)) == set()


def test_what_is_remembered_of_the_gone_is_bounded() -> None:
    cache = Cache()
    for number in range(TOMBSTONES + 10):
        cache.put(CONFIG_MAP, seen(f"c{number}", 1))
        cache.remove(CONFIG_MAP, seen(f"c{number}", 2))
    assert len(cache._gone) == TOMBSTONES


def test_a_listing_ends_what_it_lacks_but_not_what_is_newer_than_it() -> None:
    cache = Cache()
    for number, name in enumerate(("kept", "lost", "new"), start=1):
        cache.put(CONFIG_MAP, seen(name, number * 10, labels=OWN))
    assert cache.retain(CONFIG_MAP, [seen("kept", 10)], 25, None) == {CHAT}
    assert [c["metadata"]["name"] for c in cache.labelled(CHAT)] == ["kept", "new"]


def test_a_listing_of_one_namespace_says_nothing_of_another() -> None:
    cache = Cache()
    cache.put(CONFIG_MAP, seen("c", 1, labels=OWN))
    assert cache.retain(CONFIG_MAP, [], 9, "team-b") == set()


def test_a_listing_says_nothing_of_another_kind() -> None:
    cache = Cache()
    cache.put(CONFIG_MAP, seen("c", 1, labels=OWN))
    assert cache.retain(DEPLOYMENT, [], 9, None) == set()


def test_a_manifest_that_is_nonsense_is_kept_all_the_same() -> None:
    cache = Cache()
    for version, spec in enumerate(({"backends": [3, {"targetRef": "x"}]}, {"backends": 7}, "spec"), start=1):
        assert cache.put(MODEL_ROUTE, seen("chat", version, spec=spec)) == {CHAT}


def a_pod(name: str, version: int, reason: str = "") -> Any:
    state = {"waiting": {"reason": reason, "message": f"try {version}"}} if reason else {"running": {}}
    status = {"containerStatuses": [{"name": "c", "image": "i", "ready": not reason, "state": state}]}
    labels = OWN | {"app.kubernetes.io/component": "router"}
    return seen(name, version, uid=name, labels=labels, status=status)


def test_of_a_pod_only_what_keeps_it_from_running_is_news() -> None:
    cache = Cache()
    assert cache.put(POD, a_pod("p", 1, "ErrImagePull")) == {CHAT}
    assert cache.put(POD, a_pod("p", 2, "ImagePullBackOff")) == set()
    assert cache.put(POD, a_pod("p", 3)) == {CHAT}


def test_of_several_pods_the_same_trouble_is_told_in_any_order() -> None:
    told = []
    for names in (("p", "q", "r"), ("r", "q", "p")):
        cache = Cache()
        for name in names:
            cache.put(POD, a_pod(name, 1, {"p": "ErrImagePull", "q": "CreateContainerError"}.get(name, "")))
        told.append(cache.troubles(CHAT))
    assert told[0] == told[1]
    assert list(told[0]) == ["chat-router"]


def test_a_pod_that_is_gone_troubles_nobody() -> None:
    cache = Cache()
    cache.put(POD, a_pod("p", 1, "ErrImagePull"))
    assert cache.remove(POD, a_pod("p", 2)) == {CHAT}
    assert cache.troubles(CHAT) == {}
