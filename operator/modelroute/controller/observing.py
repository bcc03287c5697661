"""Puts together what ``planning`` looks at: the cache, and what is not watched but read by name.

Called by ``reconciler``. Reads alone, never writes. A Secret is read for its keys; the values stop in ``cluster``.
"""

from dataclasses import dataclass, replace
from enum import Enum

from modelroute.api import types as t
from modelroute.controller.beside import Beside
from modelroute.controller.kube.calls import FORBIDDEN, ApiError
from modelroute.controller.kube.cluster import Cluster
from modelroute.controller.kube.kinds import CHILDREN, CONFIG_MAP, DEPLOYMENT, POD, SCALED_OBJECT, SERVICE, SLICE
from modelroute.controller.watching.cache import Cache, Key
from modelroute.planning import names
from modelroute.planning.names import ROUTE_LABEL, SCALED_OBJECT_ANNOTATION
from modelroute.planning.observed import KubeObject, Observed, place
from modelroute.planning.references import named

_ADDRESSES = {SERVICE.name, SLICE.name, POD.name}
"""What says where replicas are."""


class Relation(Enum):
    """Whose an object with the name of a child is."""

    OURS = "controlled by the ModelRoute"
    STRAY = "ours by its labels, but without a controller"
    FOREIGN = "someone else's"


@dataclass(frozen=True, slots=True)
class View:
    """What was seen, and what could not be seen because the API server refused to show it."""

    observed: Observed
    refusals: tuple[ApiError, ...] = ()

    @property
    def blind(self) -> bool:
        """Whether addresses may not be seen: routers keep those that they have, so these pods must not be replaced."""
        return bool({error.target for error in self.refusals} & _ADDRESSES)

    def hides(self, desired: KubeObject) -> bool:
        """Whether it is not known what stands in the place of ``desired``, or it must stay, or it is someone else's."""
        at, kind = place(desired), desired["kind"]
        targets = {error.target for error in self.refusals}
        live = self.observed.child(kind, desired["metadata"]["name"])
        if self.blind and (kind == CONFIG_MAP.name or (kind == DEPLOYMENT.name and live)):
            return True  # a ConfigMap would name no replica, and take all requests from those that there are
        return at in self.observed.foreign or bool({at, desired["kind"]} & targets)


class Observer:
    """Looks at one ModelRoute at a time."""

    def __init__(self, cluster: Cluster, cache: Cache, beside: Beside) -> None:
        """``cache`` holds the first listing of all kinds before anything is looked at; ``beside``: what pods say."""
        self._cluster = cluster
        self._cache = cache
        self._beside = beside
        self._taken: set[tuple[str, str, str]] = set()  # names of children that the cache does not have, but others do

    async def look(self, route: t.ModelRoute) -> View:
        """What is seen of ``route`` and of what it refers to. ApiError where the API server is in trouble."""
        namespace, name = route.metadata.namespace, route.metadata.name
        targets = named(route, "Service")
        backed = (*targets, *(names.backend(name, b.name) for b in route.spec.backends if b.vllm))
        refusals = list(self._cache.refusals(namespace))
        secrets: dict[str, frozenset[str] | None] = {}
        hidden: set[str] = set()
        for secret in named(route, "Secret"):
            try:
                secrets[secret] = await self._cluster.secret_keys(namespace, secret)
            except ApiError as error:
                hidden.add(secret)
                if error.status != FORBIDDEN:  # that is for the installation to decide, and stops nothing
                    refusals.append(_lasting(error))
        claims: set[str] = set()
        for claim in named(route, "PersistentVolumeClaim"):
            try:
                claims |= {claim} if await self._cluster.has_claim(namespace, claim) else set()
            except ApiError as error:
                refusals.append(_lasting(error))
        labelled = list(self._cache.labelled(Key(namespace, name)))
        for deployment in [o for o in labelled if SCALED_OBJECT_ANNOTATION in o["metadata"].get("annotations", ())]:
            try:
                scaled = await self._cluster.find(SCALED_OBJECT, namespace, deployment["metadata"]["name"])
                labelled += [scaled] if scaled else []
            except ApiError as error:
                refusals.append(_lasting(error))
        observed = Observed(
            children=tuple(o for o in labelled if relation(o, route.metadata) is Relation.OURS),
            slices={s: self._cache.slices(namespace, s) for s in backed},
            services={s: found for s in targets if (found := self._cache.get(SERVICE, namespace, s))},
            secrets=secrets,
            hidden=frozenset(hidden),
            claims=frozenset(claims),
            troubles=self._cache.troubles(Key(namespace, name)),
            pods=self._cache.pods(Key(namespace, name)),
            **self._beside.seen(Key(namespace, name)),
        )
        return View(observed, tuple(refusals))

    def taken(self, desired: KubeObject) -> None:
        """Something has the name of ``desired`` that the cache does not know: look whose it is from now on."""
        self._taken.add(_place(desired))

    async def look_again(self, route: t.ModelRoute, view: View, desired: tuple[KubeObject, ...]) -> View:
        """``view`` with what stands where ``desired`` objects must be and is not known as a child yet.

        What the cache does not know is asked for only where something was met: else each new child would cost a
        request, and what came after it would still be met.
        """
        observed, refusals = view.observed, list(view.refusals)
        for wanted in desired:
            kind, meta = CHILDREN[wanted["kind"]], wanted["metadata"]
            if observed.child(kind.name, meta["name"]) or view.hides(wanted):
                continue
            live = self._cache.get(kind, meta["namespace"], meta["name"])
            try:
                if live is None and _place(wanted) in self._taken:
                    live = await self._cluster.find(kind, meta["namespace"], meta["name"])
            except ApiError as error:
                refusals.append(_lasting(error))
                continue
            if live is None:
                self._taken.discard(_place(wanted))
                continue
            if relation(live, route.metadata) is Relation.FOREIGN:
                observed = replace(observed, foreign=(*observed.foreign, place(wanted)))
            else:
                observed = replace(observed, children=(*observed.children, live))
        return View(observed, tuple(refusals))


def relation(live: KubeObject, route: t.Metadata) -> Relation:
    """Whose ``live`` is, seen from ``route``. What lost its owner but kept our label is taken in again."""
    owners = live["metadata"].get("ownerReferences") or ()
    controller = next((owner["uid"] for owner in owners if owner.get("controller")), None)
    if controller is not None:
        return Relation.OURS if controller == route.uid else Relation.FOREIGN
    labels = live["metadata"].get("labels") or {}
    return Relation.STRAY if labels.get(ROUTE_LABEL) == route.name else Relation.FOREIGN


def _place(desired: KubeObject) -> tuple[str, str, str]:
    return desired["kind"], desired["metadata"]["namespace"], desired["metadata"]["name"]


def _lasting(error: ApiError) -> ApiError:
    """``error``, when it is a refusal that a condition should tell of; else it ends this reconcile."""
    if not error.lasting:
        raise error
    return error
