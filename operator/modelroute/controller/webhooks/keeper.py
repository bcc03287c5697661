"""Keeps the webhooks' certificates: one Secret for all replicas, the API server told whom to trust, renewal in time.

Run by ``hooks``, in every replica. All that is decided is in ``certificates``; of two replicas that write at once one
loses by the Secret's version, and reads what the other wrote. Never logs or tells of a key.
"""

import asyncio
import base64
import logging
import os
import ssl
from collections.abc import Callable

from modelroute.controller.backoff import jittered
from modelroute.controller.kube.calls import ApiError
from modelroute.controller.kube.cluster import Cluster
from modelroute.controller.kube.kinds import SECRET, WEBHOOK_CONFIGURATIONS, Kind
from modelroute.controller.webhooks import certificates
from modelroute.controller.webhooks.certificates import Held
from modelroute.planning.observed import KubeObject

NAME = "modelroute-webhook"
"""The Secret, and the Service through which the API server comes."""
CONFIGURATION = "modelroute"
"""The configurations' name."""
LOOK_SECONDS = 15.0
"""How long a bundle that somebody took away is missed at most."""

log = logging.getLogger(__name__)


class Keeper:
    """``context`` is what a server serves by; it changes while it is served by.

    Until ``ready`` it holds nothing that the API server would trust.
    """

    def __init__(self, cluster: Cluster, namespace: str, clock: Callable[[], float]) -> None:
        """``namespace`` is the operator's own; ``clock`` gives Unix seconds."""
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.ready = asyncio.Event()
        self._cluster = cluster
        self._namespace = namespace
        self._clock = clock
        # localhost: for an operator that is run by hand beside an API server.
        self._names = (f"{NAME}.{namespace}.svc", f"{NAME}.{namespace}.svc.cluster.local", "localhost")
        self._held: Held | None = None
        self._told = b""

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            try:
                agreed = await self.look()
            except ApiError as error:
                log.warning("webhook certificates: %s; trying again", error)
                agreed = False
            except Exception:  # the edge of a background loop: it goes on with the certificate that it has
                log.exception("webhook certificates")
                agreed = False
            await asyncio.sleep(jittered(LOOK_SECONDS if agreed else 2.0))

    async def look(self) -> bool:
        """Make Secret, configurations and the served certificate as they must be now; False: look again soon."""
        stored = await self._cluster.find(SECRET, self._namespace, NAME)
        found = certificates.read((stored or {}).get("data") or {}) or self._held
        now = self._clock()
        if found is None:
            wanted = certificates.made(self._names, now)
        else:
            wanted = certificates.renewed(found, self._names, now, self._told)
        if not await self._write(stored, wanted):
            return False
        self._serve(wanted)
        for kind in WEBHOOK_CONFIGURATIONS:
            await self._tell(kind, wanted.bundle)
        self._told = wanted.bundle
        self.ready.set()
        return True

    async def _write(self, stored: KubeObject | None, wanted: Held) -> bool:
        """Whether the Secret holds ``wanted`` now; not so when someone else was quicker."""
        data = certificates.data(wanted)
        try:
            if stored is None:
                meta = {"name": NAME, "namespace": self._namespace}
                body = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": "Opaque", "data": data}
                await self._cluster.create(SECRET, body)
            elif data.items() - (stored.get("data") or {}).items():
                version = stored["metadata"]["resourceVersion"]
                body = {"metadata": {"resourceVersion": version}, "data": data}
                await self._cluster.merge(SECRET, self._namespace, NAME, body)
            else:
                return True
        except ApiError as error:
            if error.taken:
                return False
            raise
        log.info("webhook certificates: written to Secret %s/%s", self._namespace, NAME)
        return True

    def _serve(self, held: Held) -> None:
        if self._held is None or self._held.serving != held.serving:
            # From memory: a key is not written to any disk. Connections that are open keep what they began with.
            handle = os.memfd_create(NAME)
            try:
                os.write(handle, held.chain)
                self.context.load_cert_chain(f"/proc/self/fd/{handle}")
            finally:
                os.close(handle)
            log.info("webhook certificates: serving until %s", held.serving.not_valid_after_utc.isoformat())
        self._held = held

    async def _tell(self, kind: Kind, bundle: bytes) -> None:
        """Have the API server trust just ``bundle``; where there is no configuration it asks nothing."""
        live = await self._cluster.find(kind, None, CONFIGURATION) or {}
        encoded = base64.b64encode(bundle).decode()
        change: list[KubeObject] = []
        for i, hook in enumerate(live.get("webhooks") or ()):
            if hook["clientConfig"].get("caBundle") != encoded:
                change.append({"op": "test", "path": f"/webhooks/{i}/name", "value": hook["name"]})
                change.append({"op": "add", "path": f"/webhooks/{i}/clientConfig/caBundle", "value": encoded})
        if change:
            await self._cluster.edit(kind, None, CONFIGURATION, change)
            log.info("webhook certificates: %s/%s told whom to trust", kind.name, CONFIGURATION)
