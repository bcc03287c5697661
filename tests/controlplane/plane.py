"""A throwaway control plane for the tests of this folder, a plain client for it, and the operator as a process."""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from modelroute.controller.kube.kinds import MODEL_ROUTE, POD
from modelroute.controller.kube.rbac import CLUSTER_RULES, LEASE_RULES, OWN_RULES, policy_rules
from tests.controlplane import kubelet
from tests.controlplane.api import Api

ROOT = Path(__file__).resolve().parents[2]
BINARIES = Path(os.environ.get("CLUSTER_DIR", Path.home() / ".cache/modelroute-cluster")) / "bin"
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
HOME, OPERATOR = "modelroute-system", "modelroute-operator"
LAST = "last"
"""A user that has rights only for the API server to be asked about them."""
USER = f"system:serviceaccount:{HOME}:{OPERATOR}"
WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})

KubeObject = dict[str, Any]


def until(what: str, holds: Callable[[], Any], seconds: float = 20) -> Any:
    """What ``holds`` returns as soon as it is true."""
    limit = time.monotonic() + seconds
    while not (found := holds()):
        if time.monotonic() > limit:
            pytest.fail(f"not within {seconds} s: {what}")
        time.sleep(0.05)
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


class Plane:
    """etcd, kube-apiserver and kube-controller-manager on loopback, in a directory of their own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.numbers = itertools.count(1)
        self.users: list[Api] = []
        self.namespaces: list[str] = []
        (directory / "bin").symlink_to(BINARIES)
        self._environment = os.environ | {"CLUSTER_DIR": str(directory)}
        self._script("up.sh", "control-plane")
        self.admin = Api(yaml.safe_load((directory / "kubeconfig").read_text()))
        self._install()

    def stop(self) -> None:
        for api in (self.admin, *self.users):
            api.http.close()
        self._script("down.sh", "wipe")

    def namespace(self) -> str:
        """A new one."""
        name = f"test-{next(self.numbers)}"
        self.admin.must("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        self.namespaces.append(name)
        return name

    def allow(self, rules: list[dict[str, list[str]]]) -> None:
        """Make these the operator's rights; when it returns, the API server goes by them."""
        last = f"t{next(self.numbers)}"
        self._set_rules(OPERATOR, rules)
        self._set_rules(LAST, [{"apiGroups": ["test"], "resources": [last], "verbs": ["get"]}])
        self.until_may(LAST, {"group": "test", "resource": last, "verb": "get"})  # it learns of changes in order

    def _set_rules(self, name: str, rules: list[dict[str, list[str]]]) -> None:
        role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}}
        self._apply(f"{RBAC}/clusterroles/{name}", role | {"rules": rules})

    def until_may(self, user: str, what: dict[str, str]) -> None:
        """Wait until the API server goes by a right that was given: it learns of roles some time after."""
        review = {"spec": {"user": user, "resourceAttributes": what}}
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        until(f"{user} may {what}", lambda: self.admin.must("POST", path, review)["status"]["allowed"])

    def identity(self, namespace: str, *, clusterwide: bool, lease_in: str = "") -> Path:
        """A kubeconfig for an operator that has the rights of the role there, or everywhere, and no others."""
        account = {"kind": "ServiceAccount", "namespace": namespace, "name": OPERATOR}
        scope = "clusterrolebindings" if clusterwide else f"namespaces/{namespace}/rolebindings"
        self.admin.must("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": OPERATOR}})
        self._bind(scope, namespace, "ClusterRole", OPERATOR, account)
        home, lease = f"namespaces/{lease_in or namespace}", f"{OPERATOR}-lease"
        role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": lease}}
        self._apply(f"{RBAC}/{home}/roles/{lease}", role | {"rules": policy_rules(LEASE_RULES)})
        self._bind(f"{home}/rolebindings", f"{namespace}-lease", "Role", lease, account)
        return self.kubeconfig(namespace)

    def _bind(self, scope: str, name: str, kind: str, role: str, account: KubeObject) -> None:
        ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role}
        self.admin.must("POST", f"{RBAC}/{scope}", {"metadata": {"name": name}, "roleRef": ref, "subjects": [account]})

    def _apply(self, path: str, body: KubeObject) -> None:
        self.admin.must("PATCH", path, body, "apply-patch+yaml", fieldManager="test")

    def kubeconfig(self, namespace: str, account: str = OPERATOR) -> Path:
        """A file by which one acts as a ServiceAccount."""
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        token = self.admin.must("POST", path, request)["status"]["token"]
        config = json.loads(json.dumps(self.admin.kubeconfig))
        config["users"][0]["user"] = {"token": token}
        file = self.directory / f"{namespace}-{account}.kubeconfig"
        file.write_text(yaml.safe_dump(config))
        return file

    def mark(self) -> int:
        """Now, in the audit log."""
        return self._audit.stat().st_size

    def asked(self, since: int = 0, user: str = USER) -> Iterator[dict[str, str]]:
        """What the operator, or another of that name, has asked for since that mark."""
        with self._audit.open("rb") as log:
            log.seek(since)
            events = [json.loads(line) for line in log if line.endswith(b"\n")]
        for event in events:
            if event["user"]["username"] == user and event["stage"] == "ResponseComplete" and "objectRef" in event:
                yield {"verb": event["verb"]} | event["objectRef"]

    def writes(self, since: int, namespace: str, user: str = USER) -> list[str]:
        """What the operator, or another of that name, has written in ``namespace`` since that mark."""
        found = [a for a in self.asked(since, user) if a["verb"] in WRITES and a.get("namespace") == namespace]
        return [f"{a['verb']} {a['resource']}/{a.get('name')}/{a.get('subresource', '')}" for a in found]

    @property
    def _audit(self) -> Path:
        return self.directory / "logs/audit.log"

    def _script(self, name: str, *arguments: str) -> None:
        command = [str(ROOT / "cluster" / name), *arguments]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def install_definition(self) -> None:
        definition = yaml.safe_load(next((ROOT / "crds").glob("*.yaml")).read_text())
        self.admin.must("POST", DEFINITIONS, definition)
        until("the API serves ModelRoutes", lambda: self.admin.ask("GET", MODEL_ROUTE.path()).is_success)

    def remove_definition(self) -> None:
        name = f"{DEFINITIONS}/{MODEL_ROUTE.plural}.{MODEL_ROUTE.group}"
        self.admin.must("DELETE", name)
        until("the definition is gone", lambda: self.admin.ask("GET", name).status_code == 404, seconds=60)

    def crash_api_server(self) -> None:
        """Kill it, and start it again."""
        self._signal("kube-apiserver", signal.SIGKILL)
        self._script("up.sh", "control-plane")

    def pause_etcd(self) -> None:
        """As when it has no quorum: nothing can be written any more, or read of what is not cached."""
        self._signal("etcd", signal.SIGSTOP)

    def resume_etcd(self) -> None:
        self._signal("etcd", signal.SIGCONT)

    def _signal(self, program: str, number: signal.Signals) -> None:
        os.kill(int((self.directory / f"run/{program}.pid").read_text().split()[0]), number)

    def _install(self) -> None:
        self.install_definition()
        user = {"kind": "User", "name": LAST, "apiGroup": "rbac.authorization.k8s.io"}
        self._bind("clusterrolebindings", LAST, "ClusterRole", LAST, user)
        self.allow(policy_rules())
        self.admin.must("POST", "/api/v1/namespaces", {"metadata": {"name": HOME}})
        self.operator_kubeconfig = self.identity(HOME, clusterwide=True)
        account = {"kind": "ServiceAccount", "namespace": HOME, "name": OPERATOR}
        self.grant(f"namespaces/{HOME}/", "Role", f"{OPERATOR}-own", policy_rules(OWN_RULES), account)
        self.grant("", "ClusterRole", f"{OPERATOR}-cluster", policy_rules(CLUSTER_RULES), account)

    def grant(self, scope: str, kind: str, name: str, rules: list[dict[str, list[str]]], account: KubeObject) -> None:
        """Give ``account`` these rights, in the cluster or in one namespace."""
        group = "rbac.authorization.k8s.io"
        role = {"apiGroup": group, "kind": kind, "name": name}
        self.admin.must("POST", f"{RBAC}/{scope}{kind.lower()}s", {"metadata": {"name": name}, "rules": rules})
        binding = {"metadata": {"name": name}, "roleRef": role, "subjects": [account]}
        self.admin.must("POST", f"{RBAC}/{scope}{kind.lower()}bindings", binding)

    def make_pods_ready(self, namespace: str, component: str, *addresses: str) -> None:
        """Say of every pod of a component what a kubelet would say; of those with addresses, in order of their names.

        Containers run and are ready; the pod is when its readiness gates are open. To be called again when one opened.
        """
        pods = self.admin.all(POD, namespace, f"app.kubernetes.io/component={component}")
        for pod, address in itertools.zip_longest(pods, addresses[: len(pods)]):
            self.make_pod_ready(pod, address)

    def make_pod_ready(self, pod: KubeObject, address: str | None = None) -> None:
        """Say of a pod what a kubelet would say."""
        path = POD.path(pod["metadata"]["namespace"], pod["metadata"]["name"], "status")
        self.admin.must("PATCH", path, {"status": kubelet.says(pod, address)}, "strategic-merge-patch+json")


