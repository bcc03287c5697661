"""The routers of a namespace, where no kubelet runs any: each takes up the ConfigMap, unless it is told otherwise."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from modelroute.controller.kube.kinds import CONFIG_MAP, POD
from tests.controlplane.plane import ROOT, Plane, until
from tests.fakes.routers import ADMIN_PORT, Addresses, FakeRouter

_ADDRESSES = Addresses()
Status = dict[str, Any]


class Routers:
    """Fake routers by the name of their pod. ``holds`` stops them at what they run; ``says`` overlays their status."""

    def __init__(self, plane: Plane, namespace: str) -> None:
        self._plane = plane
        self._namespace = namespace
        self._held: dict[str, Status] = {}
        self._says: dict[str, Status] = {}
        self.by_pod: dict[str, FakeRouter] = {}
        self._real: subprocess.Popen[bytes] | None = None

    def start(self, count: int = 2) -> list[str]:
        """Wait for so many router pods, and run a router for each; their names, in order."""
        selector = "app.kubernetes.io/component=router"
        pods = until(
            f"{count} router pods",
            lambda: len(found := self._plane.admin.all(POD, self._namespace, selector)) == count and found,
        )
        for pod in pods:
            self.start_one(pod)
        return sorted(self.by_pod)

    def start_one(self, pod: dict[str, Any]) -> None:
        """A router for this pod, which becomes ready."""
        name = pod["metadata"]["name"]
        if name not in self.by_pod:
            self._plane.make_pod_ready(pod, self.answer(name))

    def answer(self, pod: str) -> str:
        """The address of a router for the pod of that name."""
        self.by_pod[pod] = FakeRouter(_ADDRESSES.next(), lambda: self._status(pod))
        return self.by_pod[pod].address

    def start_real(self, directory: Path) -> None:
        """Wait for the one router pod, and run a router for it as users do, on the snapshot in ``directory``."""
        selector = "app.kubernetes.io/component=router"
        [pod] = until("a pod", lambda: self._plane.admin.all(POD, self._namespace, selector))
        address = _ADDRESSES.next()
        flags = [f"--snapshot={directory}/snapshot.json", f"--secrets={directory}", f"--host={address}"]
        command = [sys.executable, "-m", "modelroute.cli.main", "router", *flags, f"--admin-port={ADMIN_PORT}"]
        environment = os.environ | {"PYTHONPATH": str(ROOT / "operator")}
        with (directory / "router.log").open("wb") as log:
            self._real = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        until("it answers", lambda: _answers(f"http://{address}:{ADMIN_PORT}/readyz"), seconds=60)
        self._plane.make_pod_ready(pod, address)

    def hold(self, pod: str) -> None:
        """Have it take up no other snapshot."""
        self._held[pod] = self._status(pod)

    def release(self, pod: str) -> None:
        """Have it take up snapshots again, and say what is so."""
        self._held.pop(pod, None)
        self._says.pop(pod, None)

    def say(self, pod: str, **status: Any) -> None:
        """Have its status say this."""
        self._says[pod] = status

    def stop(self, pod: str) -> None:
        """Nobody answers at its address any more."""
        self.by_pod.pop(pod).close()

    def close(self) -> None:
        for router in self.by_pod.values():
            router.close()
        if self._real:
            self._real.kill()
            self._real.wait()

    def _status(self, pod: str) -> Status:
        running = self._held.get(pod) or self._snapshot()
        return running | {"ready": True, "refusedSnapshot": None, "clientKeys": None} | self._says.get(pod, {})

    def _snapshot(self) -> Status:
        found = self._plane.admin.get(CONFIG_MAP, self._namespace, "chat-router-snapshot")
        snapshot = json.loads(found["data"]["snapshot.json"])
        known = {field: snapshot[field] for field in ("namespace", "name", "revision", "generation")}
        idle: Status = {"inFlight": 0, "waiting": 0, "cold": 0, "trouble": None, "replicas": []}
        return known | {"backends": [idle | {"name": b["name"]} for b in snapshot["backends"]]}


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False
