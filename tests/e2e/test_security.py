"""What must not be seen, and what must not be possible, on the running cluster."""

import base64
import json

from tests.e2e.conftest import Cluster


def planted_key(cluster: Cluster) -> str:
    secret = cluster.get("-n", "demo", "secret", "hosted-api")["data"]
    return base64.b64decode(next(iter(secret.values()))).decode()


def test_sec_the_key_is_in_no_object_but_its_secret(quickstart: Cluster) -> None:
    kinds = "configmaps,mroute,deployments,pods,events,services,replicasets"
    assert planted_key(quickstart) not in quickstart.kubectl("get", "-A", kinds, "-o", "json")


def test_sec_the_key_is_in_no_log(quickstart: Cluster) -> None:
    selector = "app.kubernetes.io/component=router"
    # Some of the last roll-out may still end, and be gone when it is their turn.
    logs = quickstart.kubectl("-n", "demo", "logs", "-l", selector, "--tail=-1", "--ignore-errors")
    assert "admin port 8001" in logs
    logs += quickstart.kubectl("-n", "modelroute-system", "logs", "deploy/modelroute-operator", "--tail=-1")
    assert planted_key(quickstart) not in logs


def test_sec_the_pods_are_admitted_as_restricted(quickstart: Cluster) -> None:
    for namespace in ("demo", "modelroute-system"):
        label = "pod-security.kubernetes.io/enforce=restricted"
        warned = quickstart.kubectl("label", "namespace", namespace, label, "--overwrite", "--dry-run=server")
        assert "Warning" not in warned


def test_sec_router_pods_hold_no_token(quickstart: Cluster) -> None:
    selector = "modelroute.dev/route=chat"
    pods = json.dumps(quickstart.get("-n", "demo", "pods", "-l", selector))
    assert "kube-api-access" not in pods


def test_sec_the_operator_may_not_list_secrets(quickstart: Cluster) -> None:
    who = "system:serviceaccount:modelroute-system:modelroute-operator"
    for verb in ("list", "watch", "create", "delete"):
        assert quickstart.kubectl("auth", "can-i", verb, "secrets", "-A", "--as", who, check=False).startswith("no")
