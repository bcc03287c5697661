"""Linters of Kubernetes manifests, each as a function from manifests to what it finds fault with.

Their programs come from ``cluster/build.sh linters`` and ``tests/golden/linters.sh``; without them the tests fail.
"""

import functools
import json
import os
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.fakes.chart import ENVIRONMENT

HOME = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "modelroute-linters"
OLDEST, NEWEST = "1.30", "1.37"
"""The versions of Kubernetes that manifests are held to: the chart's least, and the one that the tests run."""
_DEFINITIONS = "_definitions.json"


class Finding(NamedTuple):
    """What is wrong, by whose rule, with what (Kind/name)."""

    linter: str
    rule: str
    about: str


def run(*command: object) -> str:
    """What it prints. Linters end with an error when they find something."""
    done = subprocess.run(
        list(map(str, command)), env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.stdout.strip(), done.stderr
    return done.stdout


def kube_score(manifests: Path) -> set[Finding]:
    version = f"--kubernetes-version=v{OLDEST}"
    scored = json.loads(run("kube-score", "score", "--output-format=json", "--output-version=v2", version, manifests))
    return {
        Finding("kube-score", f"{check['check']['id']}: {comment['summary']}", _about(found))
        for found in scored
        for check in found["checks"] or ()
        if not check["skipped"]
        for comment in (check["comments"] or () if check["grade"] < 7 else ())
    }


def _about(found: dict[str, Any]) -> str:
    return f"{found['type_meta']['kind']}/{found['object_meta']['name']}"


def checkov(manifests: Path) -> set[Finding]:
    flags = ("--framework=kubernetes", "--skip-download", "--compact", "--quiet", "--output=json")
    found = json.loads(run(HOME / "bin/checkov", *flags, "--file", manifests))
    assert "results" in found, f"nothing was looked at: {found}"
    failed = found["results"]["failed_checks"]
    return {Finding("checkov", f"{f['check_id']}: {f['check_name']}", _resource(f["resource"])) for f in failed}


def _resource(resource: str) -> str:
    """``Kind.namespace.name``, and of a pod behind a Deployment its labels too."""
    kind, _, name = resource.split(".")[:3]
    return f"{kind}/{name}"


def kubeconform(manifests: Path, version: str, schemas: Path) -> set[Finding]:
    """``schemas`` is an empty directory, for the schemas of what is in ``manifests``."""
    for document in yaml.safe_load_all(manifests.read_text()):
        _bundle(version, document["apiVersion"], document["kind"], schemas)
    location = f"{schemas}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
    command = ("kubeconform", "-strict", "-output=json", "-summary", f"-schema-location={location}", manifests)
    found = json.loads(run(*command))
    return {Finding("kubeconform", f["msg"], f"{f['kind']}/{f['name']}") for f in found["resources"] or ()}


def _bundle(version: str, api_version: str, kind: str, into: Path) -> None:
    """Write the schema of a kind, with all that it refers to, as kubeconform can read it."""
    group, _, of_group = api_version.rpartition("/")
    name = "-".join(filter(None, (kind.lower(), group.split(".")[0], of_group))) + ".json"
    folder = _schemas(version)
    if not (folder / name).exists():
        return  # kubeconform tells that it does not know the kind
    definitions, found = _definitions(folder), dict[str, Any]()

    def whole(part: Any) -> Any:
        if isinstance(part, list):
            return [whole(item) for item in part]
        if not isinstance(part, dict):
            return part
        if "$ref" not in part:
            return {key: whole(value) for key, value in part.items()}
        of = part["$ref"].rpartition("/")[2]
        if of not in found:
            found[of] = None  # types refer to themselves
            found[of] = whole(definitions[of])
        return {"$ref": f"#/definitions/{of}"}

    root = whole(json.loads((folder / name).read_text()))
    (into / name).write_text(json.dumps(root | {"definitions": found}))


def _schemas(version: str) -> Path:
    """Those that know of no other fields, made of the newest patch release of ``version``."""
    pattern = f"lib/python3*/site-packages/kubernetes_validate/kubernetes-json-schema/v{version}.*-local-strict"
    found = sorted(HOME.glob(pattern))
    assert found, f"{HOME} lacks the schemas of Kubernetes {version}; tests/golden/linters.sh brings them"
    return found[-1]


@functools.cache
def _definitions(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / _DEFINITIONS).read_text())["$defs"]
    return found
