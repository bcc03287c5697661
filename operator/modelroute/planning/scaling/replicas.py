"""The replicas of one backend as scaling looks at them: who sleeps, who is about to go, who has nothing to do.

Made by ``scale``. What is not known of a replica counts as busy. Never decides how many there should be.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from modelroute.api import types as t
from modelroute.api.podchecks import PORT
from modelroute.api.scalars import seconds
from modelroute.planning.errands import Sleep
from modelroute.planning.observed import Observed, Pod, Told, Traffic

_UNHEARD = Told(asked=False)
_NOTHING = Traffic()


@dataclass(frozen=True, slots=True)
class Replicas:
    """Those of ``backend``; ``revision`` is of the snapshot that leaves out whoever is marked."""

    backend: t.Backend
    observed: Observed
    revision: str

    @property
    def alive(self) -> tuple[Pod, ...]:
        """All but those that end already."""
        return tuple(pod for pod in self.observed.replicas(self.backend.name) if not pod.ending)

    def sleeps(self, pod: Pod) -> bool:
        """Whether it sleeps, or is to."""
        return pod.sleeping is not None or self.lies_down(pod)

    def lies_down(self, pod: Pod) -> bool:
        """Whether it says itself that it sleeps."""
        engine = self.observed.engines.get(pod.name)
        return engine is not None and bool(engine.sleeping)

    def lay_down(self, errand: Sleep) -> bool:
        """Whether it did so when it was told to, and does not say that it is awake: some say nothing of it."""
        engine = self.observed.engines.get(errand.pod)
        return self.observed.slept.get(errand.pod) == errand and (engine is None or engine.sleeping is None)

    def oversleeps(self, pod: Pod) -> bool:
        """Whether it is to wake, and did not when it was told to."""
        return pod.name in self.observed.oversleeping

    def answering(self) -> tuple[Pod, ...]:
        """Those that take new requests."""
        return tuple(p for p in self.alive if p.ready and p.draining is None and not self.sleeps(p))

    def load(self, pod: Pod) -> int:
        """Requests that it has, as routers count them, or it does itself."""
        place, engine = pod.at(PORT), self.observed.engines.get(pod.name)
        sent = sum(self._of(told).by_replica.get(place, 0) for told in self.observed.told.values())
        return max(sent, engine.running + engine.waiting if engine else 0)

    def first_to_go(self, pods: Iterable[Pod]) -> list[Pod]:
        """In the order in which they can be missed: not ready, asleep (and for good), the least to do, the youngest.

        The ReplicaSet controller lets those that are not ready go first, too, then those with the lowest
        pod-deletion-cost (KEP-2255).
        """
        return sorted(pods, key=self._missed)

    def is_free(self, pod: Pod) -> bool:
        """Whether it has nothing to answer, and gets nothing any more: all routers know the snapshot without it."""
        if not pod.address or pod.started is None:
            return True
        engine = self.observed.engines.get(pod.name)
        if engine is None and pod.ready:
            return False
        routers = [p for p in self.observed.routers() if p.ready and not p.ending]
        told = [self.observed.told.get(router.name, _UNHEARD) for router in routers]
        return not self.load(pod) and all(one.asked and one.revision == self.revision for one in told)

    def able(self) -> float:
        """Since when the backend answers, or must be taken for one that never will; infinity: neither, yet.

        Those that are to go or to sleep count: they could be asked, or else what marked them would unmark them.
        """
        since = [_ready_since(p) for p in self.alive if p.ready]
        longest = seconds(self.backend.vllm.startup_timeout) if self.backend.vllm else 0.0
        return min(since, default=min((p.created + longest for p in self.alive), default=math.inf))

    def newest(self) -> float:
        """When the last of those that answer became ready; infinity: none did."""
        return max((_ready_since(p) for p in self.answering()), default=math.inf)

    def _missed(self, pod: Pod) -> tuple[bool, bool, bool, int, float, str]:
        return pod.ready, not self.oversleeps(pod), not self.sleeps(pod), self.load(pod), -pod.created, pod.name

    def _of(self, told: Told) -> Traffic:
        return told.backends.get(self.backend.name, _NOTHING)


def _ready_since(pod: Pod) -> float:
    return max(pod.warm or 0.0, pod.loaded or 0.0, pod.created)
