"""The HTTP session that kopf watches with, and when something was last heard on each watch.

Made by ``watches``, asked by ``app`` for the liveness probe. Kopf keeps the bytes of a watch to itself, bookmarks
above all; so they are noted where they pass. Never changes what passes, but for the one refusal that kopf knows only as
an event of a watch.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from typing import Any, cast

import aiohttp
import kopf
import yarl

from modelroute import __version__
from modelroute.controller import metrics
from modelroute.controller.backoff import backoff, jittered
from modelroute.controller.kube.calls import FORBIDDEN, GONE
from modelroute.controller.kube.cluster import credentials
from modelroute.controller.kube.kinds import Kind

LOGIN_MEMORY_SECONDS = 60.0


class Ear:
    """Hears each answer to a list or watch of kopf's, and each piece of a watch's stream."""

    def __init__(self, kinds: Iterable[Kind], namespaces: tuple[str | None, ...], listed: Callable[[], None]) -> None:
        """``listed`` is called when kopf has listed a kind: it tells of none that went since the last listing.

        And when it may not watch one any more, or may again.
        """
        self._kinds = {kind.path(ns): kind for kind, ns in itertools.product(kinds, namespaces)}
        self._listed = listed
        self._watched: set[str] = set()
        self._forbidden: set[str] = set()
        self._heard: dict[str, float] = {}

    def begin(self) -> None:
        """From now on something is to be heard of every kind."""
        self._heard = dict.fromkeys(self._kinds, asyncio.get_running_loop().time())
        for kind in self._kinds.values():
            metrics.WATCH_AGE.labels(kind.plural).set_function(partial(self.age, kind))

    def end(self) -> None:
        """Nothing is to be heard any more."""
        self._heard = {}
        metrics.WATCH_AGE.clear()

    def age(self, kind: Kind) -> float:
        """Seconds since anything was heard of ``kind``; of its watches the most silent one counts."""
        now = asyncio.get_running_loop().time()
        return max((now - at for path, at in self._heard.items() if self._kinds[path] is kind), default=0.0)

    def silent(self, limit: float) -> tuple[Kind, ...]:
        """The kinds of which nothing was heard for longer than ``limit`` seconds."""
        return tuple(kind for kind in dict.fromkeys(self._kinds.values()) if self.age(kind) > limit)

    def may_watch(self, kind: Kind, namespace: str | None) -> bool:
        """Whether the API server has not said otherwise the last time."""
        return kind.path(namespace) not in self._forbidden

    async def session(self) -> kopf.AiohttpSession:
        """A session with the credentials of our own client; the token is read anew for each request."""
        found = await credentials()
        trust = kopf.ConnectionInfo(
            server=found.host,
            ca_path=found.ssl_ca_cert,
            insecure=not found.verify_ssl,
            certificate_path=found.cert_file,
            private_key_path=found.key_file,
        )

        async def authorise(
            request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
        ) -> aiohttp.ClientResponse:
            token = await found.get_api_key_with_prefix("BearerToken")
            if token:
                request.headers["Authorization"] = token
            return await handler(request)

        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=trust.as_ssl_context()),
            headers={"User-Agent": f"modelroute-operator/{__version__}"},
            middlewares=(partial(self._hear, yarl.URL(found.host).path.rstrip("/")), authorise),
        )
        return kopf.AiohttpSession(server=found.host, aiohttp_session=session)

    async def _hear(
        self, prefix: str, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        path = request.url.path.removeprefix(prefix)
        kind = self._kinds.get(path)
        if kind is None:
            return await handler(request)
        watch = request.url.query.get("watch") == "true"
        if watch and path in self._watched:
            metrics.WATCH_RESTARTS.labels(kind.plural).inc()
        try:
            response = await handler(request)
        except (aiohttp.ClientError, OSError, TimeoutError):
            metrics.API_REQUESTS.labels("watch" if watch else "list", kind.plural, "error").inc()
            raise
        metrics.API_REQUESTS.labels("watch" if watch else "list", kind.plural, str(response.status)).inc()
        self._note(path)
        forbidden = watch and response.status == FORBIDDEN
        if forbidden != (path in self._forbidden) and (forbidden or (watch and response.ok)):
            self._forbidden ^= {path}
            self._listed()
        content = _Overheard
        if watch and response.status == GONE:  # for a status kopf ends, and all that the operator does begins anew
            response.status, content = 200, _Expired
        if not response.ok:
            return response
        if watch:
            self._watched.add(path)
            response.content = cast("aiohttp.StreamReader", content(response.content, partial(self._note, path)))
        else:
            self._listed()
        return response

    def _note(self, path: str) -> None:
        if path in self._heard:
            self._heard[path] = asyncio.get_running_loop().time()


class Login:
    """Kopf's login handler: a new session each time that the API server refuses the last one."""

    def __init__(self, ear: Ear) -> None:
        """``ear`` hears what the sessions bring."""
        self._ear = ear
        self._sessions: list[aiohttp.ClientSession] = []
        self._tries: list[float] = []

    async def __call__(self, **_: Any) -> kopf.AiohttpSession:
        """Later and later, when one login after the other is refused: kopf tries the new one at once."""
        now = asyncio.get_running_loop().time()
        self._tries = [at for at in self._tries if now - at < LOGIN_MEMORY_SECONDS]
        if self._tries:
            await asyncio.sleep(jittered(backoff(len(self._tries))))
        self._tries.append(asyncio.get_running_loop().time())
        found = await self._ear.session()
        self._sessions = [old for old in self._sessions if not old.closed] + [found.aiohttp_session]
        return found

    async def close(self) -> None:
        """Kopf closes what it used, unless it was ended before it could."""
        for session in self._sessions:
            await session.close()


class _Overheard:
    """A response's content that tells when a piece of it was read."""

    def __init__(self, content: aiohttp.StreamReader, heard: Callable[[], None]) -> None:
        self._content = content
        self._tell = heard

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        async for piece in self._content.iter_chunked(size):
            self._tell()
            yield piece


class _Expired(_Overheard):
    """That of a watch from a version that is too old: told so, kopf lists again and watches from there."""

    async def iter_chunked(self, _: int) -> AsyncIterator[bytes]:
        yield b'{"type": "ERROR", "object": {"code": %d}}\n' % GONE
