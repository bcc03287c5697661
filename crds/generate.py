"""Writes what is made from the API's types: the CRD, the chart's copy of it, and docs/reference.md.

Run by ``./dev generate``; a golden test compares the files with ``generated()``. Never edits a file that people write.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from modelroute.api.crd import crd

ROOT = Path(__file__).resolve().parents[1]
HEADER = "Made by ./dev generate from operator/modelroute/api; edit the types there."


def generated() -> dict[Path, str]:
    """The files, by path, as they should be."""
    manifest = crd()
    return {
        ROOT / "crds" / f"{manifest['metadata']['name']}.yaml": _yaml(manifest),
        ROOT / "charts/modelroute/files/crd.yaml": _yaml(_kept_by_helm(manifest)),
        ROOT / "docs/reference.md": _reference(manifest["spec"]["versions"][0]["schema"]["openAPIV3Schema"]),
    }


def _yaml(manifest: dict[str, Any]) -> str:
    return f"# {HEADER}\n" + yaml.safe_dump(manifest, sort_keys=False, width=120)


def _kept_by_helm(manifest: dict[str, Any]) -> dict[str, Any]:
    """With the annotation that keeps the CRD, and so everyone's ModelRoutes, when the release is uninstalled."""
    kept = {"annotations": {"helm.sh/resource-policy": "keep"}}
    return manifest | {"metadata": manifest["metadata"] | kept}


def _reference(root: dict[str, Any]) -> str:
    parts = [f"<!-- {HEADER} -->\n\n# ModelRoute, modelroute.dev/v1alpha1\n\n{root['description']}\n"]
    for top in ("spec", "status"):
        for path, schema in _objects(top, root["properties"][top]):
            rows = "".join(_row(name, field, schema) for name, field in schema["properties"].items())
            parts.append(
                f"## {path}\n\n{schema['description']}\n\n| field | type | default | |\n|---|---|---|---|\n{rows}"
            )
    return "\n".join(parts)


def _objects(path: str, schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every part of the schema that has fields of its own, outermost first."""
    if "properties" in schema:
        yield path, schema
        for name, field in schema["properties"].items():
            yield from _objects(f"{path}.{name}", field)
    elif "items" in schema:
        yield from _objects(f"{path}[]", schema["items"])


def _row(name: str, field: dict[str, Any], parent: dict[str, Any]) -> str:
    default = "required" if name in parent.get("required", ()) else _code(field.get("default"))
    return f"| `{name}` | {_type(field)} | {default} | {field['description']} |\n"


def _type(field: dict[str, Any]) -> str:
    if "enum" in field:
        return " \\| ".join(f"`{value}`" for value in field["enum"])
    if "items" in field:
        return f"list of {_type(field['items'])}"
    if "additionalProperties" in field:
        return f"map of {_type(field['additionalProperties'])}"
    bounds = [f"{sign} {field[key]}" for key, sign in (("minimum", "≥"), ("maximum", "≤")) if key in field]
    return " ".join([field["type"], *bounds])


def _code(default: Any) -> str:
    if default is None:
        return ""
    return f"`{', '.join(default) if isinstance(default, list) else default}`"


if __name__ == "__main__":
    for path, text in generated().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
