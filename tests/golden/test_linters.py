"""What the chart and the operator render, as others judge it: kubeconform, kube-score, checkov.

Each finding that stays is argued in ``lint-exceptions.yaml``, and one that stays no longer must leave it.
"""

import functools
import tempfile
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelroute.api.parse import parse
from modelroute.planning.observed import Observed
from modelroute.planning.plan import plan
from modelroute.planning.settings import Settings
from tests.fakes import linting
from tests.fakes.chart import ROOT, VALUES, rendered
from tests.fakes.linting import Finding

HERE = Path(__file__).parent
EXCEPTIONS: list[dict[str, Any]] = yaml.safe_load((HERE / "lint-exceptions.yaml").read_text())
EXAMPLES = sorted(p.name for p in (ROOT / "examples").glob("*.yaml") if p.name != "standalone.yaml")
SETTINGS = Settings("modelroute/router:0.2.0", network_policies=True, monitoring_namespace="monitoring")
SETS = [
    "chart/default",
    "chart/namespaced",
    "chart/full",
    "chart/bare",
    "planning/small",
    "planning/full",
    "planning/deploying",
    *EXAMPLES,
]
"""All that is rendered; of the examples what the operator makes for the ModelRoutes in them."""
ALL = pytest.mark.parametrize("name", SETS)
VERSIONS = pytest.mark.parametrize("version", [linting.OLDEST, linting.NEWEST])


def manifests(name: str) -> list[dict[str, Any]]:
    if name.startswith("chart/"):
        text = rendered("--set=crds.install=false", *VALUES[name.removeprefix("chart/")])
        return [found for found in yaml.safe_load_all(text) if found]
    if name.startswith("planning/"):
        return list(yaml.safe_load_all((HERE / f"{name}.yaml").read_text()))
    given = [g for g in yaml.safe_load_all((ROOT / "examples" / name).read_text()) if g["kind"] == "ModelRoute"]
    return [found for route in given for found in objects(route)]


def objects(route: dict[str, Any]) -> list[dict[str, Any]]:
    made = {"uid": "0f8fad5b-d9cb-469f-a165-70867728950e", "generation": 1, "namespace": "team-a"}
    return list(plan(parse(route | {"metadata": made | route["metadata"]}), Observed(), SETTINGS, 0.0).objects)


@functools.cache
def found(linter: str, name: str, version: str = "") -> frozenset[Finding]:
    with tempfile.TemporaryDirectory() as directory:
        path, schemas = Path(directory, "manifests.yaml"), Path(directory, "schemas")
        path.write_text(yaml.safe_dump_all(everything() if name == "everything" else manifests(name)))
        schemas.mkdir()
        if linter == "kubeconform":
            return frozenset(linting.kubeconform(path, version, schemas))
        return frozenset(linting.kube_score(path) if linter == "kube-score" else linting.checkov(path))


def everything() -> list[dict[str, Any]]:
    """All sets, each in a namespace of its own, so that the policy of one is not taken for another's."""
    every = [(f"set-{number}", made) for number, name in enumerate(SETS) for made in manifests(name)]
    return [made | {"metadata": made["metadata"] | {"namespace": namespace}} for namespace, made in every]


def argued(finding: Finding, exception: dict[str, Any]) -> bool:
    of_rule = exception["linter"] == finding.linter and fnmatchcase(finding.rule, exception["rule"])
    return of_rule and any(fnmatchcase(finding.about, about) for about in exception["about"])


def unargued(findings: Iterable[Finding]) -> list[Finding]:
    return sorted(f for f in findings if not any(argued(f, exception) for exception in EXCEPTIONS))


@ALL
@VERSIONS
def test_kubeconform(name: str, version: str) -> None:
    assert unargued(found("kubeconform", name, version)) == []


@ALL
def test_kube_score(name: str) -> None:
    assert unargued(found("kube-score", name)) == []


def test_checkov() -> None:
    """In one run: each takes seconds to begin."""
    assert unargued(found("checkov", "everything")) == []


@pytest.mark.parametrize("exception", EXCEPTIONS, ids=lambda e: f"{e['linter']} {e['rule']} {e['about'][0]}")
def test_an_exception_is_needed_and_argued(exception: dict[str, Any]) -> None:
    every = set(found("checkov", "everything"))
    every.update(*(found("kube-score", name) | found("kubeconform", name, linting.OLDEST) for name in SETS))
    assert any(argued(finding, exception) for finding in every)
    assert exception["why"].endswith(".")


def test_kubeconform_knows_which_fields_there_are(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, dta: {}}")
    [told] = linting.kubeconform(wrong, linting.OLDEST, tmp_path)
    assert "'dta' not allowed" in told.rule
