"""What a ModelRoute's status says, as the world around it changes, and what the routers are given meanwhile."""

from collections.abc import Iterator
from typing import Any

import pytest

from modelroute.controller.kube.kinds import CONFIG_MAP, DEPLOYMENT, EVENT, MODEL_ROUTE, POD, SECRET
from tests.controlplane.plane import DEFINITIONS, Operator, Plane, until
from tests.controlplane.routers import Routers
from tests.controlplane.routes import (
    BEHIND,
    KEYED,
    ROUTER,
    SMALL,
    at_rest,
    becomes,
    change_snapshot,
    condition,
    create,
    endpoints,
    publish_endpoints,
    put_secret,
    put_service,
    revisions,
    route,
    settle,
    snapshot,
    touch,
)
from tests.fakes.manifests import HOSTED, MISTAKES, VLLM, manifest

INVALID = MISTAKES["a header that cannot be"].spec["rules"]
CANARY = "sk-planted-7f3a"


def test_a_route_whose_replicas_answer_is_ready(
    plane: Plane, operator: Operator, namespace: str, routers: Routers
) -> None:
    create(plane, namespace)
    settle(plane, namespace, ROUTER | SMALL)
    publish_endpoints(plane, namespace, "chat--small", "http", "10.0.0.1")
    routers.start()
    becomes(plane, namespace, "Ready", "True")
    becomes(plane, namespace, "Programmed", "True")
    found = [condition(plane, namespace, kind)["status"] for kind in ("Accepted", "ResolvedRefs", "Programmed")]
    assert found == ["True", "True", "True"]


def test_a_route_whose_pods_do_not_start_is_not_ready(plane: Plane, operator: Operator, namespace: str) -> None:
    create(plane, namespace, backends=[VLLM])
    settle(plane, namespace, ROUTER | SMALL)
    assert condition(plane, namespace, "Ready")["status"] == "False"
    [backend] = route(plane, namespace)["status"]["backends"]
    assert (backend["readyReplicas"], backend["desiredReplicas"]) == (0, 1)


def test_o19_a_missing_secret_is_named_with_its_path(plane: Plane, operator: Operator, namespace: str) -> None:
    create(plane, namespace, backends=[KEYED])
    message = becomes(plane, namespace, "ResolvedRefs", "False", "SecretNotFound")
    assert "spec.backends[0].external.apiKeySecretRef" in message
    assert '"openai"' in message


def test_o19_a_secret_that_comes_later_is_found(plane: Plane, operator: Operator, namespace: str) -> None:
    create(plane, namespace, backends=[KEYED])
    becomes(plane, namespace, "ResolvedRefs", "False")
    put_secret(plane, namespace, token=CANARY)
    becomes(plane, namespace, "ResolvedRefs", "True", seconds=40)


def test_o19_a_missing_key_is_named(plane: Plane, operator: Operator, namespace: str) -> None:
    put_secret(plane, namespace, other=CANARY)
    create(plane, namespace, backends=[KEYED])
    message = becomes(plane, namespace, "ResolvedRefs", "False")
    assert '"token"' in message


def test_o19_a_key_is_found_nowhere_but_in_its_secret(plane: Plane, operator: Operator, namespace: str) -> None:
    put_secret(plane, namespace, token=CANARY)
    create(plane, namespace, backends=[KEYED])
    becomes(plane, namespace, "ResolvedRefs", "True")
    plane.admin.merge(SECRET, namespace, "openai", {"data": {"token": None}, "stringData": {"wrong": CANARY}})
    touch(plane, operator, namespace)
    becomes(plane, namespace, "ResolvedRefs", "False")
    said = [route(plane, namespace), *plane.admin.all(CONFIG_MAP, namespace), *plane.admin.all(EVENT, namespace)]
    assert CANARY not in f"{said} {operator.log()}"


def test_the_routers_own_secrets_are_looked_for(plane: Plane, operator: Operator, namespace: str) -> None:
    auth, tls = {"apiKeysSecretRef": {"name": "chat-keys"}}, {"secretRef": {"name": "chat-cert"}}
    create(plane, namespace, router={"auth": auth, "tls": tls})
    message = becomes(plane, namespace, "ResolvedRefs", "False", "SecretNotFound")
    assert 'spec.router.auth.apiKeysSecretRef: Secret "chat-keys"' in message
    put_secret(plane, namespace, "chat-keys", **{"keys.yaml": "[]", "pepper": CANARY})
    put_secret(plane, namespace, "chat-cert", **{"tls.crt": "none", "tls.key": CANARY})
    becomes(plane, namespace, "ResolvedRefs", "True", seconds=40)
    assert snapshot(plane, namespace)["auth"] == {"keysFile": "auth/keys.yaml", "pepperFile": "auth/pepper"}
    assert CANARY not in f"{route(plane, namespace)} {plane.admin.all(CONFIG_MAP, namespace)} {operator.log()}"


