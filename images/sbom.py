"""`./dev sbom IMAGE`: what is in an image beside its base, as CycloneDX JSON, from the lock file that it is built from.

Never asks a registry, and says the same each time. A package has one hash for each file that may be installed of it.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def sbom(image: str) -> dict[str, Any]:
    """The bill of materials of ``image``, which is router or operator."""
    version = re.findall(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[0]
    whole = {"type": "container", "name": f"modelroute/{image}", "version": version}
    lock = (ROOT / f"requirements/{image}.lock").read_text()
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": whole},
        "components": [_component(*found) for found in _packages(lock)],
    }


def _packages(lock: str) -> list[tuple[str, str, list[str]]]:
    """Name, version and hashes of each."""
    entries = re.split(r"^(?=\S)", lock, flags=re.MULTILINE)
    pinned = [(re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", entry), entry) for entry in entries]
    return [
        (found[1], found[2], re.findall(r"--hash=sha256:([0-9a-f]{64})", entry)) for found, entry in pinned if found
    ]


def _component(name: str, version: str, hashes: list[str]) -> dict[str, Any]:
    return {
        "type": "library",
        "name": name,
        "version": version,
        "purl": f"pkg:pypi/{name}@{version}",
        "hashes": [{"alg": "SHA-256", "content": content} for content in hashes],
    }


if __name__ == "__main__":
    if sys.argv[1:] not in (["router"], ["operator"]):
        sys.exit("usage: ./dev sbom router|operator")
    print(json.dumps(sbom(sys.argv[1]), indent=2))
