"""The children of a vLLM backend: a Deployment, its Service and PodDisruptionBudget, the claim for its model cache.

Called by ``plan``. What a replica is made of is in ``replica``.
"""

import math

from modelroute.api import podchecks
from modelroute.api import types as t
from modelroute.api.scalars import seconds
from modelroute.planning import names
from modelroute.planning.observed import KubeObject
from modelroute.planning.quantity import quantity
from modelroute.planning.resources import objects, replica
from modelroute.planning.resources.count import Count

_PULL_SECONDS = 600
"""What scheduling and the pull of an image of many GiB may take before a Deployment is said not to progress."""
_INT32 = 2**31 - 1


def deployment(
    route: t.ModelRoute, backend: t.Backend, vllm: t.VLLM, count: Count, live: KubeObject | None = None
) -> KubeObject:
    """The replicas, as many as ``count`` says. A template that changes restarts them, and a start takes minutes.

    So it depends on the spec alone; and where ``live`` is as an operator made it that knew no readiness gates, it stays
    in that form until the spec asks for another template anyway.
    """
    template, gate = replica.template(route, backend, vllm), backend.warmup.readiness_gate
    form = objects.digest(template)
    kept = gate and _has_old_form(live, form, _spec(route, backend, vllm, template), backend.scaling.min_replicas)
    spec = _spec(route, backend, vllm, replica.gated(template) if gate and not kept else template)
    if names.REPLICAS_ANNOTATION in count.notes and count.number is not None:  # ours to decide, and so known
        spec["strategy"] = _strategy(count.number, vllm)
    selector, name = spec["selector"]["matchLabels"], names.backend(route.metadata.name, backend.name)
    made = objects.child("Deployment", name, route.metadata, selector, {"spec": spec})
    notes = count.notes | ({names.FORM_ANNOTATION: form} if kept else {})
    # The number is no part of what is hashed: it changes by itself, and may be another's. That we note it is.
    content = objects.digest({"spec": spec, "notes": sorted(notes)})
    made["metadata"]["annotations"] |= notes | {names.CONTENT_ANNOTATION: content}
    if count.version is not None:
        made["metadata"]["resourceVersion"] = count.version
    if count.number is not None:
        made["spec"]["replicas"] = count.number
    return made


def _spec(route: t.ModelRoute, backend: t.Backend, vllm: t.VLLM, template: KubeObject) -> KubeObject:
    """All of a Deployment's spec but the number of replicas, as it is for minReplicas of them."""
    start = math.ceil(seconds(vllm.startup_timeout))
    return {
        "revisionHistoryLimit": 3,
        "progressDeadlineSeconds": min(_INT32, start + replica.grace(vllm) + _PULL_SECONDS),
        "selector": {"matchLabels": names.backend_selector(route.metadata.name, backend.name)},
        "strategy": _strategy(backend.scaling.min_replicas, vllm),
        "template": template,
    }


def _has_old_form(live: KubeObject | None, form: str, spec: KubeObject, least: int) -> bool:
    """Whether ``live`` was made of this ``spec`` when templates had no readiness gate.

    That operator hashed minReplicas with the rest; the first one after it notes ``form``, the template's own hash, so
    that other changes of the spec do not end what is kept.
    """
    notes = (live or {}).get("metadata", {}).get("annotations") or {}
    if names.FORM_ANNOTATION in notes:
        return bool(notes[names.FORM_ANNOTATION] == form)
    return bool(notes.get(names.CONTENT_ANNOTATION) == objects.digest({"spec": spec | {"replicas": least}}))


def service(route: t.ModelRoute, backend: t.Backend) -> KubeObject:
    """The Service whose EndpointSlices tell which replicas are ready; routers speak to the pods themselves."""
    selector = names.backend_selector(route.metadata.name, backend.name)
    ports = [{"name": "http", "port": podchecks.PORT, "targetPort": "http"}]
    name = names.backend(route.metadata.name, backend.name)
    spec = {"type": "ClusterIP", "selector": selector, "ports": ports}
    return objects.child("Service", name, route.metadata, selector, {"spec": spec})


def disruption_budget(route: t.ModelRoute, backend: t.Backend) -> KubeObject:
    """One replica at a time may be evicted: nodes with GPUs hold several, and a successor takes minutes to answer."""
    selector = names.backend_selector(route.metadata.name, backend.name)
    name, spec = names.backend(route.metadata.name, backend.name), objects.budget(selector)
    return objects.child("PodDisruptionBudget", name, route.metadata, selector, {"spec": spec})


def claim(route: t.ModelRoute, backend: t.Backend, cache: t.ModelCache, live: KubeObject | None) -> KubeObject:
    """The claim of a model cache that has a size.

    Of a claim that is there only the size can change, and only upwards; the rest stays as ``live`` has it.
    """
    selector = names.backend_selector(route.metadata.name, backend.name)
    size = cache.size or ""
    access_modes: list[str] = [cache.access_mode]
    storage_class = cache.storage_class_name
    if live is not None:
        spec = live["spec"]
        size = max(size, spec["resources"]["requests"]["storage"], key=quantity)
        access_modes, storage_class = spec["accessModes"], spec.get("storageClassName")
    body = {
        "accessModes": access_modes,
        "storageClassName": storage_class,
        "resources": {"requests": {"storage": size}},
    }
    name = names.cache(route.metadata.name, backend.name)
    return objects.child("PersistentVolumeClaim", name, route.metadata, selector, {"spec": body})


def _strategy(replicas: int, vllm: t.VLLM) -> KubeObject:
    """How a new version comes in.

    A single replica is replaced only when the new one answers: GPUs may be short and the version may be bad, and the
    old one serves until then. Of several, one makes room for its successor: that needs no spare GPU and costs one at
    most. A volume that one node alone can mount might keep the successor waiting for ever: there, too, the old one
    goes first.
    """
    cache = vllm.model_cache
    one_node = cache is not None and cache.size is not None and cache.access_mode == "ReadWriteOnce"
    if one_node or (replicas > 1 and vllm.gpus):
        return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
