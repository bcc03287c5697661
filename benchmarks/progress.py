"""Follows what an operator makes of each ModelRoute, from two watches: the status, and the configuration.

Called by ``operator``. Never asks for anything twice and never writes.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import NamedTuple

import aiohttp
import msgspec

from benchmarks.plane import Api
from modelroute.controller.kube.kinds import CONFIG_MAP, MANAGED, MODEL_ROUTE, Kind
from modelroute.planning.names import ROUTE_LABEL
from modelroute.snapshot.codec import FILE_NAME


class Key(NamedTuple):
    """A ModelRoute."""

    namespace: str
    name: str


class _Meta(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str = ""
    namespace: str = ""
    name: str = ""
    labels: dict[str, str] = {}


class _Status(msgspec.Struct, rename="camel", frozen=True):
    observed_generation: int = 0


class _Object(msgspec.Struct):
    metadata: _Meta = _Meta()
    status: _Status = _Status()
    data: dict[str, str] = {}


class _Event(msgspec.Struct):
    object: _Object


class _Snapshot(msgspec.Struct):
    generation: int


_event = msgspec.json.Decoder(_Event)
_snapshot = msgspec.json.Decoder(_Snapshot)


class Progress:
    """The newest generation of each route that both its status and its configuration are of."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._told: dict[Key, int] = {}  # by the status
        self._written: dict[Key, int] = {}  # by the ConfigMap
        self._waiting: dict[Key, tuple[int, asyncio.Future[float]]] = {}

    def take(self, line: bytes) -> str:
        """One event of a watch of either kind; the version that it is of. ValueError where it is an error."""
        seen = _event.decode(line).object
        if not seen.metadata.resource_version:
            raise ValueError(line.decode()[:300])
        if snapshot := seen.data.get(FILE_NAME):
            key = Key(seen.metadata.namespace, seen.metadata.labels[ROUTE_LABEL])
            self._written[key] = _snapshot.decode(snapshot).generation
        else:
            key = Key(seen.metadata.namespace, seen.metadata.name)
            self._told[key] = max(self._told.get(key, 0), seen.status.observed_generation)
        generation, done = self._waiting.get(key, (0, None))
        if done and self.of(key) >= generation:
            del self._waiting[key]
            done.set_result(asyncio.get_running_loop().time())
        return seen.metadata.resource_version

    def of(self, key: Key) -> int:
        """The generation that has been carried out; 0: none yet."""
        return min(self._told.get(key, 0), self._written.get(key, 0))

    def carried_out(self, key: Key, generation: int) -> asyncio.Future[float]:
        """The loop's time at which ``generation`` of ``key`` was carried out; nobody else may wait for that key."""
        done = asyncio.get_running_loop().create_future()
        if self.of(key) >= generation:
            done.set_result(asyncio.get_running_loop().time())
        else:
            self._waiting[key] = generation, done
        return done

    async def all_carried_out(self, keys: Iterable[Key], generation: int = 1) -> float:
        """The time of the last one."""
        return max(await asyncio.gather(*(self.carried_out(key, generation) for key in keys)))

    @contextlib.asynccontextmanager
    async def following(self, api: Api) -> AsyncIterator[None]:
        """Take what both watches tell, from the entry on. When that fails, who waits gets a RuntimeError."""
        kinds = ((MODEL_ROUTE, ""), (CONFIG_MAP, MANAGED))
        tasks = [asyncio.create_task(self._follow(api, *kind, await api.version(kind[0]))) for kind in kinds]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, api: Api, kind: Kind, selector: str, since: str) -> None:
        why = "cancelled"
        try:
            while True:  # the API server ends the watch of whoever reads too slowly, as this process does in a burst
                async for line in api.watch(kind, selector, since):
                    since = self.take(line)
        except (aiohttp.ClientError, msgspec.MsgspecError, ValueError) as error:
            why = f"{type(error).__name__}: {error}"
        finally:
            for _, done in self._waiting.values():
                done.set_exception(RuntimeError(f"the watch of {kind.plural} failed: {why}"))
            self._waiting.clear()
