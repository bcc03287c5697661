"""`./dev demo --stop`, the last of all: it leaves nothing behind."""

import subprocess
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import CLUSTER_DIR, ROOT, URL, Cluster


def test_stop_leaves_nothing_behind(cluster: Cluster) -> None:
    done = subprocess.run([ROOT / "dev", "demo", "--stop"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{URL}/readyz")
    assert str(CLUSTER_DIR) not in Path("/proc/mounts").read_text()
    rules = subprocess.run(["iptables-save"], capture_output=True, text=True, check=True).stdout
    assert "KUBE-" not in rules
    assert "MODELROUTE" not in rules
    left = [p for p in Path("/proc").glob("[0-9]*/cmdline") if str(CLUSTER_DIR) in read(p)]
    assert left == []


def read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # it has ended meanwhile
        return ""
