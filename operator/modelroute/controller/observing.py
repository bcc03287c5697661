"""Puts together what ``planning`` looks at: the cache, and what is not watched but read by name.

Called by ``reconciler``. Reads alone, never writes. A Secret is read for its keys; the values stop in ``cluster``.
"""

from collections.abc import Awaitable
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeVar

from modelroute.api import types as t
from modelroute.controller.beside import Beside
from modelroute.controller.kube.calls import FORBIDDEN, ApiError
from modelroute.controller.kube.cluster import Cluster
from modelroute.controller.kube.kinds import (
    CHILDREN,
    CONFIG_MAP,
    DEPLOYMENT,
    POD,
    SCALED_OBJECT,
    SECRET,
    SERVICE,
    SLICE,
)
from modelroute.controller.watching.cache import Cache, Key
from modelroute.planning import names
from modelroute.planning.observed import KubeObject, Observed, place
from modelroute.planning.references import named, references

T = TypeVar("T")


class Relation(Enum):
    """Whose an object with the name of a child is."""

    OURS = "controlled by the ModelRoute"
    STRAY = "ours by its labels, but without a controller"
    FOREIGN = "someone else's"


@dataclass(frozen=True, slots=True)
class View:
    """What was seen, and what could not be seen because the API server refused to show it.

    ``addresses``: the kinds that say where the route's replicas are.
    """

    observed: Observed
    refusals: tuple[ApiError, ...] = ()
    addresses: frozenset[str] = frozenset()

    @property
    def blind(self) -> bool:
        """Whether addresses may not be seen: routers keep those that they have, so these pods must not be replaced."""
        return bool(self._unseen & self.addresses)

    @property
    def _unseen(self) -> set[str]:
        """What may not be watched is listed, and seen."""
        return {error.target for error in self.refusals if error.verb != "watch"}

    def hides(self, desired: KubeObject) -> bool:
        """Whether it is not known what stands in the place of ``desired``, or it must stay, or it is someone else's."""
        at, kind = place(desired), desired["kind"]
        live = self.observed.child(kind, desired["metadata"]["name"])
        if self.blind and live and kind in (CONFIG_MAP.name, DEPLOYMENT.name):
            return True  # a ConfigMap would name no replica, and take all requests from those that there are
        return at in self.observed.foreign or bool({at, desired["kind"]} & self._unseen)


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
        namespace, key = route.metadata.namespace, Key(route.metadata.namespace, route.metadata.name)
        refs = tuple(references(route))
        refusals = list(self._cache.refusals(namespace))
        unread: list[ApiError] = []
        wanted = named(refs, "Secret")
        secrets = {name: await _read(self._cluster.secret_keys(namespace, name), unread) for name in wanted}
        withheld = {error.target for error in unread}
        # What is forbidden of Secrets is for the installation to decide, and stops nothing.
        refusals += (error for error in unread if error.status != FORBIDDEN)
        wanted = named(refs, "PersistentVolumeClaim")
        claims = [name for name in wanted if await _read(self._cluster.has_claim(namespace, name), refusals)]
        labelled = list(self._cache.labelled(key))
        for meta in [o["metadata"] for o in labelled]:
            if names.SCALED_OBJECT_ANNOTATION in meta.get("annotations", ()):
                scaled = await _read(self._cluster.find(SCALED_OBJECT, namespace, meta["name"]), refusals)
                labelled += [scaled] if scaled else []
        targets = named(refs, "Service")
        backed = (*targets, *(names.backend(key.name, b.name) for b in route.spec.backends if b.vllm))
        observed = Observed(
            children=tuple(o for o in labelled if relation(o, route.metadata) is Relation.OURS),
            slices={s: self._cache.slices(namespace, s) for s in backed},
            services={s: found for s in targets if (found := self._cache.get(SERVICE, namespace, s))},
            secrets=secrets,
            hidden=frozenset(name for name in secrets if f"{SECRET.name}/{name}" in withheld),
            claims=frozenset(claims),
            troubles=self._cache.troubles(key),
            pods=self._cache.pods(key),
            **self._beside.seen(key),
        )
        return View(observed, tuple(refusals), _addresses(route))

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
        return replace(view, observed=observed, refusals=tuple(refusals))


def relation(live: KubeObject, route: t.Metadata) -> Relation:
    """Whose ``live`` is, seen from ``route``. What lost its owner but kept our label is taken in again."""
    owners = live["metadata"].get("ownerReferences") or ()
    controller = next((owner["uid"] for owner in owners if owner.get("controller")), None)
    if controller is not None:
        return Relation.OURS if controller == route.uid else Relation.FOREIGN
    labels = live["metadata"].get("labels") or {}
    return Relation.STRAY if labels.get(names.ROUTE_LABEL) == route.name else Relation.FOREIGN


def _place(desired: KubeObject) -> tuple[str, str, str]:
    return desired["kind"], desired["metadata"]["namespace"], desired["metadata"]["name"]


def _addresses(route: t.ModelRoute) -> frozenset[str]:
    """The kinds without which it is not known where requests of ``route`` can go."""
    behind = (SLICE.name, SERVICE.name) if any(b.target_ref for b in route.spec.backends) else ()
    own = (SLICE.name, POD.name) if any(b.vllm for b in route.spec.backends) else ()
    return frozenset((*behind, *own))


async def _read(reading: Awaitable[T], refusals: list[ApiError]) -> T | None:
    """What ``reading`` gives; None where the API server refuses it for good, which is added to ``refusals``."""
    try:
        return await reading
    except ApiError as error:
        refusals.append(_lasting(error))
        return None


def _lasting(error: ApiError) -> ApiError:
    """``error``, when it is a refusal that a condition should tell of; else it ends this reconcile."""
    if not error.lasting:
        raise error
    return error
