"""The CRD says all that the types say."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

import modelroute
from modelroute.api import types as t
from modelroute.api.base import Resource
from modelroute.api.crd import crd
from modelroute.api.rules import RULES

SCHEMA = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]


def fields(path: str, schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every part of a schema that people see a description of."""
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from fields(f"{path}.{name}", field)
    if "properties" in schema.get("items", {}):
        yield from fields(f"{path}[]", schema["items"])


SPEC = dict(fields("spec", SCHEMA["spec"]))
STATUS = dict(fields("status", SCHEMA["status"]))


@pytest.mark.parametrize("path", SPEC | STATUS)
def test_every_field_is_described(path: str) -> None:
    assert (SPEC | STATUS)[path].get("description", "").endswith(".")


@pytest.mark.parametrize("path", [p for p, field in SPEC.items() if field["type"] in ("array", "string")])
def test_every_list_and_text_has_a_bound(path: str) -> None:
    field = SPEC[path]
    assert field.keys() & {"maxItems", "maxLength", "enum"}


@pytest.mark.parametrize("path", [p for p, field in (SPEC | STATUS).items() if field["type"] == "array"])
def test_every_list_says_how_it_is_merged(path: str) -> None:
    assert (SPEC | STATUS)[path]["x-kubernetes-list-type"] in ("map", "set", "atomic")


def test_the_api_server_adds_nothing_to_a_status() -> None:
    assert [path for path, field in STATUS.items() if "default" in field] == []


def test_nothing_refers_elsewhere_or_may_be_null() -> None:
    text = str(crd())
    assert [word for word in ("$ref", "anyOf", "'null'", "'title'", "'pattern'") if word in text] == []


def test_every_rule_is_in_it() -> None:
    told = {rule["rule"] for field in (SPEC | STATUS).values() for rule in field.get("x-kubernetes-validations", ())}
    assert {rule.cel for rules in RULES.values() for rule in rules if rule.cel} <= told


def test_required_fields_and_defaults_are_those_of_the_types() -> None:
    assert SPEC["spec"]["required"] == ["backends"]
    assert SPEC["spec.backends[].weight"]["default"] == 1
    assert SPEC["spec.fallbacks[].failures"]["default"] == list(t.ALL_FAILURES)
    assert SPEC["spec.canary.percent"]["default"] == 0
    assert SPEC["spec.backends[].coldStart.policy"]["default"] == "Fallback"
    assert SPEC["spec.backends[].limits.maxWaiting"]["default"] == 100
    assert "default" not in SPEC["spec.backends[].dataPolicy"]  # by the kind of backend
    assert [path for path, field in SPEC.items() if field["type"] == "object" and "default" in field] == []


def test_no_field_has_a_name_that_yaml_takes_for_a_boolean() -> None:
    names = {path.rsplit(".")[-1].removesuffix("[]") for path in SPEC | STATUS}
    assert {name: yaml.safe_load(f"{name}: 1") for name in names} == {name: {name: 1} for name in names}


def test_what_kubectl_shows() -> None:
    version = crd()["spec"]["versions"][0]
    assert [column["name"] for column in version["additionalPrinterColumns"]] == ["Ready", "Backends", "Canary", "Age"]
    assert crd()["spec"]["names"]["shortNames"] == ["mroute"]
    assert version["subresources"] == {"status": {}}


def test_a_field_that_does_nothing_is_not_in_it() -> None:
    kinds = [k for k in vars(t).values() if isinstance(k, type) and issubclass(k, Resource)]
    declared = {field.name for kind in kinds for field in msgspec.structs.fields(kind)}
    package = Path(modelroute.__file__).parent
    # A backend's policy reads its own, and so does the most that load may bring.
    readers = [*(package / "planning").rglob("*.py"), package / "api/backends.py", package / "api/scaling.py"]
    nodes = [node for path in readers for node in ast.walk(ast.parse(path.read_text()))]
    read = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    handed_on = {field.name for field in msgspec.structs.fields(t.Toleration)}  # whole, to pods
    assert sorted(declared - read - handed_on - {"kind"}) == []  # a Service is the one kind of target there is