def test_a_service_that_comes_later_is_found(plane: Plane, operator: Operator, namespace: str) -> None:
    create(plane, namespace, backends=[BEHIND])
    assert '"legacy"' in becomes(plane, namespace, "ResolvedRefs", "False", "ServiceNotFound")
    put_service(plane, namespace, "legacy")
    becomes(plane, namespace, "ResolvedRefs", "True", seconds=20)


def test_a_new_replica_is_in_the_snapshot_at_once(plane: Plane, operator: Operator, namespace: str) -> None:
    create(plane, namespace)
    settle(plane, namespace, ROUTER | SMALL)
    publish_endpoints(plane, namespace, "chat--small", "http", "10.0.0.1", "10.0.0.2")
    both = ["10.0.0.1:8000", "10.0.0.2:8000"]
    until("both endpoints", lambda: endpoints(plane, namespace, "small") == both, seconds=20)


def test_the_replicas_of_anothers_service_are_in_the_snapshot(plane: Plane, operator: Operator, namespace: str) -> None:
    put_service(plane, namespace, "legacy")
    create(plane, namespace, backends=[BEHIND])
    settle(plane, namespace, ROUTER)
    publish_endpoints(plane, namespace, "legacy", "web", "10.0.0.9")
    until("its endpoint", lambda: endpoints(plane, namespace, "old") == ["10.0.0.9:8000"], seconds=20)


def test_router_pods_are_touched_when_the_snapshot_changes(plane: Plane, operator: Operator, namespace: str) -> None:
    create(plane, namespace)
    settle(plane, namespace, ROUTER | SMALL)
    change_snapshot(plane, namespace)
    revision = snapshot(plane, namespace)["revision"]
    until("the new revision on both", lambda: revisions(plane, namespace) == [revision] * 2)


def test_o25_a_snapshot_that_grows_is_warned_of_then_refused_and_never_written_in_part(
    plane: Plane, operator: Operator, namespace: str
) -> None:
    longest = {"systemPrompt": '"' * 32768}  # each is two bytes in the snapshot, and three more on the way
    backends = [HOSTED | {"name": f"b{n}", "parameters": longest} for n in range(15)]
    create(plane, namespace, backends=backends[:13])
    settle(plane, namespace, ROUTER)
    assert "shorten system prompts" in becomes(plane, namespace, "Accepted", "True", "SnapshotLarge")
    whole = snapshot(plane, namespace)
    assert len(whole["backends"]) == 13
    plane.admin.replace(MODEL_ROUTE, namespace, "chat", "/spec/backends", backends)
    message = becomes(plane, namespace, "Programmed", "False", "SnapshotTooLarge")
    assert f"revision {whole['revision']} stays in force" in message
    assert snapshot(plane, namespace) == whole


@pytest.fixture
def lax(plane: Plane) -> Iterator[None]:
    """An API server that takes every spec, as one with a CRD of another version may."""
    path = f"{DEFINITIONS}/{MODEL_ROUTE.plural}.{MODEL_ROUTE.group}"
    spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec"
    good = plane.admin.must("GET", path)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]

    def define(schema: dict[str, Any]) -> None:
        plane.admin.must("PATCH", path, [{"op": "replace", "path": spec, "value": schema}], "json-patch+json")

    def taken() -> bool:
        given = manifest(rules=INVALID)
        return plane.admin.ask("POST", MODEL_ROUTE.path("default"), given, dryRun="All").is_success

    define({"type": "object", "x-kubernetes-preserve-unknown-fields": True})
    until("every spec is taken", taken)
    yield
    define(good)
    until("mistakes are refused", lambda: not taken())


@pytest.mark.usefixtures("lax")
def test_o16_an_invalid_spec_that_got_in_leaves_all_as_it_was(plane: Plane, operator: Operator, namespace: str) -> None:
    create(plane, namespace)
    settle(plane, namespace, ROUTER | SMALL)
    before, failed, said = snapshot(plane, namespace), operator.failures(namespace), len(operator.log())
    plane.admin.replace(MODEL_ROUTE, namespace, "chat", "/spec", {"backends": [HOSTED], "rules": INVALID})
    message = becomes(plane, namespace, "Accepted", "False", "InvalidSpec")
    assert "spec.rules[0].when.headers" in message
    settle(plane, namespace, ROUTER | SMALL)
    touch(plane, operator, namespace)
    assert snapshot(plane, namespace) == before
    assert operator.failures(namespace) == failed
    assert "Traceback" not in operator.log()[said:]


