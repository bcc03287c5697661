"""What a replica is given beyond the plain one: devices, nodes, a token, adapters, sleep, and a gate."""

from typing import Any

import pytest

from modelroute.planning.observed import KubeObject
from tests.fakes import world
from tests.fakes.manifests import VLLM

ADAPTERS = [{"name": "sql", "source": "org/sql"}, {"name": "fr", "source": "/cache/fr"}]


def pod(*, scaling: dict[str, Any] | None = None, **vllm: Any) -> KubeObject:
    asked = world.of_vllm(scaling=scaling, **vllm)
    found = world.made(asked, "Deployment", "chat--small")["spec"]["template"]["spec"]
    assert isinstance(found, dict)
    return found


def container(**given: Any) -> KubeObject:
    found = pod(**given)["containers"][0]
    assert isinstance(found, dict)
    return found


def variables(**given: Any) -> dict[str, Any]:
    return {e["name"]: e.get("value", e.get("valueFrom")) for e in container(**given)["env"]}


class TestDevices:
    def test_another_makers_are_asked_for_by_their_name(self) -> None:
        assert container(gpus=2, gpuResource="amd.com/gpu")["resources"]["limits"] == {"amd.com/gpu": "2"}

    def test_their_nodes_are_open_to_it_and_so_are_others_that_it_names(self) -> None:
        spot = {"key": "spot", "operator": "Equal", "value": "true", "effect": "NoExecute", "tolerationSeconds": 9}
        found = pod(gpuResource="amd.com/gpu", tolerations=[spot])["tolerations"]
        assert found == [{"key": "amd.com/gpu", "operator": "Exists", "effect": "NoSchedule"}, spot]

    @pytest.mark.parametrize(
        ("gpus", "shards", "flag"), [(4, 2, "=2"), (4, 1, ""), (0, 2, "=2"), (4, None, "=4"), (1, None, "")]
    )
    def test_a_layer_is_split_as_was_said(self, gpus: int, shards: int | None, flag: str) -> None:
        given = {"gpus": gpus} if shards is None else {"gpus": gpus, "tensorParallel": shards}
        found = [a for a in container(**given)["args"] if "tensor-parallel" in a]
        assert found == ([f"--tensor-parallel-size{flag}"] if flag else [])


class TestNodes:
    def test_they_are_picked_by_their_labels(self) -> None:
        assert pod(nodeSelector={"gpu": "h100"})["nodeSelector"] == {"gpu": "h100"}

    def test_the_image_is_pulled_by_these_secrets(self) -> None:
        assert pod(imagePullSecrets=[{"name": "a"}])["imagePullSecrets"] == [{"name": "a"}]


def test_the_token_is_read_by_the_pod_and_nobody_else() -> None:
    token = {"secretKeyRef": {"name": "hub", "key": "token"}}
    assert variables(hubTokenSecretRef={"name": "hub", "key": "token"})["HF_TOKEN"] == token


def test_without_a_token_there_is_none() -> None:
    assert "HF_TOKEN" not in variables()


class TestAdapters:
    def args(self, model: str | None) -> list[str]:
        backend = VLLM | ({"model": model} if model else {}) | {"vllm": {"model": "org/m", "loraAdapters": ADAPTERS}}
        found = world.made(world.route(backends=[backend]), "Deployment", "chat--small")
        args = world.container(found)["args"]
        assert isinstance(args, list)
        return args

    def test_they_are_loaded_with_the_model(self) -> None:
        assert self.args(None)[4:] == ["--lora-modules", "sql=org/sql", "fr=/cache/fr", "--enable-lora"]

    @pytest.mark.parametrize(("model", "served"), [("sql", "small"), ("base", "base"), (None, "small")])
    def test_an_adapters_name_is_never_the_models_own(self, model: str | None, served: str) -> None:
        assert f"--served-model-name={served}" in self.args(model)

    def test_a_backend_that_asks_for_one_says_so_to_the_routers(self) -> None:
        backend = VLLM | {"model": "sql", "vllm": {"model": "org/m", "loraAdapters": ADAPTERS}}
        assert world.planned(world.route(backends=[backend])).snapshot.backends[0].model == "sql"


class TestSleep:
    def test_what_may_sleep_can(self) -> None:
        sleepy = {"idle": {"action": "Sleep"}}
        assert variables(scaling=sleepy)["VLLM_SERVER_DEV_MODE"] == "1"
        assert "--enable-sleep-mode" in container(scaling=sleepy)["args"]
        assert "--enable-sleep-mode" not in container(scaling=sleepy, gpus=0)["args"]  # which refuses it

    @pytest.mark.parametrize("action", ["None", "ScaleToZero"])
    def test_others_have_no_paths_of_development(self, action: str) -> None:
        awake = {"idle": {"action": action}}
        assert "VLLM_SERVER_DEV_MODE" not in variables(scaling=awake)
        assert "--enable-sleep-mode" not in container(scaling=awake)["args"]


class TestGate:
    def gates(self, **warmup: Any) -> Any:
        asked = world.route(backends=[VLLM | {"warmup": warmup}])
        return world.made(asked, "Deployment", "chat--small")["spec"]["template"]["spec"].get("readinessGates")

    def test_a_replica_is_not_ready_before_its_first_answer(self) -> None:
        assert self.gates() == [{"conditionType": "modelroute.dev/warm"}]

    def test_unless_nobody_wants_that(self) -> None:
        assert self.gates(readinessGate=False) is None
