"""What the API server keeps of a ModelRoute: all that was given, and no less after an upgrade of the definition."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelroute.controller.kube.kinds import MODEL_ROUTE
from tests.controlplane.plane import DEFINITIONS, ROOT, Operator, Plane, until
from tests.controlplane.routes import create
from tests.fakes import deploying, timely
from tests.fakes.manifests import GOOD, VLLM, manifest

DEFINITION = f"{DEFINITIONS}/{MODEL_ROUTE.plural}.{MODEL_ROUTE.group}"
PREVIOUS = Path(__file__).parents[1] / "golden/previous/crd.yaml"
PATCH, STRICT = "json-patch+json", {"fieldValidation": "Strict"}
RIGHT = GOOD | timely.GOOD | deploying.GOOD


def lost(given: Any, kept: Any, path: str = "") -> list[str]:
    """Where ``kept`` has another value than was given; it may have more, such as defaults."""
    if isinstance(given, dict) and isinstance(kept, dict):
        return [where for key, value in given.items() for where in lost(value, kept.get(key), f"{path}.{key}")]
    if isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        return [where for i, value in enumerate(given) for where in lost(value, kept[i], f"{path}[{i}]")]
    return [] if given == kept else [path]


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize("spec", RIGHT.values(), ids=RIGHT.keys())
def test_o27_what_is_kept_is_what_was_given(plane: Plane, spec: dict[str, Any]) -> None:
    path, given = MODEL_ROUTE.path("default", "chat"), manifest(namespace="default", **spec)
    try:
        plane.admin.must("POST", MODEL_ROUTE.path("default"), given, **STRICT)
        kept = plane.admin.must("GET", path)
        assert lost(given, kept) == []
        again = plane.admin.must("PUT", path, kept)
        assert (again["spec"], again["metadata"]["generation"]) == (kept["spec"], 1)
    finally:
        plane.admin.ask("DELETE", path)


@pytest.mark.parametrize(
    ("spec", "field"),
    [({"later": 1}, "spec.later"), ({"backends": [VLLM | {"later": {"a": 1}}]}, "spec.backends[0].later")],
    ids=["of the spec", "of a backend"],
)
def test_o27_a_field_that_is_not_known_is_reported(plane: Plane, spec: dict[str, Any], field: str) -> None:
    path, given = MODEL_ROUTE.path("default"), manifest(**spec)
    warned = plane.admin.ask("POST", path, given, dryRun="All", fieldValidation="Warn")
    assert warned.is_success
    assert f'unknown field "{field}"' in warned.headers["warning"].replace("\\", "")
    assert "later" not in str(warned.json()["spec"])
    refused = plane.admin.ask("POST", path, given, dryRun="All", **STRICT)
    assert (refused.status_code, f'unknown field "{field}"' in refused.json()["message"]) == (400, True)


def define(plane: Plane, file: Path) -> None:
    """Have this definition in force, as `kubectl replace` does."""
    versions = yaml.safe_load(file.read_text())["spec"]["versions"]
    plane.admin.must("PATCH", DEFINITION, [{"op": "replace", "path": "/spec/versions", "value": versions}], PATCH)
    new = "schedules" in versions[0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]

    def known() -> bool:
        answer = plane.admin.ask("POST", MODEL_ROUTE.path("default"), manifest(schedules=1), dryRun="All", **STRICT)
        return "unknown field" not in answer.text

    until("it is in force", lambda: known() is new)


@pytest.fixture
def before(plane: Plane, running: Operator, nobody: None) -> Iterator[Operator]:
    """The definition of before, and an operator that does not run yet."""
    define(plane, PREVIOUS)
    yield running
    if running.running():
        running.end()
    define(plane, next((ROOT / "crds").glob("*.yaml")))


def test_o26_what_was_stored_before_an_upgrade_is_valid_after_it(plane: Plane, before: Operator) -> None:
    namespaces: dict[str, str] = {}
    for name, spec in RIGHT.items():
        path, given = MODEL_ROUTE.path("default"), manifest(**spec)
        if plane.admin.ask("POST", path, given, dryRun="All", **STRICT).is_success:
            namespaces[name] = plane.namespace()
            create(plane, namespaces[name], **spec)
    assert len(namespaces) > len(GOOD) / 2, "else there is little to be read"
    define(plane, next((ROOT / "crds").glob("*.yaml")))
    for name, namespace in namespaces.items():
        path = MODEL_ROUTE.path(namespace, "chat")
        kept = plane.admin.must("GET", path)
        assert lost(manifest(namespace=namespace, **RIGHT[name]), kept) == [], name
        assert plane.admin.must("PUT", path, kept)["metadata"]["generation"] == 1, name
    before.start()
    until("it leads", before.leads, 60)
    for name, namespace in namespaces.items():
        until(f"{name} is told of", partial(accepted, plane, namespace), seconds=60)
    assert [name for name, namespace in namespaces.items() if accepted(plane, namespace) != "True"] == []
    for namespace in namespaces.values():
        plane.admin.ask("DELETE", f"/api/v1/namespaces/{namespace}")


def accepted(plane: Plane, namespace: str) -> str:
    found = plane.admin.get(MODEL_ROUTE, namespace, "chat").get("status", {}).get("conditions", ())
    return next((c["status"] for c in found if c["type"] == "Accepted"), "")
