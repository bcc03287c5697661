"""Events of a ModelRoute, as ``kubectl describe`` and ``kubectl get events`` show them.

Called by ``reconciler`` after the status was written, and by ``errands``. An event that cannot be written is logged and
lost: it is news, not state.
"""

import datetime as dt
import logging
import socket
import time
from collections.abc import Sequence

from modelroute.api import types as t
from modelroute.controller.kube.calls import ApiError
from modelroute.controller.kube.cluster import Cluster
from modelroute.planning.observed import KubeObject
from modelroute.planning.status.events import Event

CONTROLLER = f"{t.GROUP}/operator"
NOTE_LIMIT = 1024

log = logging.getLogger(__name__)


class Publisher:
    """Writes events.k8s.io/v1 Events."""

    def __init__(self, cluster: Cluster) -> None:
        """``cluster`` is where they go."""
        self._cluster = cluster
        self._instance = socket.gethostname()[:128]

    async def publish(self, live: KubeObject, events: Sequence[Event]) -> None:
        """Write ``events`` about the ModelRoute ``live``. Raises nothing."""
        meta = live["metadata"]
        for event in events:
            level = logging.WARNING if event.type == "Warning" else logging.INFO
            about = {"route": f"{meta['namespace']}/{meta['name']}"}
            log.log(level, "%s: %s", event.reason, event.message, extra=about)
            try:
                await self._cluster.publish(meta["namespace"], self._body(meta, event))
            except ApiError as error:
                log.warning("%s", error, extra=about)

    def _body(self, meta: KubeObject, event: Event) -> KubeObject:
        when = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        name = f"{meta['name']}.{time.time_ns():x}"
        regarding = {k: meta.get(k) for k in ("namespace", "name", "uid")}
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": meta["namespace"]},
            "eventTime": when,
            "type": event.type,
            "reason": event.reason,
            "note": event.message[:NOTE_LIMIT],
            "action": "Reconcile",
            "regarding": {"apiVersion": t.API_VERSION, "kind": t.KIND, **regarding},
            "reportingController": CONTROLLER,
            "reportingInstance": self._instance,
        }