class Operator:
    """The operator as users run it, with a log that is shown when a test fails."""

    def __init__(
        self,
        kubeconfig: Path,
        *arguments: str,
        lease_in: str = "",
        program: Sequence[str] = ("modelroute.cli.main",),
    ) -> None:
        self._port, self.webhook_port = free_port(), free_port()
        self._kubeconfig = kubeconfig
        self._program = program
        # Short, since some tests kill it, and a successor has to wait for that.
        home = lease_in or kubeconfig.name.split(".")[0].removesuffix(f"-{OPERATOR}")
        self.arguments = ("--lease-duration=5", f"--lease-namespace={home}", *arguments)
        self._log = kubeconfig.with_suffix(".log")
        self.start()

    def start(self) -> None:
        path = f"{ROOT / 'operator'}:{ROOT}"
        environment = os.environ | {"KUBECONFIG": str(self._kubeconfig), "PYTHONPATH": path}
        command = [sys.executable, "-m", *self._program, "operator", "--router-image=modelroute/router:test"]
        command += [f"--admin-port={self._port}", *self.arguments]
        command = [argument.replace("{webhook-port}", str(self.webhook_port)) for argument in command]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code."""
        self.signal(number)
        return self.wait()

    def wait(self) -> int:
        """Its exit code, when it ends."""
        try:
            return self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            pytest.fail("the operator did not end")

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def running(self) -> bool:
        return self._process.poll() is None

    def log(self) -> str:
        return self._log.read_text()

    def failures(self, namespace: str) -> int:
        """How often a reconcile of a route of the namespace has failed."""
        lines = self.log().splitlines()
        return sum("trying again in" in line and f"route={namespace}/" in line for line in lines)

    def metric(self, name: str) -> float:
        """The sum over all labels; 0 while it does not answer."""
        return sum(float(x.rsplit(" ", 1)[1]) for x in self.metrics().splitlines() if x.startswith(name))

    def metrics(self) -> str:
        """All that it counts; empty while it does not answer."""
        status, text = self._ask("metrics")
        return text if status else ""

    def leads(self) -> bool:
        return self.metric("modelroute_leader") == 1

    def ready(self) -> bool:
        return self._ask("readyz")[0] == 200

    def health(self) -> tuple[int, str]:
        """What the kubelet is told."""
        return self._ask("healthz")

    def _ask(self, path: str) -> tuple[int, str]:
        try:
            answer = httpx.get(f"http://127.0.0.1:{self._port}/{path}")
        except httpx.TransportError as error:
            return 0, type(error).__name__
        return answer.status_code, answer.text
