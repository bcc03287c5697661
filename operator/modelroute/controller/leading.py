"""Which of several operators acts: the one that holds a Lease of coordination.k8s.io.

Run by ``app`` beside everything else. The rules are those of client-go: a lease of someone else has run out when it
was not renewed for its duration as *we* saw it, by our own clock; its timestamps are for people. Never does any work
of the leader: that is handed in, begun when the lease is got and cancelled when it is lost.
"""

import asyncio
import contextlib
import datetime as dt
import logging
import os
import secrets
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from modelroute.controller import metrics
from modelroute.controller.backoff import jittered
from modelroute.controller.kube.calls import CONFLICT, NOT_FOUND, ApiError, Call
from modelroute.controller.kube.cluster import Cluster
from modelroute.controller.kube.fencing import Fence
from modelroute.controller.kube.kinds import LEASE
from modelroute.planning.observed import KubeObject

LEASE_NAME = "modelroute-operator"
RELEASE_SECONDS = 2.0
UNKNOWN_LEASES = 2
"""For so many durations of a lease someone who may work without one is waited for: pods of an update end sooner."""

log = logging.getLogger(__name__)

Work = Callable[[], Coroutine[Any, Any, None]]


def own_name() -> str:
    """The pod's name, or the machine's; made unique, since a restarted container has its predecessor's."""
    return f"{os.environ.get('POD_NAME') or socket.gethostname()}_{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True)
class LeaseOptions:
    """Where the lease is, and for how long, in whole seconds, others wait when it is not renewed."""

    namespace: str = "default"
    duration: int = 10
    identity: str = field(default_factory=own_name)

    @property
    def deadline(self) -> float:
        """Seconds after the last renewal at which a leader gives up: well before anybody else may begin."""
        return 0.7 * self.duration

    @property
    def every(self) -> float:
        """Seconds between renewals, or between looks at someone else's lease."""
        return 0.2 * self.duration


