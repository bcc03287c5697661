"""What the webhooks answer to whom: good reviews, bad bytes, users who may not, an API server that is slow."""

import asyncio
import base64
import io
import json
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from modelroute.controller.kube.calls import ApiError, Call
from modelroute.controller.kube.kinds import ACCESS_REVIEW, MODEL_ROUTE, Kind
from modelroute.controller.webhooks import server
from modelroute.controller.webhooks.admission import Admission
from modelroute.planning.settings import Settings
from tests.fakes.kube import FakeCluster, KubeObject
from tests.fakes.manifests import HOSTED, manifest

KEYED = {"name": "big", "external": {"baseURL": "https://a.example/v1", "apiKeySecretRef": {"name": "openai"}}}
DEV = {"username": "dev", "groups": ["team-a"], "extra": {"scopes": ["a"]}}


class Kube(FakeCluster):
    """Knows what the user may: read a Secret by its name, or do something with any of a resource."""

    def __init__(self, *granted: str) -> None:
        super().__init__()
        self.granted = granted
        self.asked: list[KubeObject] = []
        self.slow = False

    async def create(self, kind: Kind, desired: KubeObject) -> KubeObject:
        self._check("create", kind, "")
        if self.slow:
            await asyncio.sleep(60)
        self.asked.append(desired["spec"])
        asked = desired["spec"]["resourceAttributes"]
        return {"status": {"allowed": (asked["name"] or asked["resource"]) in self.granted}}


def review(seen: Any, old: Any = None, kind: str = "ModelRoute", **more: Any) -> dict[str, Any]:
    request = {"uid": "u-1", "kind": {"group": "g", "version": "v", "kind": kind}, "operation": "CREATE"}
    request |= {"namespace": "team-a", "userInfo": DEV, "object": seen, "oldObject": old, **more}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


def post(body: bytes, cluster: Kube | None = None, path: str = server.VALIDATE) -> tuple[int, str]:
    """Status and text of an answer."""

    async def ask() -> tuple[int, str]:
        app = server.application(Admission(cluster or Kube(), Settings("modelroute/router:test")))
        async with TestClient(TestServer(app)) as client, client.post(path, data=io.BytesIO(body)) as answer:
            return answer.status, await answer.text()

    return asyncio.run(ask())


def answered(given: dict[str, Any], cluster: Kube | None = None, path: str = server.VALIDATE) -> dict[str, Any]:
    status, text = post(json.dumps(given).encode(), cluster, path)
    assert status == 200, text
    response: dict[str, Any] = json.loads(text)["response"]
    return response


def route(**spec: Any) -> dict[str, Any]:
    return manifest(namespace="team-a", **spec)


class TestValidate:
    def test_what_is_right_passes(self) -> None:
        assert answered(review(route(backends=[HOSTED]))) == {"uid": "u-1", "allowed": True}

    def test_what_is_wrong_is_refused_with_its_path(self) -> None:
        found = answered(review(route(canary={"backend": "x"})))
        assert (found["allowed"], found["status"]["code"], found["status"]["reason"]) == (False, 422, "Invalid")
        assert found["status"]["message"].startswith('spec.canary.backend: "x" is not a backend')

    def test_what_is_risky_passes_with_a_warning(self) -> None:
        found = answered(review(route(backends=[HOSTED], canary={"backend": "big"})))
        assert found["allowed"] is True
        assert [w.split(":")[0] for w in found["warnings"]] == ["spec.canary"]


class TestSecrets:
    def test_sec_the_user_is_asked_about_as_they_are(self) -> None:
        cluster = Kube("openai")
        assert answered(review(route(backends=[KEYED])), cluster)["allowed"] is True
        [spec] = cluster.asked
        assert (spec["user"], spec["groups"], spec["extra"]) == ("dev", ["team-a"], {"scopes": ["a"]})
        resource = {"namespace": "team-a", "verb": "get", "resource": "secrets", "name": "openai"}
        assert spec["resourceAttributes"] == resource

    def test_sec_who_may_not_read_it_is_told_the_field(self) -> None:
        found = answered(review(route(backends=[KEYED])), Kube())
        assert (found["allowed"], found["status"]["code"]) == (False, 403)
        assert found["status"]["message"].startswith(
            'spec.backends[0].external.apiKeySecretRef: you may not read Secret "openai" of namespace team-a'
        )

    def test_sec_a_label_of_others_pods_is_for_who_may_make_pods(self) -> None:
        labelled = {"name": "small", "vllm": {"model": "m", "template": {"metadata": {"labels": {"app": "payments"}}}}}
        cluster = Kube("pods")
        assert answered(review(route(backends=[labelled])), cluster)["allowed"] is True
        resource = {"namespace": "team-a", "verb": "create", "resource": "pods", "name": ""}
        assert cluster.asked[0]["resourceAttributes"] == resource
        found = answered(review(route(backends=[labelled])), Kube())["status"]
        assert found["code"] == 403
        assert found["message"] == (
            "spec.backends[0].vllm.template.metadata.labels.app: you may not create pods in namespace team-a, "
            "and this is for those who may; have someone apply it who may"
        )

    def test_sec_more_than_can_be_asked_about_in_time_is_refused(self) -> None:
        variables = [{"configMapRef": {"name": f"m{i}"}} for i in range(101)]
        template = {"spec": {"containers": [{"name": "vllm", "envFrom": variables}]}}
        cluster = Kube()
        found = answered(review(route(backends=[{"name": "a", "vllm": {"model": "m", "template": template}}])), cluster)
        assert "this takes 101 rights of yours, and 100 at most" in found["status"]["message"]
        assert cluster.asked == []

    def test_sec_nobody_is_asked_about_what_stays_as_it_was(self) -> None:
        cluster = Kube()
        assert answered(review(route(backends=[KEYED]), route(backends=[KEYED])), cluster)["allowed"] is True
        assert cluster.asked == []

    def test_sec_beside_something_that_cannot_be_read_all_is_new(self) -> None:
        cluster = Kube("openai")
        answered(review(route(backends=[KEYED]), {"kind": "ModelRoute"}), cluster)
        assert len(cluster.asked) == 1

    def test_sec_when_it_cannot_be_asked_nothing_is_kept(self) -> None:
        cluster = Kube("openai")
        cluster.refuse["create", "SubjectAccessReview/"] = ApiError(Call("create", ACCESS_REVIEW, None), 0, "down")
        found = answered(review(route(backends=[KEYED])), cluster)
        assert (found["allowed"], found["status"]["code"]) == (False, 504)

    def test_an_answer_comes_while_it_is_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(server, "ANSWER_SECONDS", 0.01)
        cluster = Kube("openai")
        cluster.slow = True
        found = answered(review(route(backends=[KEYED])), cluster)
        assert (found["allowed"], found["status"]["code"]) == (False, 504)


