"""Whether a pod template keeps within what it may reach, and which Secrets it names.

Called by ``deploying``, since the API server cannot look into a field of any shape, and by planning. What is not
declared in ``podtemplate`` is refused; the checks here are what types cannot say.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from modelroute.api import podtemplate as p
from modelroute.api.checks import Finding
from modelroute.api.telling import told

MAIN = "vllm"
"""The container that is ours."""
PORT = 8000
"""Where an engine serves."""
MOST_SECRETS = 32
"""Of one template."""
_OURS = ("image", "args", "ports", "startupProbe", "readinessProbe", "livenessProbe")
"""What of our container other fields say, or nobody but us."""
_KNOWN_DOMAINS = (
    "cluster-autoscaler.kubernetes.io",
    "karpenter.sh",
    "kueue.x-k8s.io",
    "prometheus.io",
    "sidecar.prometheus.io",
)
"""Domains of labels and annotations that steer no more than scheduling and scraping. Others have software act on a pod:
an injector may add what a template may not."""

_WHY = {
    "nodeSelector": "it is vllm.nodeSelector",
    "tolerations": "they are vllm.tolerations",
    "imagePullSecrets": "they are vllm.imagePullSecrets",
    "terminationGracePeriodSeconds": "it follows from vllm.drainTimeout",
    "hostNetwork": "a replica does not get into its node",
    "hostPID": "a replica does not get into its node",
    "hostIPC": "a replica does not get into its node",
    "hostPort": "a replica does not get into its node",
    "hostPath": "a replica does not get into its node",
    "nodeName": "the scheduler chooses the node; narrow its choice by vllm.nodeSelector",
    "serviceAccountName": "a replica has no account of the cluster's",
    "serviceAccount": "a replica has no account of the cluster's",
    "automountServiceAccountToken": "a replica has no account of the cluster's",
    "serviceAccountToken": "a replica has no account of the cluster's",
    "privileged": "a replica gets no rights on its node",
    "allowPrivilegeEscalation": "a replica gets no rights on its node; it is false already",
    "capabilities": "a replica gets no rights on its node; all are dropped already",
    "procMount": "a replica gets no rights on its node",
    "runAsNonRoot": "it is true already",
    "seccompProfile": "it is RuntimeDefault already",
    "lifecycle": "replicas end as vllm.drainTimeout says",
    "readinessGates": "they are the operator's",
    "replicas": "it is scaling.minReplicas",
}
"""Why a field is not to be had, or where else it is; of others it is said what there is."""
_UNKNOWN = re.compile(r'unknown field "([^"]*)"; (?:did you mean .*|here are (.*))')


class NamedSecret(NamedTuple):
    """A Secret that a template names; ``path`` is below the template. An optional one may be missing."""

    path: str
    name: str
    optional: bool


def findings(template: Mapping[str, Any]) -> Iterator[Finding]:
    """What is wrong with ``template``: nothing, or one sentence with its path below the template."""
    try:
        read = msgspec.convert(template, p.PodTemplate)
    except msgspec.ValidationError as error:
        path, problem = told(error, template, p.PodTemplate)
        yield "" if path == "manifest" else f".{path}", _reasoned(problem)
        return
    yield from _of_metadata(template.get("metadata") or {})
    yield from _of_pod(read.spec)


def secrets(template: Mapping[str, Any]) -> Iterator[NamedSecret]:
    """The Secrets that ``template``, which has been checked, names."""
    yield from _secrets(msgspec.convert(template, p.PodTemplate).spec)


def _secrets(pod: p.Pod) -> Iterator[NamedSecret]:
    for at, container in _containers(pod):
        yield from _of_variables(at, container)
    for i, volume in enumerate(pod.volumes):
        at = f".spec.volumes[{i}]"
        if volume.secret:
            yield NamedSecret(f"{at}.secret.secretName", volume.secret.secret_name, volume.secret.optional)
        for j, source in enumerate(volume.projected.sources if volume.projected else ()):
            if source.secret:
                yield NamedSecret(f"{at}.projected.sources[{j}].secret", source.secret.name, source.secret.optional)


def _containers(pod: p.Pod) -> Iterator[tuple[str, p.Container]]:
    for kind, containers in (("containers", pod.containers), ("initContainers", pod.init_containers)):
        yield from ((f".spec.{kind}[{i}]", container) for i, container in enumerate(containers))


def _of_variables(at: str, container: p.Container) -> Iterator[NamedSecret]:
    for i, one in enumerate(container.env):
        if one.value_from and (key := one.value_from.secret_key_ref):
            yield NamedSecret(f"{at}.env[{i}].valueFrom.secretKeyRef", key.name, key.optional)
    for i, many in enumerate(container.env_from):
        if ref := many.secret_ref:
            yield NamedSecret(f"{at}.envFrom[{i}].secretRef", ref.name, ref.optional)


def _reasoned(problem: str) -> str:
    unknown = _UNKNOWN.fullmatch(problem)
    if unknown is None:
        return problem
    if unknown[1] in _WHY:
        return f'a template cannot set "{unknown[1]}": {_WHY[unknown[1]]}'
    return f'a template cannot set "{unknown[1]}"; {problem.partition("; ")[2]}'


def _of_metadata(metadata: Mapping[str, Mapping[str, str]]) -> Iterator[Finding]:
    for kind, entries in metadata.items():
        for key in entries:
            domain, slash, _ = key.rpartition("/")
            if slash and domain not in _KNOWN_DOMAINS:
                advice = f"write a key without a domain, or of {', '.join(_KNOWN_DOMAINS)}"
                problem = f'a template cannot set "{key}": other software may act on it; {advice}'
                yield f".metadata.{kind}.{key}", problem


def _of_pod(pod: p.Pod) -> Iterator[Finding]:
    priority = pod.priority_class_name or ""
    if priority.startswith("system-"):
        yield ".spec.priorityClassName", f'"{priority}" is for the cluster\'s own pods'
    if (count := len({secret.name for secret in _secrets(pod)})) > MOST_SECRETS:
        yield ".spec", f"it names {count} Secrets, {MOST_SECRETS} at most: each is read by itself"
    seen: set[str] = set()
    for at, container in _containers(pod):
        if container.name in seen or (container.name == MAIN and isinstance(container, p.InitContainer)):
            yield f"{at}.name", f'"{container.name}" is there twice'
        seen.add(container.name)
        yield from ((at + below, problem) for below, problem in _of_container(container))


def _of_container(container: p.Container) -> Iterator[Finding]:
    if container.name == MAIN:
        given = msgspec.to_builtins(container)
        for name in _OURS:
            if given.get(name):
                known = name in ("image", "args")
                yield (
                    f".{name}",
                    f'a template cannot set "{name}" of the container {MAIN}: '
                    + (f"it is vllm.{name}" if known else "it is the operator's"),
                )
        return
    if not container.image:
        yield "", f'the container "{container.name}" has no image; the operator\'s own is named "{MAIN}"'
    for i, port in enumerate(container.ports):
        if port.name == "http" or port.container_port == PORT:
            yield f".ports[{i}]", f"the port http, {PORT}, is that of the container {MAIN}"
