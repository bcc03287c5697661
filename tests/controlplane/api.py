"""A plain client for the API server of these tests, as one user."""

import base64
import json
import ssl
from typing import Any

import httpx

from modelroute.controller.kube.kinds import Kind

KubeObject = dict[str, Any]


class Api:
    """The API server, as one user."""

    def __init__(self, kubeconfig: KubeObject) -> None:
        self.kubeconfig = kubeconfig
        self.cluster = kubeconfig["clusters"][0]["cluster"]
        self.authority = base64.b64decode(self.cluster["certificate-authority-data"]).decode()
        self.http = httpx.Client(
            base_url=self.cluster["server"],
            verify=ssl.create_default_context(cadata=self.authority),
            headers={"Authorization": f"Bearer {kubeconfig['users'][0]['user']['token']}"},
            timeout=30,
        )

    def ask(self, method: str, path: str, body: Any = None, content: str = "json", **query: str) -> httpx.Response:
        headers = {"Content-Type": f"application/{content}"}
        data = None if body is None else json.dumps(body)
        return self.http.request(method, path, content=data, params=query, headers=headers)

    def must(self, method: str, path: str, body: Any = None, content: str = "json", **query: str) -> Any:
        answer = self.ask(method, path, body, content, **query)
        assert answer.is_success, answer.text
        return answer.json()

    def get(self, kind: Kind, namespace: str, name: str) -> Any:
        answer = self.ask("GET", kind.path(namespace, name))
        assert answer.is_success or answer.status_code == 404, answer.text
        return answer.json() if answer.is_success else None

    def all(self, kind: Kind, namespace: str, selector: str = "") -> list[KubeObject]:
        found: list[KubeObject] = self.must("GET", kind.path(namespace), labelSelector=selector)["items"]
        return found

    def create(self, kind: Kind, namespace: str, body: KubeObject) -> KubeObject:
        created: KubeObject = self.must(
            "POST", kind.path(namespace), {"apiVersion": kind.api_version, "kind": kind.name} | body
        )
        return created

    def merge(self, kind: Kind, namespace: str, name: str, change: KubeObject, subresource: str = "") -> None:
        self.must("PATCH", kind.path(namespace, name, subresource), change, "merge-patch+json")

    def replace(self, kind: Kind, namespace: str, name: str, path: str, value: Any) -> None:
        """Put ``value`` at a JSON pointer."""
        change = [{"op": "add", "path": path, "value": value}]
        self.must("PATCH", kind.path(namespace, name), change, "json-patch+json")

    def delete(self, kind: Kind, namespace: str, name: str, policy: str = "Background") -> None:
        self.must("DELETE", kind.path(namespace, name), {"propagationPolicy": policy})
