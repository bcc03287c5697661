"""A throwaway control plane for a benchmark: etcd, API server and controllers on loopback, and a client of it.

Called by ``operator``. Made by the scripts of ``cluster/`` in a directory of its own, and gone afterwards. Never runs a
pod, and never touches another cluster.
"""

import asyncio
import base64
import contextlib
import os
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import yaml

from benchmarks.cluster import CLUSTER_DIR
from modelroute.controller.kube.kinds import MODEL_ROUTE, Kind
from modelroute.controller.kube.rbac import LEASE_RULES, policy_rules

ROOT = Path(__file__).resolve().parents[1]
HOME, OPERATOR = "modelroute-system", "modelroute-operator"
USER = f"system:serviceaccount:{HOME}:{OPERATOR}"

KubeObject = dict[str, Any]
_LINE_BYTES = 4 << 20
"""A watch tells of an object in one line; a snapshot may have 900 KiB."""


class Api:
    """The API server, asked by its administrator. RuntimeError where it refuses."""

    def __init__(self, kubeconfig: KubeObject) -> None:
        """To be made within a running loop, and to be closed."""
        self.kubeconfig = kubeconfig
        cluster = kubeconfig["clusters"][0]["cluster"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._http = aiohttp.ClientSession(
            cluster["server"],
            connector=aiohttp.TCPConnector(ssl=ssl.create_default_context(cadata=authority), limit=64),
            headers={"Authorization": f"Bearer {kubeconfig['users'][0]['user']['token']}"},
            read_bufsize=_LINE_BYTES,
        )

    async def close(self) -> None:
        """Let the connections go."""
        await self._http.close()

    async def ask(self, method: str, path: str, body: Any = None, content: str = "json") -> Any:
        """The answer's JSON."""
        data = None if body is None else msgspec.json.encode(body)
        headers = {"Content-Type": f"application/{content}"}
        async with self._http.request(method, path, data=data, headers=headers) as answer:
            text = await answer.read()
            if not answer.ok:
                raise RuntimeError(f"{method} {path}: {answer.status} {text.decode()[:500]}")
            return msgspec.json.decode(text)

    async def create(self, kind: Kind, namespace: str, body: KubeObject) -> None:
        """A new object."""
        await self.ask("POST", kind.path(namespace), {"apiVersion": kind.api_version, "kind": kind.name} | body)

    async def version(self, kind: Kind) -> str:
        """The version of all objects of a kind, now."""
        listed = await self.ask("GET", f"{kind.path()}?limit=1")
        return str(listed["metadata"]["resourceVersion"])

    async def watch(self, kind: Kind, selector: str, since: str) -> AsyncIterator[bytes]:
        """What happens to the objects of a kind after that version, each event as it is sent, until the stream ends."""
        query = f"watch=1&resourceVersion={since}&labelSelector={selector}&timeoutSeconds=7200"
        endless = aiohttp.ClientTimeout(total=None)
        async with self._http.get(f"{kind.path()}?{query}", timeout=endless) as stream:
            async for line in stream.content:
                yield line


class Plane:
    """One that runs."""

    def __init__(self, directory: Path, api: Api) -> None:
        """Made by ``running``."""
        self.directory = directory
        self.api = api
        self.operator_kubeconfig = directory / "operator.kubeconfig"

    @property
    def audit_log(self) -> Path:
        """One line of JSON a request."""
        return self.directory / "logs/audit.log"

    def pid(self, program: str) -> int:
        """The process of etcd or kube-apiserver."""
        return int((self.directory / f"run/{program}.pid").read_text().split()[0])

    async def namespace(self, name: str) -> None:
        """A new one."""
        await self.api.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name}})

    async def install(self) -> None:
        """The CustomResourceDefinition, and an identity for the operator with the rights that it has by the chart."""
        definition = yaml.safe_load(next((ROOT / "crds").glob("*.yaml")).read_text())
        await self.api.ask("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
        await self.namespace(HOME)
        await self.api.ask("POST", f"/api/v1/namespaces/{HOME}/serviceaccounts", {"metadata": {"name": OPERATOR}})
        await self._allow("", "ClusterRole", policy_rules())
        await self._allow(f"/namespaces/{HOME}", "Role", policy_rules(LEASE_RULES))
        token = await self.api.ask("POST", f"/api/v1/namespaces/{HOME}/serviceaccounts/{OPERATOR}/token", {"spec": {}})
        users = [self.api.kubeconfig["users"][0] | {"user": {"token": token["status"]["token"]}}]
        self.operator_kubeconfig.write_text(yaml.safe_dump(self.api.kubeconfig | {"users": users}))
        for _ in range(100):
            with contextlib.suppress(RuntimeError):
                await self.api.ask("GET", MODEL_ROUTE.path())
                return
            await asyncio.sleep(0.1)
        raise RuntimeError("the API server does not serve ModelRoutes")

    async def _allow(self, scope: str, kind: str, rules: list[KubeObject]) -> None:
        """Give the operator a role with these rules; ``scope`` is a part of a URL's path."""
        path, named = f"/apis/rbac.authorization.k8s.io/v1{scope}/{kind.lower()}", {"metadata": {"name": OPERATOR}}
        account = {"kind": "ServiceAccount", "namespace": HOME, "name": OPERATOR}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": OPERATOR}
        await self.api.ask("POST", f"{path}s", named | {"rules": rules})
        await self.api.ask("POST", f"{path}bindings", named | {"roleRef": role, "subjects": [account]})


@contextlib.asynccontextmanager
async def running(directory: Path) -> AsyncIterator[Plane]:
    """A control plane in ``directory``, which must be there; what is missing of its programs is compiled first."""
    await _script("build.sh", "control-plane", where=CLUSTER_DIR)
    (directory / "bin").symlink_to(CLUSTER_DIR / "bin")
    try:
        await _script("up.sh", "control-plane", where=directory)
        api = Api(yaml.safe_load((directory / "kubeconfig").read_text()))
        try:
            made = Plane(directory, api)
            await made.install()
            yield made
        finally:
            await api.close()
    finally:
        await _script("down.sh", "wipe", where=directory)


async def _script(name: str, argument: str, where: Path) -> None:
    environment = os.environ | {"CLUSTER_DIR": str(where)}
    command = [str(ROOT / "cluster" / name), argument]
    running = asyncio.create_task(
        asyncio.to_thread(subprocess.run, command, env=environment, capture_output=True, text=True, check=False)
    )
    try:
        done = await asyncio.shield(running)
    except asyncio.CancelledError:
        await running  # what is half up could not be taken down
        raise
    if done.returncode:
        raise RuntimeError(f"cluster/{name} {argument} failed:\n{done.stderr[-2000:]}")
