"""What goes on beside the reconciles: pods are asked what they run and do, and errands are run at them.

Handed every plan by ``reconciler``, read by ``observing`` before the next; run by ``app`` while this operator acts.
Never decides anything.
"""

import asyncio
from collections.abc import Callable, Collection
from typing import Any

from modelroute.controller.asking.client import Pods
from modelroute.controller.asking.heard import Picture
from modelroute.controller.asking.sampler import Sampler
from modelroute.controller.errands.errands import Errands
from modelroute.controller.kube.cluster import Cluster
from modelroute.controller.watching.cache import Cache, Key
from modelroute.planning.plan import Plan


class Beside:
    """The sampler and the errands of all routes. ``again`` has a route looked at."""

    def __init__(
        self, cluster: Cluster, cache: Cache, again: Callable[[Key], None], clock: Callable[[], float]
    ) -> None:
        """Nothing is asked before ``run``. ``clock`` gives Unix seconds."""
        self._pods = Pods()
        self._sampler = Sampler(self._pods, again, clock)
        self.errands = Errands(cluster, cache, self._pods, again, clock)

    async def run(self) -> None:
        """Ask, and run errands, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._sampler.run())
            group.create_task(self.errands.run())

    async def close(self) -> None:
        """Let the connections go."""
        await self._pods.close()

    def seen(self, key: Key) -> dict[str, Any]:
        """What is known of ``key``, by the names of the fields of ``Observed``."""
        return self._sampler.seen(key)._asdict() | self.errands.seen(key)._asdict()

    def follow(self, key: Key, planned: Plan, present: Collection[str], due: Callable[[Picture], bool]) -> None:
        """Do what ``planned`` asks for; of pods that are not ``present`` all is forgotten.

        ``due`` says of what pods say whether the number of replicas would be another.
        """
        self._sampler.follow(key, planned.asking, due)
        self.errands.hand(key, planned.errands, present, {backend.name for backend in planned.status.backends})

    def forget(self, key: Key) -> None:
        """The route is gone."""
        self._sampler.forget(key)
        self.errands.forget(key)