@pytest.mark.usefixtures("lax")
def test_o16_a_successor_carries_out_the_last_good_one(plane: Plane, operator: Operator, namespace: str) -> None:
    create(plane, namespace)
    settle(plane, namespace, ROUTER | SMALL)
    plane.admin.replace(MODEL_ROUTE, namespace, "chat", "/spec", {"backends": [HOSTED], "rules": INVALID})
    becomes(plane, namespace, "Accepted", "False", "InvalidSpec")
    operator.end()
    plane.admin.delete(DEPLOYMENT, namespace, "chat--small")
    operator.start()
    until("it leads", operator.leads, 60)
    settle(plane, namespace, ROUTER | SMALL)


@pytest.mark.usefixtures("lax")
def test_o16_a_spec_that_was_mended_is_accepted(plane: Plane, operator: Operator, namespace: str) -> None:
    create(plane, namespace, rules=INVALID)
    becomes(plane, namespace, "Accepted", "False")
    plane.admin.merge(MODEL_ROUTE, namespace, "chat", {"spec": {"rules": None}})
    becomes(plane, namespace, "Accepted", "True")
    settle(plane, namespace, ROUTER | SMALL)


def test_a_status_written_by_others_is_put_right(plane: Plane, operator: Operator, namespace: str) -> None:
    create(plane, namespace)
    settle(plane, namespace, ROUTER | SMALL)
    plane.admin.merge(MODEL_ROUTE, namespace, "chat", {"status": {"readyBackends": "9/9"}}, "status")
    until("what is seen", lambda: route(plane, namespace)["status"]["readyBackends"] == "1/2")


def test_what_goes_wrong_is_told_as_an_event(plane: Plane, operator: Operator, namespace: str) -> None:
    made = create(plane, namespace, backends=[KEYED])

    def told() -> set[tuple[str, str]]:
        events = plane.admin.all(EVENT, namespace)
        return {(e["type"], e["reason"]) for e in events if e["regarding"].get("uid") == made["metadata"]["uid"]}

    until("the event", lambda: ("Warning", "SecretNotFound") in told())


def say_of_pods(plane: Plane, namespace: str, ready: bool, **state: Any) -> None:
    """What a kubelet would say of the containers of the backend's pods."""
    told = {"name": "vllm", "image": "vllm:none", "imageID": "", "restartCount": 3, "ready": ready, **state}
    for pod in until("a pod", lambda: plane.admin.all(POD, namespace, "app.kubernetes.io/component=backend")):
        status = {"status": {"phase": "Pending", "containerStatuses": [told]}}
        plane.admin.merge(POD, namespace, pod["metadata"]["name"], status, "status")


def message(plane: Plane, namespace: str) -> str:
    """The sentence about the backend."""
    told: str = route(plane, namespace)["status"]["backends"][0]["message"]
    return told


def test_o20_an_image_that_cannot_be_pulled_is_named(plane: Plane, operator: Operator, namespace: str) -> None:
    create(plane, namespace)
    settle(plane, namespace, ROUTER | SMALL)
    say_of_pods(plane, namespace, ready=False, state={"waiting": {"reason": "ImagePullBackOff"}})
    until("the image in the status", lambda: 'image "vllm:none" cannot be pulled' in message(plane, namespace))


def test_o20_a_crash_loop_is_told_once_and_then_written_no_more(
    plane: Plane, operator: Operator, namespace: str
) -> None:
    create(plane, namespace)
    settle(plane, namespace, ROUTER | SMALL)
    ended = {"terminated": {"reason": "Error", "exitCode": 1}}
    say_of_pods(plane, namespace, ready=False, state=ended)
    until("the exit code in the status", lambda: "exit code 1" in message(plane, namespace))
    until("its Event", lambda: any("exit code 1" in e.get("note", "") for e in plane.admin.all(EVENT, namespace)))
    until("that of the routers", lambda: condition(plane, namespace, "Programmed")["reason"] == "RoutersFailing")
    touch(plane, operator, namespace)
    mark = at_rest(plane, namespace)
    say_of_pods(plane, namespace, ready=False, state={"waiting": {"reason": "CrashLoopBackOff"}}, lastState=ended)
    say_of_pods(plane, namespace, ready=False, state={"running": {}}, lastState=ended)
    touch(plane, operator, namespace)
    assert plane.writes(mark, namespace) == []
