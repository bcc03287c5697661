"""The other proxies, put into a cache of the user's when they are not on this machine: nothing is installed for all.

Our own router runs under this environment's Python, or under another that BENCH_PYTHON names (the one of its image,
say), which gets an environment of its own there. Called by ``proxies``. Never starts what it fetched; no part of CI.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "modelroute-bench"
VLLM_ROUTER = "0.1.17"
ROOT = Path(__file__).resolve().parents[1]


class MissingError(Exception):
    """A proxy is not on this machine and could not be fetched; the message says how to get it."""


def nginx() -> Path:
    """The nginx of this machine, else Debian's package, unpacked into the cache. MissingError when there is neither."""
    found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if found:
        return Path(found)
    unpacked = CACHE / "nginx"
    binary = unpacked / "usr/sbin/nginx"
    if not binary.exists():
        unpacked.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run(["apt-get", "download", "-q", "nginx"], cwd=unpacked, check=True, capture_output=True)
            package = next(unpacked.glob("nginx_*.deb"))
            subprocess.run(["dpkg-deb", "-x", str(package), str(unpacked)], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError, StopIteration):
            raise MissingError("nginx is missing; as root run: apt-get update && apt-get install nginx") from None
    if subprocess.run([binary, "-v"], check=False, capture_output=True).returncode:
        raise MissingError(f"{binary} does not run here; as root run: apt-get install nginx")
    return binary


def vllm_router() -> Path:
    """The vLLM project's router, in an environment of its own in the cache. MissingError when it cannot be fetched."""
    home = CACHE / f"vllm-router-{VLLM_ROUTER}"
    command = home / "bin/vllm-router"
    if not command.exists():
        print(f"fetching vllm-router {VLLM_ROUTER} into {home}", file=sys.stderr)
        pip = [str(home / "bin/pip"), "install", "-q", f"vllm-router=={VLLM_ROUTER}"]
        try:
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True, capture_output=True)
            subprocess.run(pip, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            raise MissingError(f"python3 -m venv {home} && {' '.join(pip)}") from None
    return command


def python() -> str:
    """The Python that our router runs under; MissingError when the one that BENCH_PYTHON names gets no packages."""
    named = os.environ.get("BENCH_PYTHON")
    if not named:
        return sys.executable
    lock = ROOT / "requirements/router.lock"
    state = hashlib.sha256(named.encode() + lock.read_bytes()).hexdigest()[:12]
    home = CACHE / f"python-{state}"
    ready = home / "ready"
    if not ready.exists():
        print(f"making an environment of {named} in {home}", file=sys.stderr)
        pip = [str(home / "bin/pip"), "install", "-q", "--require-hashes", "-r", str(lock)]
        try:
            subprocess.run([named, "-m", "venv", "--clear", str(home)], check=True, capture_output=True)
            subprocess.run(pip, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            raise MissingError(f"{named} -m venv {home} && {' '.join(pip)}") from None
        ready.touch()
    return str(home / "bin/python")
