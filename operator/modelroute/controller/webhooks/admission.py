"""What is admitted: ModelRoutes by the rules of ``api`` and what the user may, pods with the router they ask for.

Called by ``server`` for each review. Never writes, so that a dry run is as good as a real one.
"""

import asyncio
import re

from modelroute.api import types as t
from modelroute.api.parse import MAX_NAME, parse
from modelroute.api.scalars import LABEL
from modelroute.controller.kube.calls import ApiError
from modelroute.controller.kube.cluster import Cluster
from modelroute.controller.kube.kinds import ACCESS_REVIEW, MODEL_ROUTE
from modelroute.controller.webhooks.reviews import Ask, User, Verdict
from modelroute.errors import InvalidManifestError
from modelroute.planning import names
from modelroute.planning.admission import sidecar
from modelroute.planning.admission.exposure import Right, needed
from modelroute.planning.admission.warnings import warnings
from modelroute.planning.observed import KubeObject
from modelroute.planning.settings import Settings

_INVALID, _FORBIDDEN, _LATE = 422, 403, 504
_MOST_RIGHTS = 100
"""To be asked about for one review: each is a request, and all must be answered within the webhook's time."""
_READABLE = {"configmaps": "ConfigMap", "secrets": "Secret"}


class Admission:
    """Decides."""

    def __init__(self, cluster: Cluster, settings: Settings) -> None:
        """``settings`` are those of the routers."""
        self._cluster = cluster
        self._settings = settings

    async def validate(self, ask: Ask) -> Verdict:
        """Whether a ModelRoute may be kept as it is, and what a person should be warned of."""
        try:
            route = parse(ask.object)
        except InvalidManifestError as error:
            return Verdict(_INVALID, str(error))
        denied = await self._denied(ask, needed(_old(ask), route))
        return denied or Verdict(warnings=warnings(route, self._settings))

    async def inject(self, ask: Ask) -> Verdict:
        """A pod's router. Refuses the pod that cannot have it: without it, its requests would go to nobody."""
        pod = ask.object or {}
        asked = str((pod["metadata"].get("labels") or {}).get(names.SIDECAR_LABEL, ""))
        try:
            route = await self._route(ask.namespace, asked)
            after = sidecar.injected(pod, route, self._settings)
        except InvalidManifestError as error:
            return Verdict(_INVALID, str(error))
        except ApiError as error:
            return Verdict(_LATE, f"{error}; try again")
        return Verdict(patch=tuple(sidecar.patch(pod, after)))

    async def _route(self, namespace: str, name: str) -> t.ModelRoute:
        # Asked of the API server: a route and a pod that wants it may come in one breath, and a watch is late by one.
        # What the label holds becomes part of a path; it has not been looked at by anybody yet.
        fits = re.fullmatch(LABEL, name) and len(name) <= MAX_NAME
        live = await self._cluster.find(MODEL_ROUTE, namespace, name) if fits else None
        if live is None:
            problem = f'ModelRoute "{name}" is not in namespace {namespace}; make it first, or take the label away'
            raise InvalidManifestError(sidecar.LABEL, problem)
        try:
            return parse(live)
        except InvalidManifestError as error:
            raise InvalidManifestError(sidecar.LABEL, f'ModelRoute "{name}" is not valid: {error}') from None

    async def _denied(self, ask: Ask, rights: tuple[Right, ...]) -> Verdict | None:
        """The refusal of who would have more by this than they may."""
        if len(rights) > _MOST_RIGHTS:
            problem = f"this takes {len(rights)} rights of yours, and {_MOST_RIGHTS} at most can be asked about at once"
            return Verdict(_FORBIDDEN, f"{rights[0].path}: {problem}; apply it in parts")
        try:
            answers = await asyncio.gather(*(self._may(ask.user_info, ask.namespace, right) for right in rights))
        except ApiError as error:
            return Verdict(_LATE, f"{error}; try again")
        sentences = [_refused(r, ask.namespace) for r, may in zip(rights, answers, strict=True) if not may]
        return Verdict(_FORBIDDEN, "; ".join(sentences)) if sentences else None

    async def _may(self, user: User, namespace: str, right: Right) -> bool:
        attributes = {"namespace": namespace, "verb": right.verb, "resource": right.resource, "name": right.name}
        spec: KubeObject = {
            "user": user.username,
            "uid": user.uid,
            "groups": list(user.groups or ()),
            "extra": {key: list(values) for key, values in (user.extra or {}).items()},
            "resourceAttributes": attributes,
        }
        body = {"apiVersion": ACCESS_REVIEW.api_version, "kind": ACCESS_REVIEW.name, "spec": spec}
        answer = await self._cluster.create(ACCESS_REVIEW, body)
        return bool((answer.get("status") or {}).get("allowed"))


def _refused(right: Right, namespace: str) -> str:
    if right.verb == "get":
        thing = f'{_READABLE[right.resource]} "{right.name}" of namespace {namespace}'
        what = f"you may not read {thing}, and this would let it out"
    else:
        what = f"you may not {right.verb} {right.resource} in namespace {namespace}, and this is for those who may"
    return f"{right.path}: {what}; have someone apply it who may"


def _old(ask: Ask) -> t.ModelRoute | None:
    """What is there; None when it is new, or nothing that can be used: then all in it is new."""
    try:
        return parse(ask.old_object) if ask.old_object else None
    except InvalidManifestError:
        return None
