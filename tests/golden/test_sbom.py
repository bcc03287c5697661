"""The bill of materials says what the lock files say."""

import json
import subprocess
import sys

import pytest

from tests.fakes.chart import ROOT


@pytest.mark.parametrize("image", ["router", "operator"])
def test_it_has_every_package_of_the_image_with_its_hashes(image: str) -> None:
    command = [sys.executable, str(ROOT / "images/sbom.py"), image]
    told = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    lock = (ROOT / f"requirements/{image}.lock").read_text()
    assert (told["bomFormat"], told["specVersion"]) == ("CycloneDX", "1.5")
    assert len(told["components"]) == lock.count("==")
    assert sum(len(c["hashes"]) for c in told["components"]) == lock.count("--hash=sha256:")
    assert all(f"{c['name']}=={c['version']}" in lock and c["hashes"] for c in told["components"])


def test_of_an_unknown_image_nothing_is_told() -> None:
    command = [sys.executable, str(ROOT / "images/sbom.py"), "other"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1
