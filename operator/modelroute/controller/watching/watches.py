"""Kopf, told to watch and nothing else: every event goes into the cache, and the routes it concerns into the queue.

Started by ``app``. Of kopf's features only event handlers are used, so that no finalizer and no annotation of kopf's is
ever put on anybody's object. The first listing is our own: kopf's way to wait for one (its indexes) wakes every object
for every other one, which takes minutes for some thousands.
"""

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterator
from typing import Any, cast

import kopf

from modelroute.controller import metrics
from modelroute.controller.backoff import backoff, jittered
from modelroute.controller.kube.calls import FORBIDDEN, ApiError, Call
from modelroute.controller.kube.cluster import Cluster
from modelroute.controller.kube.kinds import WATCHED, Kind
from modelroute.controller.watching.cache import Cache, Key
from modelroute.controller.watching.session import Ear, Login
from modelroute.controller.workqueue import WorkQueue
from modelroute.planning.observed import KubeObject

RESYNC_SECONDS = 600.0
SETTLE_SECONDS = 2.0
"""Kopf tells of a new listing object by object; our own follows when most have come."""
SILENCE_SECONDS = 70.0
"""After which a watch is begun anew: the API server's bookmarks come every 60 s."""
FIRST_RECONNECT, RECONNECT_SECONDS = 2.0, 10.0
"""The first and the longest wait between tries to reach the API server, of each of as many watches as there are kinds;
whatever is watched is not seen until then."""

log = logging.getLogger(__name__)


class Watches:
    """The events of all kinds. ``ready`` is set when the cache holds the first listing of every one of them."""

    def __init__(self, cache: Cache, queue: WorkQueue, namespaces: tuple[str | None, ...] = (None,)) -> None:
        """``queue`` is filled at once, but must not be worked on before ``ready``."""
        self.ready = asyncio.Event()
        self._cache = cache
        self._queue = queue
        self._namespaces = namespaces
        self._listed = asyncio.Event()
        self.ear = Ear(WATCHED, namespaces, self._listed.set)
        self._login = Login(self.ear)

    def registry(self) -> kopf.OperatorRegistry:
        """The handlers for kopf."""
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry, id="login")(self._login.__call__)
        for kind in WATCHED:
            self._register(registry, kind)
        return registry

    async def close(self) -> None:
        """Let the connections go."""
        self.ear.end()
        await self._login.close()

    async def begin(self, cluster: Cluster) -> None:
        """List everything that may be, and be ready. To be called before kopf runs; ApiError in other trouble."""
        self.ear.begin()
        for kind, namespace in itertools.product(WATCHED, self._namespaces):
            await self._list(cluster, kind, namespace)
        self.ready.set()

    async def resync(self, cluster: Cluster) -> None:
        """List everything now and then, and whenever kopf has: it does not tell of what went since the last listing."""
        await self.ready.wait()
        log.info("watching; the first listing is complete")
        failures = 0
        while True:
            try:
                async with asyncio.timeout(jittered(backoff(failures) if failures else RESYNC_SECONDS)):
                    await self._listed.wait()
                await asyncio.sleep(SETTLE_SECONDS)
            except TimeoutError:
                pass
            self._listed.clear()
            try:
                for kind, namespace in itertools.product(WATCHED, self._namespaces):
                    metrics.REPAIRS.inc(await self._list(cluster, kind, namespace))
                # What may not be listed now may be soon: kopf need not list again for that. What may not be watched
                # is only seen by listing it.
                failures = failures + 1 if any(map(self._cache.unseen, WATCHED)) else 0
            except ApiError as error:
                failures += 1
                log.warning("%s; listing again later", error)
                await asyncio.sleep(error.retry_after)

    async def _list(self, cluster: Cluster, kind: Kind, namespace: str | None) -> int:
        """How many things were news."""
        try:
            items, version = await cluster.select(kind, namespace, kind.selector)
        except ApiError as error:
            if not error.lasting:
                raise
            self._note(kind, namespace, error)
            return 0
        unwatched = ApiError(Call("watch", kind, namespace), FORBIDDEN, "the API server does not let us")
        self._note(kind, namespace, None if self.ear.may_watch(kind, namespace) else unwatched)
        changed = [_heeded(self._cache.put, kind, item) for item in items]
        changed.append(self._cache.retain(kind, items, version, namespace))
        for key in frozenset().union(*changed):
            self._queue.add(key)
        return sum(1 for keys in changed if keys)

    def _note(self, kind: Kind, namespace: str | None, why: ApiError | None) -> None:
        """Have it told in the statuses that a kind may not be seen, or may be again."""
        if why:
            log.warning("%s; the rest goes on", why)
        for key in self._cache.note_refusal(kind, namespace, why):
            self._queue.add(key)
        metrics.UNSEEN.labels(kind.plural).set(self._cache.unseen(kind))

    def _register(self, registry: kopf.OperatorRegistry, kind: Kind) -> None:
        async def event(body: kopf.Body, type: str | None, **_: Any) -> None:  # noqa: A002 - kopf's name
            change = self._cache.remove if type == "DELETED" else self._cache.put
            for key in _heeded(change, kind, dict(body)):
                self._queue.add(key)

        kopf.on.event(kind.group, kind.version, kind.plural, registry=registry, id=f"event-{kind.plural}")(event)


def _heeded(change: Callable[[Kind, KubeObject], frozenset[Key]], kind: Kind, seen: KubeObject) -> frozenset[Key]:
    """Have the cache heed ``seen``; the routes that it concerns. One that is odd must not hide the others."""
    try:
        return change(kind, seen)
    except Exception:  # the edge of an object: what others write into theirs is not ours to trust
        metrics.UNREADABLE.labels(kind.name).inc()
        meta = seen.get("metadata") or {}
        log.exception("%s %s/%s is passed over", kind.name, meta.get("namespace"), meta.get("name"))
        return frozenset()


class _Endless:
    """Seconds between tries to reach the API server, for ever; kopf's own list ends, and the operator with it."""

    def __iter__(self) -> Iterator[float]:
        return (jittered(backoff(n, FIRST_RECONNECT, RECONNECT_SECONDS)) for n in itertools.count(1))


class _NoDiffBase(kopf.DiffBaseStorage):
    """Nothing is compared with what an object was: kopf would copy every object of every event for that."""

    def build(self, *, body: kopf.Body, extra_fields: object = None) -> kopf.BodyEssence:  # noqa: ARG002 - kopf's names
        return cast("kopf.BodyEssence", {})

    def fetch(self, *, body: kopf.Body) -> None:
        """There is nothing."""

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Nothing is kept."""


def kopf_settings(silence: float = SILENCE_SECONDS) -> kopf.OperatorSettings:
    """Kopf as a mere watcher that never gives up and never waits on a dead connection.

    A watch that brings nothing for ``silence`` seconds is begun anew.
    """
    settings = kopf.OperatorSettings()
    settings.process.ultimate_exiting_timeout = None  # it would kill this process after a restart of kopf in it
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.scanning.disabled = True  # no right to watch CRDs or namespaces is needed
    settings.networking.error_backoffs = _Endless()
    settings.networking.request_timeout = 60.0
    settings.networking.connect_timeout = 5.0
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330.0
    settings.watching.inactivity_timeout = silence
    settings.watching.reconnect_backoff = FIRST_RECONNECT  # before it lists again, where a watch was told to
    for kind in WATCHED:
        if kind.selector:
            settings.watching.label_selectors[kind.group, kind.version, kind.plural] = kind.selector
    return settings
