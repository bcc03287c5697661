"""Which rights a change takes: those for what is newly named, or goes to another place than before."""

from typing import Any

import pytest

from modelroute.planning.admission.exposure import Right, needed
from tests.fakes import world
from tests.fakes.manifests import HOSTED, VLLM

PATH = "spec.backends[0].external.apiKeySecretRef"


def keyed(url: str = "https://api.example.com/v1", **ref: str) -> dict[str, Any]:
    return {"name": "big", "external": {"baseURL": url, "apiKeySecretRef": {"name": "openai", **ref}}}


def change(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> tuple[Right, ...]:
    return needed(world.route(backends=before), world.route(backends=after))


def test_of_a_new_route_every_secret_is_let_out() -> None:
    router = {"auth": {"apiKeysSecretRef": {"name": "keys"}}, "tls": {"secretRef": {"name": "cert"}}}
    assert needed(None, world.route(backends=[keyed()], router=router)) == (
        Right(PATH, "get", "secrets", "openai"),
        Right("spec.router.auth.apiKeysSecretRef", "get", "secrets", "keys"),
        Right("spec.router.tls.secretRef", "get", "secrets", "cert"),
    )


@pytest.mark.parametrize("asked", [{"type": "LoadBalancer"}, {"type": "NodePort", "nodePort": 30081}])
def test_sec_a_door_to_the_outside_is_for_who_may_make_services(asked: dict[str, Any]) -> None:
    before = world.route(backends=[HOSTED], router={"service": {"type": "NodePort", "nodePort": 30080}})
    after = world.route(backends=[HOSTED], router={"service": asked})
    assert needed(before, after) == (Right("spec.router.service.type", "create", "services"),)


def test_a_door_that_stays_or_is_shut_takes_nothing() -> None:
    inside, outside = (
        world.route(backends=[HOSTED], router={"service": {"type": t}}) for t in ("ClusterIP", "NodePort")
    )
    assert (needed(outside, outside), needed(outside, inside)) == ((), ())


def test_a_secret_that_two_fields_name_is_asked_of_once() -> None:
    twice = world.route(backends=[keyed(), keyed() | {"name": "other"}])
    assert needed(None, twice) == (Right(PATH, "get", "secrets", "openai"),)


@pytest.mark.parametrize(
    "after",
    [keyed("https://evil.example/v1"), keyed("https://api.example.com/v2"), keyed(key="admin"), keyed(name="other")],
    ids=["another host", "another path", "another key", "another Secret"],
)
def test_what_goes_elsewhere_is_let_out(after: dict[str, Any]) -> None:
    assert [e.path for e in change([keyed()], [after])] == [PATH]


@pytest.mark.parametrize(
    "after",
    [[keyed()], [keyed() | {"weight": 7}], [keyed() | {"name": "renamed"}], [HOSTED, keyed() | {"name": "second"}]],
    ids=["nothing", "a weight", "a name", "its place"],
)
def test_what_goes_where_it_went_is_not(after: list[dict[str, Any]]) -> None:
    assert change([keyed()], after) == ()


def test_what_is_taken_away_lets_nothing_out() -> None:
    assert change([keyed()], [VLLM]) == ()


TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"app": "payments"}},
    "spec": {
        "priorityClassName": "first",
        "volumes": [
            {"name": "a", "secret": {"secretName": "files"}},
            {"name": "b", "configMap": {"name": "texts"}},
            {"name": "c", "persistentVolumeClaim": {"claimName": "data"}},
            {"name": "d", "projected": {"sources": [{"secret": {"name": "ps"}}, {"configMap": {"name": "pc"}}]}},
        ],
        "containers": [
            {
                "name": "vllm",
                "env": [
                    {"name": "A", "valueFrom": {"secretKeyRef": {"name": "token", "key": "t"}}},
                    {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "one", "key": "k"}}},
                ],
                "envFrom": [{"secretRef": {"name": "all"}}, {"configMapRef": {"name": "many"}}],
            }
        ],
    },
}
NODES = {"labels": "x", "secret": "x", "imagePullSecrets": "x"}
LABELLED = {"metadata": {"labels": {"app": "payments"}}}
AT = "spec.backends[0].vllm"
TOKEN = {"hubTokenSecretRef": {"name": "hub"}}
DATA = {"spec": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}}


def running(**vllm: Any) -> dict[str, Any]:
    return {"name": "small", "vllm": {"model": "org/m", "image": "vllm:1", **vllm}}


