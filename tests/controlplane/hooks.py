"""The chart's webhook configurations on this control plane, by URL instead of a Service; and users with few rights."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from modelroute.controller.kube.kinds import MODEL_ROUTE, POD, VALIDATING, WEBHOOK_CONFIGURATIONS
from modelroute.planning.names import SIDECAR_LABEL
from tests.controlplane.api import Api
from tests.controlplane.plane import DEFINITIONS, KubeObject, Plane, until
from tests.fakes.manifests import manifest

NAME, MARK = "modelroute", "test/hooked"
RENDERED = Path(__file__).parents[1] / "golden/chart/default.yaml"
ROUTES = {"apiGroups": ["modelroute.dev"], "resources": ["modelroutes"], "verbs": ["create", "get", "patch", "update"]}


def install(plane: Plane, url: str, *, everywhere: bool) -> None:
    """Have the API server ask at ``url``, about all namespaces or about those that are marked."""
    rendered = list(yaml.safe_load_all(RENDERED.read_text()))
    for kind in WEBHOOK_CONFIGURATIONS:
        [found] = [o for o in rendered if o and o["kind"] == kind.name]
        for hook in found["webhooks"]:
            hook["timeoutSeconds"] = 30  # a busy machine is no failure
            hook["clientConfig"] = {"url": url + hook["clientConfig"]["service"]["path"]}
            only = {"key": MARK, "operator": "Exists"}
            hook["namespaceSelector"]["matchExpressions"] += [] if everywhere else [only]
        plane.admin.must("POST", kind.path(), found)


def mark(plane: Plane, namespace: str, **more: str) -> None:
    """Have it asked about; ``more`` are labels, too."""
    change = {"metadata": {"labels": {MARK: "yes", **more}}}
    plane.admin.must("PATCH", f"/api/v1/namespaces/{namespace}", change, "merge-patch+json")


def remove(plane: Plane) -> None:
    for kind in WEBHOOK_CONFIGURATIONS:
        plane.admin.ask("DELETE", kind.path(name=NAME))


def bundles(plane: Plane) -> list[str]:
    """Whom the API server trusts, by configuration; empty where nobody."""
    live: list[Any] = [plane.admin.must("GET", kind.path(name=NAME)) for kind in WEBHOOK_CONFIGURATIONS]
    return [hook["clientConfig"].get("caBundle", "") for found in live for hook in found["webhooks"]]


def told(plane: Plane) -> bool:
    """Whether it is told whom to trust."""
    return all(bundles(plane))


def taken_up(plane: Plane, namespace: str) -> None:
    """Wait until the API server goes by all that its webhook configurations say now: it learns of changes in order."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    name = f"last-{time.monotonic_ns()}"
    last = {
        "metadata": {"name": name},
        "webhooks": [
            {
                "name": "last.test.modelroute.dev",
                "admissionReviewVersions": ["v1"],
                "clientConfig": {"url": "https://localhost:1"},
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "rules": [rule],
                "sideEffects": "None",
            }
        ],
    }
    plane.admin.must("POST", VALIDATING.path(), last)
    maps, given = f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": "any"}}
    until("the last is asked", lambda: not plane.admin.ask("POST", maps, given, dryRun="All").is_success)
    plane.admin.must("DELETE", VALIDATING.path(name=name))


def heeded(plane: Plane, namespace: str) -> None:
    """Wait until pods of the namespace are asked about, and the API server trusts who answers."""
    meta, spec = {"name": "any", "labels": {SIDECAR_LABEL: "nobody"}}, {"containers": [{"name": "any", "image": "any"}]}
    given = {"metadata": meta, "spec": spec}
    asked = lambda: plane.admin.ask("POST", POD.path(namespace), given, dryRun="All").status_code == 422  # noqa: E731
    until("pods are asked about", asked)


def user(plane: Plane, namespace: str, name: str, *rules: dict[str, list[str]]) -> Api:
    """Someone with these rights in the namespace, and no others."""
    plane.admin.must("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": name}})
    account: KubeObject = {"kind": "ServiceAccount", "namespace": namespace, "name": name}
    plane.grant(f"namespaces/{namespace}/", "Role", name, list(rules), account)
    for rule in rules:
        [group, *_], [resource, *_], [verb, *_] = rule["apiGroups"], rule["resources"], rule["verbs"]
        given = {"namespace": namespace, "group": group, "resource": resource, "verb": verb}
        named = {"name": only[0]} if (only := rule.get("resourceNames")) else {}
        plane.until_may(f"system:serviceaccount:{namespace}:{name}", given | named)
    plane.users.append(Api(yaml.safe_load(plane.kubeconfig(namespace, name).read_text())))
    return plane.users[-1]


@contextlib.contextmanager
def crd_without_rules(plane: Plane) -> Iterator[None]:
    """Meanwhile the CRD takes anything, as an older one may."""
    name = f"{DEFINITIONS}/{MODEL_ROUTE.plural}.{MODEL_ROUTE.group}"
    whole = plane.admin.must("GET", name)["spec"]["versions"][0]["schema"]
    loose = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}

    def set_schema(schema: KubeObject, *, loose: bool) -> None:
        change = [{"op": "replace", "path": "/spec/versions/0/schema", "value": schema}]
        plane.admin.must("PATCH", name, change, "json-patch+json")
        until("the schema is in force", lambda: takes_anything() is loose)

    def takes_anything() -> bool:
        return plane.admin.ask("POST", MODEL_ROUTE.path("default"), manifest(models=[1]), dryRun="All").is_success

    set_schema(loose, loose=True)
    try:
        yield
    finally:
        set_schema(whole, loose=False)
