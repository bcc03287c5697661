"""The CustomResourceDefinition, made from the types and rules.

``crds/generate.py`` writes it to crds/ and into the chart; a golden test holds the files to it. Never read at run time.
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
    "x-kubernetes-preserve-unknown-fields",
)

_COLUMNS = (
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', "Whether clients get answers."),
    ("Backends", "string", ".status.readyBackends", "Ready backends of all."),
    ("Canary", "string", ".status.canary", "The canary and its share."),
    ("Age", "date", ".metadata.creationTimestamp", "When the ModelRoute was made."),
)

_ABOUT = "A ModelRoute declares the candidate backends of a model name, and how a request picks one of them."

_NAME_RULE = {
    "rule": f'self.metadata.name.size() <= {MAX_NAME} && self.metadata.name.matches("{LABEL}")',
    "messageExpression": (
        f'"metadata.name \\"" + self.metadata.name + "\\" {SENTENCES[LABEL]}, at most {MAX_NAME} characters"'
    ),
}


def crd() -> dict[str, Any]:
    """The CRD as a manifest."""
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
                    "schema": {"openAPIV3Schema": _root()},
                }
            ],
        },
    }


def _root() -> dict[str, Any]:
    _, components = msgspec.json.schema_components([t.ModelRoute], ref_template="{name}")
    return {
        "type": "object",
        "description": _ABOUT,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": _structural({"$ref": "Spec"}, components),
            "status": _without_defaults(_structural({"$ref": "Status"}, components)),
        },
        "x-kubernetes-validations": [_NAME_RULE],
    }


def _structural(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """A JSON schema as Kubernetes wants it: no references, no null, no additionalProperties beside properties."""
    flat = _flat(schema, components)
    out = {k: flat[k] for k in _KEPT if k in flat}
    if "enum" in flat:
        out["type"] = "string"
    default = flat.get("default")
    if default not in (None, "", ()) and not isinstance(default, dict):
        out["default"] = list(default) if isinstance(default, tuple) else default
    if "items" in flat:
        out["items"] = _structural(flat["items"], components)
    if "properties" in flat:
        out["properties"] = {k: _structural(v, components) for k, v in flat["properties"].items()}
        out |= {"required": flat["required"]} if flat.get("required") else {}
    elif flat.get("additionalProperties"):
        out["additionalProperties"] = _structural(flat["additionalProperties"], components)
    return out


def _flat(schema: dict[str, Any], components: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """``schema`` with what it refers to, or its choice beside null, put in place; what it says itself goes first."""
    own = {k: v for k, v in schema.items() if k not in ("anyOf", "$ref")}
    if "anyOf" in schema:
        choice = next(option for option in schema["anyOf"] if option.get("type") != "null")
        return _flat(choice, components) | own
    if "$ref" in schema:
        name = schema["$ref"]
        return components[name] | _validations(name) | own
    return own


def _validations(kind: str) -> dict[str, Any]:
    rules = next((rules for of, rules in RULES.items() if of.__name__ == kind), ())
    told = (r for r in rules if r.cel)
    named = [{"rule": r.cel, "message": r.problem, "messageExpression": r.says, "fieldPath": r.path} for r in told]
    cel = [{k: v for k, v in rule.items() if v} for rule in named]
    return {"x-kubernetes-validations": cel} if cel else {}


def _without_defaults(schema: dict[str, Any]) -> dict[str, Any]:
    """A status holds what was observed; the API server must not add to it."""
    kept = {k: v for k, v in schema.items() if k != "default"}
    if "properties" in kept:
        kept["properties"] = {k: _without_defaults(v) for k, v in kept["properties"].items()}
    if "items" in kept:
        kept["items"] = _without_defaults(kept["items"])
    return kept
