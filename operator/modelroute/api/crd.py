"""The CustomResourceDefinition, made from the types and rules; ``./dev generate`` writes it to crds/ and into the chart.

A golden test holds the files to it. Never read at run time.
"""

from typing import Any

import msgspec

from modelroute.api import types as t
from modelroute.api.parse import MAX_NAME
from modelroute.api.rules import RULES
from modelroute.api.scalars import LABEL, SENTENCES

_KEPT = (
    "type",
    "description",
    "enum",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "format",
    "maxProperties",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-validations",
)

_COLUMNS = (
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', "Whether clients get answers."),
    ("Backends", "string", ".status.readyBackends", "Ready backends of all."),
    ("Canary", "string", ".status.canary", "The canary and its share."),
    ("Age", "date", ".metadata.creationTimestamp", "When the ModelRoute was made."),
)

_NAME_RULE = {
    "rule": f'self.metadata.name.size() <= {MAX_NAME} && self.metadata.name.matches("{LABEL}")',
    "messageExpression": f'"metadata.name \\"" + self.metadata.name + "\\" {SENTENCES[LABEL]}, at most {MAX_NAME} characters"',
}


def crd() -> dict[str, Any]:
    """The CRD as a manifest."""
    _, components = msgspec.json.schema_components([t.ModelRoute], ref_template="{name}")
    root = {
        "type": "object",
        "description": "A ModelRoute declares the candidate backends of a model name, and how a request picks one of them.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": _structural({"$ref": "Spec", "description": t.Spec.__doc__}, components),
            "status": _without_defaults(_structural({"$ref": "Status"}, components)),
        },
        "x-kubernetes-validations": [_NAME_RULE],
    }
    columns = [{"name": n, "type": kind, "jsonPath": path, "description": d} for n, kind, path, d in _COLUMNS]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{t.PLURAL}.{t.GROUP}"},
        "spec": {
            "group": t.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": t.KIND,
                "listKind": f"{t.KIND}List",
                "plural": t.PLURAL,
                "singular": t.KIND.lower(),
                "shortNames": ["mroute"],
                "categories": ["ai"],
            },
            "versions": [
                {
                    "name": t.VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
                    "schema": {"openAPIV3Schema": root},
                }
            ],
        },
    }


def _cel(component: str) -> list[dict[str, str]]:
    kind = vars(t).get(component)
    rules = RULES.get(kind, ()) if isinstance(kind, type) else ()
    return [
        {
            "rule": r.cel,
            "messageExpression": r.message,
            "message": "see the field's description",
            **({"fieldPath": r.field_path} if r.field_path else {}),
        }
        for r in rules
    ]


def _structural(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """A JSON schema as Kubernetes wants it: no references, no null, no additionalProperties beside properties."""
    for option in schema.get("anyOf", ()):
        if option.get("type") != "null":
            return _structural(
                {**option, **{k: v for k, v in schema.items() if k not in ("anyOf", "default")}}, components
            )
    out: dict[str, Any] = {}
    if "$ref" in schema:
        component = components[schema["$ref"]]
        out |= _structural(component, components)
        rules = _cel(component["title"])
        if rules:
            out["x-kubernetes-validations"] = rules
    out |= {k: v for k, v in schema.items() if k in _KEPT}
    if "enum" in schema:
        out["type"] = "string"
    if schema.get("default") not in (None, [], (), {}) and not isinstance(schema["default"], dict):
        out["default"] = schema["default"]
    if "pattern" in schema and "x-kubernetes-validations" not in schema:
        out["pattern"] = schema["pattern"]
    if "items" in schema:
        out["items"] = _structural(schema["items"], components)
    if "properties" in schema:
        out["properties"] = {k: _structural(v, components) for k, v in schema["properties"].items()}
        out |= {"required": schema["required"]} if schema.get("required") else {}
    elif isinstance(schema.get("additionalProperties"), dict):
        out["additionalProperties"] = _structural(schema["additionalProperties"], components)
    return out


def _without_defaults(schema: dict[str, Any]) -> dict[str, Any]:
    """A status holds what was observed; the API server must not add to it."""
    kept = {k: v for k, v in schema.items() if k != "default"}
    if "properties" in kept:
        kept["properties"] = {k: _without_defaults(v) for k, v in kept["properties"].items()}
    if "items" in kept:
        kept["items"] = _without_defaults(kept["items"])
    return kept
