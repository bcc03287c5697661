"""The API server refuses what ``parse`` refuses, and names the field; no operator runs for this."""

import re
from typing import Any

import httpx
import pytest

from modelroute.controller.kube.kinds import MODEL_ROUTE
from tests.controlplane.plane import Plane
from tests.fakes import deploying, timely
from tests.fakes.manifests import GOOD, MISTAKES, Mistake, manifest


def tried(plane: Plane, given: dict[str, Any]) -> httpx.Response:
    """What `kubectl apply` would be told; nothing is kept."""
    path = MODEL_ROUTE.path("default")
    return plane.admin.ask("POST", path, given, dryRun="All", fieldValidation="Strict")


def fields(answer: httpx.Response) -> list[str]:
    """The fields that a refusal is about, as parse writes them; a strict decoding error has none."""
    causes = answer.json().get("details", {}).get("causes", ())
    return [re.sub(r"\[([^\]0-9][^\]]*)\]", r".\1", cause["field"]) for cause in causes if cause.get("field")]


def near(one: str, other: str) -> bool:
    """Whether one path is the other, or a part of what it names."""
    return one.startswith(other) or other.startswith(one)


RIGHT = GOOD | timely.GOOD | deploying.GOOD
WRONG = MISTAKES | timely.MISTAKES | deploying.MISTAKES
SEEN = {name: mistake for name, mistake in WRONG.items() if not mistake.beyond_cel}


@pytest.mark.parametrize("mistake", SEEN.values(), ids=SEEN.keys())
def test_a_mistake_is_refused_with_its_path(plane: Plane, mistake: Mistake) -> None:
    answer = tried(plane, manifest(**mistake.spec))
    assert answer.status_code in (400, 422), answer.text
    message = answer.json()["message"]
    assert any(near(f, mistake.path) for f in fields(answer)) or f'"{mistake.path}.' in message, message


@pytest.mark.parametrize("spec", RIGHT.values(), ids=RIGHT.keys())
def test_what_is_right_is_taken(plane: Plane, spec: dict[str, Any]) -> None:
    answer = tried(plane, manifest(**spec))
    assert answer.is_success, answer.text


@pytest.mark.parametrize("name", ["a" * 41, "a.b", "1a"])
def test_a_name_that_children_cannot_bear_is_refused(plane: Plane, name: str) -> None:
    answer = tried(plane, manifest(name))
    assert answer.status_code == 422
    assert f'metadata.name "{name}" is not a name' in answer.json()["message"]


def test_a_refusal_says_what_to_write(plane: Plane) -> None:
    answer = tried(plane, manifest(**MISTAKES["a number without a unit"].spec))
    assert '"5" is not a duration with a unit; write "5s", "500ms" or "1m30s"' in answer.json()["message"]
