"""The one way to the Kubernetes API for the operator's own requests; kopf's watches share the credentials.

Used wherever this room reads or writes. With a fence it writes nothing but a Lease while this operator does not lead;
the webhooks, which every replica serves, have one without. Never retries (the work queue does) and never logs or keeps
a body.
"""

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import aiohttp
import kubernetes.aio.client
import kubernetes.aio.config
import msgspec

from modelroute import __version__
from modelroute.controller import metrics
from modelroute.controller.kube.calls import (
    APPLY,
    CONFLICT,
    JSON_PATCH,
    MERGE,
    METHODS,
    NOT_FOUND,
    READS,
    STRATEGIC,
    ApiError,
    Call,
    NotLeadingError,
)
from modelroute.controller.kube.fencing import Fence, FenceClosedError
from modelroute.controller.kube.kinds import (
    CHILDREN,
    CLAIM,
    EVENT,
    FIELD_MANAGER,
    LEASE,
    MODEL_ROUTE,
    POD,
    SECRET,
    Kind,
)
from modelroute.errors import ModelRouteError
from modelroute.planning.observed import KubeObject

_TIMEOUT = aiohttp.ClientTimeout(total=30, connect=5)


def unborn(desired: KubeObject) -> KubeObject:
    """``desired``, so that to apply it is refused (``ApiError.taken``) where anything has its name.

    An object's version is that of its last write, and that of the first write to a cluster is 2: no object has this
    one, and where there is none yet it is not compared with anything.
    """
    return desired | {"metadata": desired["metadata"] | {"resourceVersion": "1"}}


async def credentials() -> "kubernetes.aio.client.Configuration":
    """The cluster that KUBECONFIG names, else the one this pod runs in, else the one of ~/.kube/config."""
    configuration = kubernetes.aio.client.Configuration()
    try:
        if "KUBECONFIG" not in os.environ and "KUBERNETES_SERVICE_HOST" in os.environ:
            kubernetes.aio.config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            await kubernetes.aio.config.load_kube_config(  # type: ignore[no-untyped-call]
                os.environ.get("KUBECONFIG"), client_configuration=configuration, persist_config=False
            )
    except kubernetes.aio.config.ConfigException as error:
        raise ModelRouteError(f"no cluster to work with: {error}; set KUBECONFIG, or run in a pod") from None
    return configuration