def paths(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What a change of a backend asks about."""
    return [right.path for right in change([before], [after])]


class TestPrograms:
    """What a vllm backend names is seen by the program that its image, weights, arguments and cache make."""

    @pytest.mark.parametrize(
        "change",
        [
            {"image": "evil"},
            {"model": "evil"},
            {"args": ["--trust-remote-code"]},
            {"loraAdapters": [{"name": "a", "source": "evil/a"}]},
            {"modelCache": {"size": "1Gi"}},
            {"template": {"spec": {"containers": [{"name": "vllm", "command": ["sh"]}]}}},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_sec_another_program_is_another_place(self, change: dict[str, Any]) -> None:
        assert paths(running(**TOKEN), running(**TOKEN, **change)) == [f"{AT}.hubTokenSecretRef"]

    def test_sec_a_cache_that_was_filled_beforehand_is_another_program(self) -> None:
        found = paths(running(**TOKEN), running(**TOKEN, modelCache={"claimName": "filled"}))
        assert found == [f"{AT}.modelCache.claimName", f"{AT}.hubTokenSecretRef"]

    @pytest.mark.parametrize("change", [{"name": "other"}, {"scaling": {"idle": {"action": "Sleep"}}}], ids=str)
    def test_sec_what_else_of_a_backend_is_another_program(self, change: dict[str, Any]) -> None:
        """By its name it finds its cache; with paths for sleep come some that call into the engine."""
        before = running(**TOKEN)
        assert paths(before, before | change) == [f"{AT}.hubTokenSecretRef"]

    @pytest.mark.parametrize(
        "change",
        [{"gpus": 2}, {"startupTimeout": "1h"}, {"nodeSelector": NODES}, {"template": {"metadata": {}}}],
        ids=lambda change: next(iter(change)),
    )
    def test_more_of_the_same_is_not(self, change: dict[str, Any]) -> None:
        assert paths(running(**TOKEN), running(**TOKEN, **change)) == []

    def test_sec_what_a_template_takes_from_others_is_found(self) -> None:
        found = {right[1:] for right in change([running()], [running(template=TEMPLATE)])}
        secrets = {("get", "secrets", name) for name in ("files", "ps", "token", "all")}
        maps = {("get", "configmaps", name) for name in ("texts", "pc", "one", "many")}
        assert found == secrets | maps | {("create", "pods", "")}


class TestPods:
    """What is for those who may make pods."""

    @pytest.mark.parametrize(
        ("fields", "path"),
        [
            ({"template": LABELLED}, ".template.metadata.labels.app"),
            ({"template": {"spec": {"priorityClassName": "first"}}}, ".template.spec.priorityClassName"),
            ({"template": DATA}, ".template.spec.volumes[0].persistentVolumeClaim.claimName"),
            ({"modelCache": {"claimName": "data"}}, ".modelCache.claimName"),
        ],
        ids=["a label", "a priority", "a volume", "a cache"],
    )
    def test_sec_it_is_asked_about_with_its_path(self, fields: dict[str, Any], path: str) -> None:
        assert change([running()], [running(**fields)]) == (Right(AT + path, "create", "pods"),)

    @pytest.mark.parametrize(
        ("labels", "label"), [({"app": "backend"}, "app"), ({"app": "payments", "tier": "db"}, "tier")], ids=str
    )
    def test_sec_of_labels_the_one_that_changes_is_asked_about(self, labels: dict[str, str], label: str) -> None:
        found = paths(running(template=LABELLED), running(template={"metadata": {"labels": labels}}))
        assert found == [f"{AT}.template.metadata.labels.{label}"]

    def test_sec_another_program_under_a_label_is_asked_about(self) -> None:
        found = paths(running(template=LABELLED), running(template=LABELLED, image="evil"))
        assert found == [f"{AT}.template.metadata.labels.app"]

    def test_sec_an_address_that_keda_asks_is_asked_about(self) -> None:
        scaling = {"engine": "KEDA", "serverAddress": "http://victim.other.svc:9000"}
        asked = (Right("spec.backends[0].scaling.serverAddress", "create", "pods"),)
        assert change([running()], [running() | {"scaling": scaling}]) == asked

    def test_a_key_of_the_users_is_no_field(self) -> None:
        assert change([running()], [running(nodeSelector={"claimName": "x"})]) == ()

    def test_what_stays_is_not(self) -> None:
        before = running(template=LABELLED, modelCache={"claimName": "data"})
        assert paths(before, before | {"weight": 7}) == []

    def test_a_cache_of_its_own_and_a_bare_template_are_nobody_elses(self) -> None:
        spec = {"containers": [{"name": "logs", "image": "logs:1"}], "volumes": [{"name": "v", "emptyDir": {}}]}
        assert paths(running(), running(modelCache={"size": "1Gi"}, template={"spec": spec})) == []