def pod(asks_for: str = "chat") -> dict[str, Any]:
    meta = {"name": "shop", "labels": {"modelroute.dev/sidecar": asks_for}}
    return review({"metadata": meta, "spec": {"containers": [{"name": "shop"}]}}, kind="Pod")


class TestInject:
    def cluster(self, **spec: Any) -> Kube:
        found = Kube()
        found.keep(MODEL_ROUTE, route(backends=[HOSTED], **spec))
        return found

    def test_the_router_is_put_in(self) -> None:
        found = answered(pod(), self.cluster(router={"mode": "Sidecar"}), server.INJECT)
        assert (found["allowed"], found["patchType"]) == (True, "JSONPatch")
        paths = [change["path"] for change in json.loads(base64.b64decode(found["patch"]))]
        assert "/spec/initContainers" in paths

    def test_a_route_of_another_mode_puts_nothing_in(self) -> None:
        found = answered(pod(), self.cluster(), server.INJECT)
        assert (found["allowed"], found["status"]["code"]) == (False, 422)

    @pytest.mark.parametrize("name", ["other", "../secrets/openai", "", "A", "a" * 41])
    def test_a_route_that_is_not_there_is_named(self, name: str) -> None:
        found = answered(pod(name), self.cluster(router={"mode": "Sidecar"}), server.INJECT)
        assert f'ModelRoute "{name}" is not in namespace team-a' in found["status"]["message"]

    def test_no_name_that_is_none_is_looked_up(self) -> None:
        cluster = self.cluster()
        cluster.deny("get", MODEL_ROUTE, "../secrets/openai", 500)
        assert answered(pod("../secrets/openai"), cluster, server.INJECT)["status"]["code"] == 422

    def test_a_route_that_is_not_valid_is_named(self) -> None:
        cluster = Kube()
        cluster.keep(MODEL_ROUTE, route(canary={"backend": "x"}))
        found = answered(pod(), cluster, server.INJECT)
        assert 'ModelRoute "chat" is not valid: spec.canary.backend' in found["status"]["message"]

    def test_when_it_cannot_be_looked_up_the_pod_waits(self) -> None:
        cluster = self.cluster()
        cluster.deny("get", MODEL_ROUTE, "chat", 0)
        assert answered(pod(), cluster, server.INJECT)["status"]["code"] == 504


WHOLE = review(route(backends=[HOSTED]))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"[" * 100_000,
        b'{"request":' * 100_000,
        json.dumps(WHOLE | {"kind": "Pod"}).encode(),
        json.dumps(WHOLE | {"apiVersion": "admission.k8s.io/v1beta1"}).encode(),
        json.dumps(WHOLE | {"request": None}).encode(),
        json.dumps(review({"metadata": {}}, kind="Pod")).encode(),
        json.dumps(review(None)).encode(),
        json.dumps(review([])).encode(),
        json.dumps(review({}, operation="SING")).encode(),
        json.dumps(review({}, userInfo={"groups": 1})).encode(),
    ],
    ids=range(15),
)
def test_sec_what_is_no_review_is_a_400(body: bytes) -> None:
    status, text = post(body)
    assert (status, len(text) < 500) == (400, True)


@pytest.mark.parametrize("given", [{}, {"metadata": None}, {"metadata": {"labels": 1}}, {"metadata": {}, "spec": 1}])
def test_a_pod_that_lacks_its_parts_is_no_crash(given: Any) -> None:
    cluster = TestInject().cluster(router={"mode": "Sidecar"})
    if given.get("metadata") == {}:
        given = given | {"metadata": {"labels": {"modelroute.dev/sidecar": "chat"}}}
    assert post(json.dumps(review(given, kind="Pod")).encode(), cluster, server.INJECT)[0] == 400


@pytest.mark.parametrize("seen", [{"spec": []}, {"metadata": 1}, {}, route(backends=1)], ids=range(4))
def test_a_route_that_lacks_its_parts_is_refused(seen: Any) -> None:
    assert answered(review(seen))["status"]["code"] == 422


def test_sec_three_mebibytes_are_a_413() -> None:
    large = json.dumps(review(route(backends=[HOSTED], models=["x" * 3 * 2**20]))).encode()
    assert post(large)[0] == 413


def test_no_other_way_of_asking_is_known() -> None:
    assert post(b"{}", path="/")[0] == 404