class Cluster:
    """The API server."""

    def __init__(self, configuration: "kubernetes.aio.client.Configuration", fence: Fence | None = None) -> None:
        """Nothing is sent before the first call, and no write but to a Lease unless ``fence`` is open."""
        self._fence = fence
        # As kopf's watches. With the environment's proxies each request would also be looked up in another thread.
        configuration.client_session_kwargs = {"trust_env": False}
        self._client = kubernetes.aio.client.ApiClient(configuration)
        self._client.user_agent = f"modelroute-operator/{__version__}"

    @property
    def configuration(self) -> "kubernetes.aio.client.Configuration":
        """Where it is, and by which credentials."""
        found: kubernetes.aio.client.Configuration = self._client.configuration
        return found

    async def close(self) -> None:
        """Let the connections go."""
        await self._client.close()  # type: ignore[no-untyped-call]

    async def find(self, kind: Kind, namespace: str | None, name: str) -> KubeObject | None:
        """The object of that name, None when there is none; one of the whole cluster has no namespace."""
        found = await self._unless_gone(Call("get", kind, namespace, name))
        return None if found is None else found | {"kind": kind.name, "apiVersion": kind.api_version}

    async def secret_keys(self, namespace: str, name: str) -> frozenset[str] | None:
        """The keys of a Secret, None when there is none; the values are dropped here."""
        secret = await self.find(SECRET, namespace, name)
        return None if secret is None else frozenset(secret.get("data") or {})

    async def has_claim(self, namespace: str, name: str) -> bool:
        """Whether there is a PersistentVolumeClaim of that name."""
        return await self.find(CLAIM, namespace, name) is not None

    async def serves_routes(self, namespace: str | None) -> bool:
        """Whether the CustomResourceDefinition is installed."""
        return await self._unless_gone(Call("list", MODEL_ROUTE, namespace, query={"limit": "1"})) is not None

    async def select(
        self, kind: Kind, namespace: str | None, selector: str, limit: int | None = None
    ) -> tuple[list[KubeObject], int]:
        """The objects that the label selector picks, the first ones up to ``limit``, and the list's version."""
        asked = {"labelSelector": selector, "limit": limit}
        call = Call("list", kind, namespace, query={name: str(value) for name, value in asked.items() if value})
        found = await self._send(call)
        items = [item | {"kind": kind.name, "apiVersion": kind.api_version} for item in found["items"]]
        return items, int(found["metadata"].get("resourceVersion") or 0)

    async def apply(self, desired: KubeObject) -> KubeObject:
        """Server-side apply; our fields win over those who hold them. The object as it now is."""
        kind, meta = CHILDREN[desired["kind"]], desired["metadata"]
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        call = Call("patch", kind, meta["namespace"], meta["name"], query=query, body=desired, content_type=APPLY)
        applied: KubeObject = await self._send(call)
        return applied

    async def reset(self, desired: KubeObject, live: KubeObject) -> None:
        """Replace whole what ``desired`` sets in ``live``, lists too: apply only adds to what others have put there."""
        meta = live["metadata"]
        body = {k: v for k, v in desired.items() if k not in ("apiVersion", "kind", "metadata")}
        if "spec" in body:  # no kind but a PodDisruptionBudget has it, where it contradicts what we set
            body["spec"] = {"minAvailable": None, **body["spec"]}
        call = Call(
            "patch",
            CHILDREN[live["kind"]],
            meta["namespace"],
            meta["name"],
            query={"fieldManager": FIELD_MANAGER},
            body={"metadata": {"uid": meta["uid"]}, **body},
            content_type=MERGE,
        )
        await self._send(call)

    async def delete(self, live: KubeObject) -> KubeObject | None:
        """Delete this very object; one that is gone or was replaced by another is left alone.

        The object as it is until its finalizers let it go; None where it has none.
        """
        meta = live["metadata"]
        body = {"preconditions": {"uid": meta["uid"]}, "propagationPolicy": "Background"}
        call = Call("delete", CHILDREN[live["kind"]], meta["namespace"], meta["name"], body=body)
        answer = await self._unless_gone(call, CONFLICT) or {}
        return answer if (answer.get("metadata") or {}).get("deletionTimestamp") else None

    async def write_status(self, live: KubeObject, status: KubeObject) -> KubeObject | None:
        """Replace the status of this very ModelRoute. The ModelRoute as it now is, None when it is gone."""
        meta = live["metadata"]
        body = [
            {"op": "test", "path": "/metadata/uid", "value": meta["uid"]},
            {"op": "add", "path": "/status", "value": status},
        ]
        call = Call(
            "patch",
            MODEL_ROUTE,
            meta["namespace"],
            meta["name"],
            "status",
            {"fieldManager": FIELD_MANAGER},
            body,
            JSON_PATCH,
        )
        return await self._unless_gone(call)

    async def annotate_pod(self, pod: KubeObject, annotations: Mapping[str, str | None]) -> KubeObject | None:
        """Set annotations of this very pod; None takes one away. The pod as it now is, None when it is gone."""
        return await self._patch_pod(pod, "", {"metadata": {"annotations": dict(annotations)}}, MERGE)

    async def set_pod_condition(self, pod: KubeObject, condition: KubeObject) -> KubeObject | None:
        """Set one condition of this very pod; others stay. The pod as it now is, None when it is gone."""
        return await self._patch_pod(pod, "status", {"status": {"conditions": [condition]}}, STRATEGIC)

    async def _patch_pod(
        self, pod: KubeObject, subresource: str, change: KubeObject, content_type: str
    ) -> KubeObject | None:
        meta, query = pod["metadata"], {"fieldManager": FIELD_MANAGER}
        body = {**change, "metadata": {"uid": meta["uid"], **change.get("metadata", {})}}
        call = Call("patch", POD, meta["namespace"], meta["name"], subresource, query, body, content_type)
        return await self._unless_gone(call, CONFLICT)

    async def publish(self, namespace: str, event: KubeObject) -> None:
        """Create an Event."""
        await self._send(Call("create", EVENT, namespace, body=event))

    async def merge(self, kind: Kind, namespace: str | None, name: str, change: KubeObject) -> None:
        """Merge ``change`` into an object; with a version in its metadata, into just that version."""
        query = {"fieldManager": FIELD_MANAGER}
        await self._send(Call("patch", kind, namespace, name, query=query, body=change, content_type=MERGE))

    async def edit(self, kind: Kind, namespace: str | None, name: str, change: list[KubeObject]) -> None:
        """Carry out a JSON Patch, whole or not at all."""
        query = {"fieldManager": FIELD_MANAGER}
        await self._send(Call("patch", kind, namespace, name, query=query, body=change, content_type=JSON_PATCH))

    async def create(self, kind: Kind, desired: KubeObject) -> KubeObject:
        """Make an object that must not be there yet; ApiError 409 when it is. The object as it now is."""
        namespace = (desired.get("metadata") or {}).get("namespace")  # None: of the whole cluster
        made: KubeObject = await self._send(Call("create", kind, namespace, body=desired))
        return made

    async def replace(self, kind: Kind, desired: KubeObject) -> KubeObject:
        """Put an object in the place of the one of its resourceVersion; ApiError 409 when that has changed."""
        meta = desired["metadata"]
        replaced: KubeObject = await self._send(Call("update", kind, meta["namespace"], meta["name"], body=desired))
        return replaced

    async def _unless_gone(self, call: Call, *also: int) -> KubeObject | None:
        """The answer to ``call``; None where what it is about is not there, or with another status that says so."""
        try:
            answer: KubeObject = await self._send(call)
        except ApiError as error:
            if error.status not in (NOT_FOUND, *also):
                raise
            return None
        return answer

    async def _send(self, call: Call) -> Any:
        if self._fence is None or call.verb in READS or call.kind is LEASE:
            return await self._request(call)
        try:
            async with self._fence.passing():
                return await self._request(call)
        except FenceClosedError:
            raise NotLeadingError(call, 0, "this operator does not lead") from None

    async def _request(self, call: Call) -> Any:
        path = call.kind.path(call.namespace, call.name, call.subresource)
        url = self._client.configuration.host + path + (f"?{urlencode(call.query)}" if call.query else "")
        headers = {"Content-Type": call.content_type, "Accept": "application/json", **self._client.default_headers}
        try:
            await self._client.update_params_for_auth(headers, [], ["BearerToken"], path, METHODS[call.verb], call.body)
            response = await self._client.call_api(
                METHODS[call.verb], url, headers, call.body, _request_timeout=_TIMEOUT
            )
            data, status = await response.response.read(), response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            metrics.API_REQUESTS.labels(call.verb, call.kind.plural, "error").inc()
            raise ApiError(call, 0, f"{type(error).__name__}: {error}") from None
        metrics.API_REQUESTS.labels(call.verb, call.kind.plural, str(status)).inc()
        if status >= 400:
            raise _refused(call, status, data, response.headers.get("Retry-After", ""))
        try:
            return msgspec.json.decode(data)
        except msgspec.DecodeError as error:  # something between us and the API server answered
            raise ApiError(call, 0, f"the answer is not JSON: {error}") from None


def _refused(call: Call, status: int, data: bytes, retry_after: str) -> ApiError:
    try:
        answer = msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.DecodeError:
        answer = {}
    causes = (answer.get("details") or {}).get("causes") or ()
    message = answer.get("message") or f"the API server said {status}"
    if status == NOT_FOUND and call.kind.comes_with:  # an apply makes what is not there: it is the kind that is missing
        message = f"this cluster has no such kind; install {call.kind.comes_with}, or choose another scaling.engine"
    return ApiError(
        call,
        status,
        message,
        retry_after=float(retry_after) if retry_after.isdigit() else 0,
        ending=any(cause.get("reason") == "NamespaceTerminating" for cause in causes),
    )
