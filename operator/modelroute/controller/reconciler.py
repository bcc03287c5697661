"""One reconcile: look, plan, write what differs, tell. Run for a ModelRoute as often as anything about it changes.

Called by the work queue, never twice at once for one route. Level-based: it may end at any line and be run again;
what it remembers between runs only saves requests.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

import msgspec

from modelroute.api import types as t
from modelroute.api.parse import parse
from modelroute.api.status import PastStart, Status, condition_of
from modelroute.controller import metrics, outcome
from modelroute.controller.asking.heard import Picture
from modelroute.controller.backoff import jittered
from modelroute.controller.beside import Beside
from modelroute.controller.kube.calls import ApiError
from modelroute.controller.kube.cluster import Cluster, unborn
from modelroute.controller.kube.kinds import AUTOSCALERS, CHILDREN, CONFIG_MAP, MODEL_ROUTE, POD, WATCHED
from modelroute.controller.observing import Observer, View
from modelroute.controller.publishing import Publisher
from modelroute.controller.watching.cache import Cache, Key
from modelroute.controller.written import Written
from modelroute.errors import InvalidManifestError
from modelroute.planning import names
from modelroute.planning.observed import KubeObject, Observed, written_at
from modelroute.planning.observed import place as place_of
from modelroute.planning.plan import Plan, plan
from modelroute.planning.pods import facts
from modelroute.planning.resources.drift import needs_apply
from modelroute.planning.scaling.scale import due
from modelroute.planning.settings import Settings
from modelroute.planning.status.conditions import SNAPSHOT_LARGE
from modelroute.planning.status.events import Event
from modelroute.planning.status.report import Refusal, refused
from modelroute.planning.times.moments import rfc3339

PASSES = 3
"""After a write the route is looked at again, so that the status tells of what came of it."""
UNRESOLVED_SECONDS, FOREIGN_SECONDS = 10.0, 30.0
"""How often to look for what is not watched: a Secret or a claim that is missing, a name that someone else holds."""
LOOKS = {"False": UNRESOLVED_SECONDS, "Unknown": 300.0}
"""By the status of ResolvedRefs; Unknown: a right is withheld for good."""
UNWATCHED_SECONDS = 60.0
"""How often to look whether what is not watched still is as it must be; Secrets and claims up to half as often, and of
all that routes name at most one a second."""
ANYWAY_SECONDS = 3600.0
"""How often to look, at least: what was missed in a way that nobody thought of is not missed for good."""

log = logging.getLogger(__name__)


class Reconciler:
    """Carries out plans."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        settings: Settings,
        clock: Callable[[], float],
        beside: Beside,
        again: Callable[[Key], None],
    ) -> None:
        """``settings`` are the same for every route; ``clock`` gives Unix seconds; ``beside`` asks pods.

        ``again`` has a route looked at: what came back of our own writes is no news when a watch brings it later.
        """
        self._beside = beside
        self._again = again
        self._clock = clock
        self._cluster = cluster
        self._cache = cache
        self._settings = settings
        self._observer = Observer(cluster, cache, self._beside)
        self._publisher = Publisher(cluster)
        self._written = Written()
        self._touched: dict[Key, str] = {}  # the revision that all router pods carry
        self._accepted: dict[Key, t.ModelRoute] = {}  # the last that could be read

    async def reconcile(self, key: Key) -> float | None:
        """Make the cluster as the route wants it; the seconds to the next look, if one is due though nothing changes.

        Raises ApiError when the API server refused something; if for good, the rest was done, and the status says so.
        """
        live = self._cache.route(key)
        if live is None or live["metadata"].get("deletionTimestamp"):
            self._forget(key)  # the garbage collector takes the children
            return None
        old = outcome.read(live.get("status"))
        try:
            try:
                route = self._accepted[key] = parse(live)
            except InvalidManifestError as error:
                return await self._refuse(key, live, old, error)
            return await self._carry_through(key, live, msgspec.structs.replace(route, status=old))
        except ApiError as error:
            if not error.ending:
                raise
            log.info("the namespace is being deleted", extra={"route": str(key)})
        return None

    async def _refuse(
        self, key: Key, live: KubeObject, old: Status | None, error: InvalidManifestError
    ) -> float | None:
        """Tell why it is refused; the last spec that was not goes on, if any operator has seen one."""
        meta = msgspec.convert(live["metadata"], t.Metadata)
        refusal = refused(meta, old, error, self._clock())
        good = self._accepted.get(key) or outcome.recalled(live, old)
        if good and good.metadata.uid == meta.uid:
            self._accepted[key] = good
            route = msgspec.structs.replace(good, status=outcome.unjudged(old))
            return await self._carry_through(key, live, route, refusal)
        self._beside.forget(key)  # pods of another route of the name
        if await self._write_status(key, live, outcome.encoded(refusal.status)):
            await self._publisher.publish(live, refusal.events)
        return None

    async def _carry_through(
        self, key: Key, live: KubeObject, route: t.ModelRoute, refusal: Refusal | None = None
    ) -> float | None:
        for _ in range(PASSES):
            now = self._clock()
            view, planned = await self._look(route, now)
            wrote, refusals = await self._carry_out(key, view, planned)
            if not wrote:
                break
        told = msgspec.structs.replace(route, status=planned.status)
        self._beside.follow(key, planned, self._present(key, planned), partial(self._is_due, told, view.observed))
        refusals = (*view.refusals, *refusals)
        status = outcome.with_refusals(planned.status, refusals, route.status, rfc3339(now))
        events: tuple[Event, ...] = (*planned.events, *outcome.refusal_events(status, refusals, route.status))
        if refusal:
            others = (event for event in events if event.reason != SNAPSHOT_LARGE)  # which is of Accepted, too
            status, events = outcome.with_verdict(status, refusal.status, route), (*others, *refusal.events)
        if await self._write_status(key, live, outcome.encoded(status)):
            _measure(planned.started)
            await self._publisher.publish(live, events)
        if refusals:
            raise refusals[0]
        refs = condition_of(status, "ResolvedRefs")
        looks = [LOOKS[refs.status]] if refs and refs.status in LOOKS else []
        if view.observed.foreign:
            looks.append(FOREIGN_SECONDS)
        if not looks and (named := len(view.observed.secrets) + len(view.observed.claims)):
            looks.append(jittered(2 * max(UNWATCHED_SECONDS, float(named * len(self._accepted)))))
        if any(CHILDREN[o["kind"]] not in WATCHED for o in (*planned.objects, *view.observed.children)):
            looks.append(UNWATCHED_SECONDS)
        if planned.look_again is not None:
            looks.append(max(planned.look_again - self._clock(), 0.0))
        return min((*looks, jittered(ANYWAY_SECONDS)))

    def _is_due(self, route: t.ModelRoute, observed: Observed, picture: Picture) -> bool:
        """Whether load asks for another number of replicas than there is to be by ``route``'s status."""
        return due(route, replace(observed, **picture._asdict()), self._clock())

    def _present(self, key: Key, planned: Plan) -> set[str]:
        """Whom an errand may be about, as errands name them."""
        endpoints = {f"{backend.name}/{place}" for backend in planned.snapshot.backends for place in backend.endpoints}
        return endpoints | {pod.name for pod in self._cache.pods(key)}

    async def _look(self, route: t.ModelRoute, now: float) -> tuple[View, Plan]:
        view = await self._observer.look(route)
        planned = plan(route, view.observed, self._settings, now)
        fuller = await self._observer.look_again(route, view, planned.objects)
        if fuller.observed is not view.observed:
            planned = plan(route, fuller.observed, self._settings, now)
        return fuller, planned

    async def _carry_out(self, key: Key, view: View, planned: Plan) -> tuple[bool, tuple[ApiError, ...]]:
        """Whether anything was written, and what was refused."""
        wrote = False
        refusals: list[ApiError] = []
        rivals = [o for o in planned.orphans if o["kind"] in AUTOSCALERS]
        steps = (
            *(partial(self._delete, key, rival) for rival in rivals),  # before the number is ours again
            *(partial(self._apply, key, desired, view) for desired in planned.objects if not view.hides(desired)),
            *(partial(self._delete, key, o) for o in planned.orphans if o not in rivals and not view.blind),
            partial(self._touch_routers, key, planned),
        )
        for step in steps:
            try:
                wrote |= await step()
            except ApiError as error:
                if not error.lasting:
                    raise
                refusals.append(error)
        return wrote, tuple(refusals)

    async def _apply(self, key: Key, desired: KubeObject, view: View) -> bool:
        place = place_of(desired)
        live = view.observed.child(desired["kind"], desired["metadata"]["name"])
        if not needs_apply(desired, live):
            return False
        if live and self._written.stays(key, place, desired, live):
            return False  # the API server keeps it in another form than we send, for ever
        kind = CHILDREN[desired["kind"]]
        try:
            applied = await self._send(desired, live)
        except ApiError as error:
            if live or not error.taken or not kind.selector:  # without a selector the cache will soon have it
                raise
            self._observer.taken(desired)
            return True  # nothing was, but whose the name is must be seen
        if kind in WATCHED:  # nobody would tell the cache what becomes of others
            self._tell_others(key, self._cache.put(kind, applied))
        if kind is CONFIG_MAP:
            self._touched.pop(key, None)  # routers may have seen others between two that are the same
        self._written.note(key, place, desired, applied)
        log.info("%s %s", "created" if live is None else "applied", place, extra={"route": str(key)})
        return True

    async def _send(self, desired: KubeObject, live: KubeObject | None) -> KubeObject:
        try:
            return await self._cluster.apply(desired if live else unborn(desired))
        except ApiError as error:
            # Such as a port that was renumbered by hand: ours would be a second one of the same name.
            if live is None or not error.contradicts:
                raise
            await self._cluster.reset(desired, live)
            return await self._cluster.apply(desired)

    async def _delete(self, key: Key, orphan: KubeObject) -> bool:
        if orphan["metadata"].get("deletionTimestamp"):
            return False
        kind, left = CHILDREN[orphan["kind"]], await self._cluster.delete(orphan)
        if kind in WATCHED:
            self._tell_others(key, self._cache.put(kind, left) if left else self._cache.remove(kind, orphan))
        self._written.drop(key, place_of(orphan))
        log.info("deleted %s", place_of(orphan), extra={"route": str(key)})
        return True

    async def _touch_routers(self, key: Key, planned: Plan) -> bool:
        """Annotate the router's pods, which makes each kubelet refresh its mount of the snapshot at once."""
        revision, selector = planned.revision, planned.router_selector
        written = self._cache.get(CONFIG_MAP, key.namespace, names.snapshot(key.name))
        if self._touched.get(key) == revision or written is None or _revision(written) != revision:
            return False
        pods, _ = await self._cluster.select(POD, key.namespace, selector) if selector else ([], 0)
        # A predecessor may have written it and ended; pods that are younger than it mounted it as it is.
        before = 0.0 if (key, place_of(written)) in self._written else written_at(written)
        for pod in pods:
            known = facts(pod)
            if known.component == "backend":
                continue
            if _revision(pod) != revision and (not before or known.created < before):
                await self._cluster.annotate_pod(pod, {names.REVISION_ANNOTATION: revision})
        self._touched[key] = revision
        return False  # nothing that the status tells of

    async def _write_status(self, key: Key, live: KubeObject, status: KubeObject) -> bool:
        known = live.get("status") or {}
        if known == status or self._written.stays(key, "status", status, known):
            return False
        written = await self._cluster.write_status(live, status)
        if written is None:
            return False
        self._cache.put(MODEL_ROUTE, written)
        self._written.note(key, "status", status, written.get("status") or {})
        kept = self._cache.route(key)
        if kept and kept | {"status": None} != live | {"status": None}:
            self._again(key)  # the user has changed it since it was looked at
        if status.get("accepted") != known.get("accepted"):
            self._again(key)  # only from now on it is told of the Services of the spec that goes on
        return True

    def _tell_others(self, key: Key, concerned: frozenset[Key]) -> None:
        """Routes that refer to a child of ``key``, which itself is looked at anyway."""
        for other in concerned - {key}:
            self._again(other)

    def _forget(self, key: Key) -> None:
        self._beside.forget(key)
        self._touched.pop(key, None)
        self._accepted.pop(key, None)
        self._written.forget(key)


def _measure(started: Iterable[PastStart]) -> None:
    for start in started:
        for phase in ("scheduling", "pull", "load", "warmup"):
            metrics.START_SECONDS.labels(phase).observe(getattr(start, phase))


def _revision(live: KubeObject) -> str | None:
    return (live["metadata"].get("annotations") or {}).get(names.REVISION_ANNOTATION)