class Leadership:
    """This operator's part in it."""

    def __init__(self, cluster: Cluster, fence: Fence, options: LeaseOptions) -> None:
        """``fence`` is kept open while the lease is held, and closed else."""
        self.answered = False
        """Whether the lease was ever seen, or seen to be missing."""
        self.reachable_since: float | None = None
        """Since when the API server has answered every time, by the event loop's clock; None when it does not."""
        self._cluster = cluster
        self._fence = fence
        self._options = options
        self._seen: KubeObject | None = None  # the lease as last seen, even if it was deleted since
        self._seen_at = 0.0  # when that was first seen
        self._missed_at: float | None = None  # when no lease was first found, where none was ever seen
        self._inherits: Callable[[], bool] = lambda: False
        self._told = ""

    async def run(self, ready: asyncio.Event, inherits: Callable[[], bool], work: Work) -> None:
        """Try for the lease for ever, from ``ready`` on, and do the work while it is held.

        ``inherits`` tells whether someone has worked here before: where no lease tells who, it may be an operator of a
        version that knows of none, which is about to end. When cancelled, the work is ended and the lease given back.
        What makes the work fail is raised.
        """
        self._inherits = inherits
        try:
            while True:
                began, held, least = self._now(), False, 0.0
                try:
                    held = await self._try(take=ready.is_set())
                except ApiError as error:
                    self._tell(logging.WARNING, str(error))
                    least = error.retry_after
                if held:
                    self._fence.extend(began + self._options.deadline)
                    await self._lead(work)
                await asyncio.sleep(least)
                await self._pause(ready)
        finally:
            await self._release()

    async def _lead(self, work: Work) -> None:
        self._tell(logging.INFO, f"leading, as {self._options.identity}")
        metrics.LEADER.set(1)
        working = asyncio.create_task(work(), name="leading")
        keeping = asyncio.create_task(self._keep(), name="lease")
        try:
            await asyncio.wait({working, keeping}, return_when=asyncio.FIRST_COMPLETED)
            for task in (working, keeping):
                if task.done():
                    task.result()
            self._tell(logging.WARNING, "no longer leading")
        finally:
            metrics.LEADER.set(0)
            working.cancel()
            keeping.cancel()
            await asyncio.gather(working, keeping, return_exceptions=True)
            self._fence.close()

    async def _keep(self) -> None:
        """Renew until the lease is lost."""
        wait = self._options.every
        while True:
            await asyncio.sleep(min(wait, self._fence.left))
            began, wait = self._now(), self._options.every
            if self._fence.left <= 0:  # after a pause of this process too
                return
            try:
                if not await self._try(take=True):
                    self._fence.close()
                    return
            except ApiError as error:
                self._tell(logging.WARNING, str(error))
                wait = max(wait / 2, error.retry_after)
            else:
                self._fence.extend(began + self._options.deadline)
                self._told = ""

    async def _try(self, *, take: bool) -> bool:
        """Whether the lease is ours, after one try to renew it or, if ``take``, to get it. ApiError if unknown."""
        limit = self._options.deadline / 2
        try:
            async with asyncio.timeout(limit):
                held = await self._hold(take=take)
        except TimeoutError:
            self.reachable_since = None
            raise ApiError(Call("update", LEASE, None, LEASE_NAME), 0, f"no answer in {limit:.1f} s") from None
        except ApiError as error:
            if not error.lasting:
                self.reachable_since = None
            raise
        self.answered = True
        if self.reachable_since is None:
            self.reachable_since = self._now()
        return held

    async def _hold(self, *, take: bool) -> bool:
        if take and (mine := self._mine()):
            try:
                self._note(await self._cluster.replace(LEASE, self._claimed(mine)))
            except ApiError as error:
                if error.status not in (NOT_FOUND, CONFLICT):
                    raise
            else:
                return True
        found = await self._cluster.find(LEASE, self._options.namespace, LEASE_NAME)
        self._note(found)
        if not take or not self._is_free():
            holder = self._holder()
            if holder and holder != self._options.identity:
                self._tell(logging.INFO, f"following {holder}")
            elif take and self._seen is None:
                self._tell(logging.INFO, "waiting for whoever has worked here before, without a lease, to end")
            return False
        write = self._cluster.create if found is None else self._cluster.replace
        try:
            self._note(await write(LEASE, self._claimed(found)))
        except ApiError as error:
            if error.taken:  # someone was quicker
                return False
            raise
        return True

    def _note(self, lease: KubeObject | None) -> None:
        if lease is None and self._seen is None and self._missed_at is None:
            self._missed_at = self._now()
        if lease is not None and (self._seen is None or _version(lease) != _version(self._seen)):
            self._seen, self._seen_at = lease, self._now()

    def _is_free(self) -> bool:
        """A lease that was deleted is as good as before: its holder may not have noticed."""
        known = self._seen is not None
        return (known and self._holder() in ("", self._options.identity)) or self._now() >= self._runs_out()

    def _runs_out(self) -> float:
        if self._seen is None:
            return (self._missed_at or 0.0) + (UNKNOWN_LEASES * self._options.duration if self._inherits() else 0.0)
        return self._seen_at + (self._seen["spec"].get("leaseDurationSeconds") or self._options.duration)

    def _holder(self) -> str:
        return (self._seen["spec"].get("holderIdentity") or "") if self._seen else ""

    def _mine(self) -> KubeObject | None:
        return self._seen if self._holder() == self._options.identity else None

    def _claimed(self, live: KubeObject | None) -> KubeObject:
        """The lease as ours, renewed now."""
        old = live["spec"] if live else {}
        now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        mine = old.get("holderIdentity") == self._options.identity
        spec = {
            "holderIdentity": self._options.identity,
            "leaseDurationSeconds": self._options.duration,
            "acquireTime": old.get("acquireTime", now) if mine else now,
            "renewTime": now,
            "leaseTransitions": (old.get("leaseTransitions") or 0) + (0 if mine or not live else 1),
        }
        return self._lease(live, spec)

    def _lease(self, live: KubeObject | None, spec: KubeObject) -> KubeObject:
        meta = {"namespace": self._options.namespace, "name": LEASE_NAME}
        if live:
            meta["resourceVersion"] = live["metadata"]["resourceVersion"]
        return {"apiVersion": LEASE.api_version, "kind": LEASE.name, "metadata": meta, "spec": spec}

    async def _release(self) -> None:
        """Let the next one begin at once."""
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                while mine := self._mine():
                    spec = mine["spec"] | {"holderIdentity": "", "leaseDurationSeconds": 1}
                    try:
                        self._note(await self._cluster.replace(LEASE, self._lease(mine, spec)))
                    except ApiError as error:
                        if not error.taken:
                            raise
                        self._note(await self._cluster.find(LEASE, self._options.namespace, LEASE_NAME))
        except (ApiError, TimeoutError) as error:
            log.info("the lease was not given back and runs out by itself: %s", error or "no answer")

    async def _pause(self, ready: asyncio.Event) -> None:
        """Until the next look: at once when ready, and no later than when someone else's lease runs out."""
        if not ready.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._options.every):
                    await ready.wait()
            return
        left = self._runs_out() - self._now()
        wait = jittered(self._options.every)
        await asyncio.sleep(min(wait, left) if left > 0 else wait)

    def _tell(self, level: int, text: str) -> None:
        """Once, however often it is so."""
        if text != self._told:
            log.log(level, "%s", text)
        self._told = text

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _version(lease: KubeObject) -> tuple[str, str]:
    return lease["metadata"].get("uid", ""), lease["metadata"]["resourceVersion"]
