"""A manifest becomes a ModelRoute, or one error that names the field."""

from typing import Any

import msgspec
import pytest

from modelroute.api import types as t
from modelroute.api.parse import parse
from modelroute.errors import InvalidManifestError
from tests.fakes import deploying, timely
from tests.fakes.manifests import GOOD, MISTAKES, Mistake, hosted, manifest

WRONG = MISTAKES | timely.MISTAKES | deploying.MISTAKES | deploying.HIDDEN
RIGHT = GOOD | timely.GOOD | deploying.GOOD


@pytest.mark.parametrize("mistake", WRONG.values(), ids=WRONG.keys())
def test_a_mistake_is_named_with_its_path(mistake: Mistake) -> None:
    with pytest.raises(InvalidManifestError) as refused:
        parse(manifest(**mistake.spec))
    assert refused.value.path == mistake.path
    assert mistake.says in refused.value.problem


@pytest.mark.parametrize("spec", RIGHT.values(), ids=RIGHT.keys())
def test_what_is_right_is_taken(spec: dict[str, Any]) -> None:
    assert parse(manifest(**spec)).metadata.name == "chat"


@pytest.mark.parametrize("name", ["Chat", "a" * 41, "a.b", "1a", "a\n", ""])
def test_a_name_that_children_cannot_bear_is_refused(name: str) -> None:
    with pytest.raises(InvalidManifestError, match=r"metadata\.name: .* at most 40 characters"):
        parse(manifest(name))


@pytest.mark.parametrize("other", [[], None, "text", 3])
def test_what_is_no_mapping_is_refused(other: object) -> None:
    with pytest.raises(
        InvalidManifestError, match=r"manifest: this is not a mapping; expected modelroute\.dev/v1alpha1"
    ):
        parse(other)


def test_another_kind_is_named() -> None:
    with pytest.raises(
        InvalidManifestError, match=r"apiVersion: this is a v1 Pod; expected modelroute\.dev/v1alpha1 Model"
    ):
        parse({"apiVersion": "v1", "kind": "Pod"})


def test_a_manifest_without_a_spec_is_refused() -> None:
    with pytest.raises(InvalidManifestError, match='manifest: missing required field "spec"'):
        parse({k: v for k, v in manifest().items() if k != "spec"})


def test_a_key_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidManifestError, match=r"spec\.1: expected a string"):
        parse(manifest() | {"spec": {1: "x"}})


def test_a_url_is_not_repeated_since_it_may_hold_a_password() -> None:
    with pytest.raises(InvalidManifestError) as refused:
        parse(manifest(**hosted("https://user:hunter2@api.example.com/v1")))
    assert "hunter2" not in str(refused.value)


def test_loopback_is_for_a_router_without_a_cluster() -> None:
    spec = hosted("http://127.0.0.1:9001/v1")
    assert parse(manifest(**spec), allow_loopback=True).spec.backends[0].external
    with pytest.raises(InvalidManifestError):
        parse(manifest(**spec))


@pytest.mark.parametrize("url", ["http://api.example.com/v1", "http://169.254.169.254/v1", "http://0.0.0.0/v1"])
def test_without_a_cluster_too_nothing_but_loopback_is_let_through(url: str) -> None:
    with pytest.raises(InvalidManifestError):
        parse(manifest(**hosted(url)), allow_loopback=True)


def test_a_status_is_not_read() -> None:
    assert parse(manifest() | {"status": {"conditions": "any thing"}}).status is None


def test_other_metadata_is_kubernetes_own() -> None:
    given = manifest()
    given["metadata"] |= {"uid": "u", "generation": 3, "labels": {"a": "b"}, "managedFields": [{}]}
    assert parse(given).metadata == t.Metadata(name="chat", namespace="default", uid="u", generation=3)


def test_defaults_suit_a_newcomer() -> None:
    backend = parse(manifest()).backend("small")
    assert (backend.weight, backend.scaling.min_replicas, backend.timeouts.connect) == (1, 1, "1s")
    assert backend.vllm
    assert (backend.vllm.gpus, backend.vllm.shared_memory, backend.vllm.startup_timeout) == (1, "2Gi", "20m")


@pytest.mark.parametrize(
    ("kind", "asked", "policy"),
    [
        ({"vllm": {"model": "m"}}, {}, "Internal"),
        ({"targetRef": {"name": "svc", "port": 80}}, {}, "Internal"),
        (hosted("https://a.example")["backends"][0], {}, "External"),
        (hosted("https://a.example")["backends"][0], {"dataPolicy": "Internal"}, "Internal"),
        ({"vllm": {"model": "m"}}, {"dataPolicy": "External"}, "External"),
    ],
)
def test_what_leaves_the_house_is_external_unless_told_otherwise(kind: Any, asked: Any, policy: str) -> None:
    [backend] = parse(manifest(backends=[kind | asked | {"name": "a"}])).spec.backends
    assert backend.policy == policy


@pytest.mark.parametrize(
    ("router", "address"),
    [
        ({}, ("http", 80)),
        ({"tls": {"secretRef": {"name": "cert"}}}, ("https", 443)),
        ({"tls": {"secretRef": {"name": "cert"}}, "service": {"port": 80}}, ("https", 80)),
    ],
)
def test_the_services_port_follows_the_protocol_unless_told_otherwise(router: Any, address: tuple[str, int]) -> None:
    found = parse(manifest(router=router)).spec.router
    assert (found.scheme, found.port) == address


def test_clients_may_ask_for_the_routes_own_name_unless_told_otherwise() -> None:
    assert parse(manifest()).models == ("chat",)
    assert parse(manifest(models=["gpt", "small"])).models == ("gpt", "small")


def test_a_backend_that_is_not_there_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="bigg"):
        parse(manifest()).backend("bigg")


def test_types_are_looked_at_once_and_not_for_each_manifest(monkeypatch: pytest.MonkeyPatch) -> None:
    parse(manifest())
    monkeypatch.setattr(msgspec.structs, "fields", None)
    assert parse(manifest()).metadata.name == "chat"
