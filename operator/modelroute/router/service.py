"""Who answers the two ports: clients on the public one, metrics and status on the admin one, health on both.

Made by ``app``. Never waits: what takes time is an ``Exchange``.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import msgspec

from modelroute.policy.facts import Facts
from modelroute.router.clients.clients import KEY_NEEDED, model_refusal, visible
from modelroute.router.flow.exchange import Exchange
from modelroute.router.flow.facts import facts_of
from modelroute.router.flow.job import Job, Shared
from modelroute.router.flow.reading import LARGE, Reading
from modelroute.router.http import replies
from modelroute.router.http.framing import Limits
from modelroute.router.http.http1 import ClientConnection
from modelroute.router.http.request import Request
from modelroute.router.http.room import Room
from modelroute.router.metrics.metrics import NOBODY
from modelroute.router.replicas.gauges import described
from modelroute.router.replicas.live import Live, Route
from modelroute.router.surface.body import Ask, read
from modelroute.router.surface.openai import (
    ADMIN_PATHS,
    PUBLIC_PATHS,
    Kind,
    Paths,
    Refusal,
    dialect_of,
    model_list,
    model_not_found,
    no_ready_backend,
    resolve,
    shutting_down,
)
from modelroute.router.surface.pairs import BadBodyError

_TEXT = b"content-type: text/plain; charset=utf-8\r\n"
_METRICS = b"content-type: text/plain; version=1.0.0; charset=utf-8\r\n"
_OPEN = (Kind.HEALTH, Kind.READY)
_FREE = (Kind.MODELS, Kind.MODEL)
_UNREAD_MOST = 65_536  # bytes of a stranger's body that are read, so that the connection can be used again
_NOT_YET = "this router has no configuration yet; try again shortly"


def _look(request: Request, route: Route) -> tuple[Ask, Facts]:
    """What a body asks for, and what a choice may rest on; BadBodyError when it is of no use. Knows no event loop."""
    ask = read(request.kind or Kind.CHAT, request.body, request.headers.get(b"content-type", b""))
    return ask, facts_of(request, ask, route)


def _is_short(request: Request) -> bool:
    chunked = b"transfer-encoding" in request.headers
    return not chunked and int(request.headers.get(b"content-length", b"0")) <= _UNREAD_MOST


class Service:
    """What both ports have in common."""

    paths: Paths

    def __init__(self, live: Live, limits: Limits) -> None:
        self.live = live
        self.limits = limits
        self.room = Room(limits)
        self.draining = False
        self.clients: set[ClientConnection] = set()
        self.empty = asyncio.Event()
        self.empty.set()

    def joined(self, client: ClientConnection) -> None:
        """A client has connected."""
        self.clients.add(client)
        self.empty.clear()

    def left(self, client: ClientConnection) -> None:
        """A client's connection is closed."""
        self.clients.discard(client)
        if not self.clients:
            self.empty.set()

    def admit(self, request: Request) -> Refusal | None:
        """Find out what a request asks for, by its head."""
        found = resolve(request.method, request.target.decode("latin-1"), self.paths)
        if isinstance(found, Refusal):
            return found
        request.kind, request.model = found
        return None

    def serve(self, client: ClientConnection, request: Request) -> None:
        """Answer a request whose turn has come."""
        if request.refusal is not None:
            self.refuse(client, request, request.refusal)
        elif request.kind is Kind.HEALTH:
            self.reply(client, request, _TEXT, b"ok\n")
        elif request.kind is Kind.READY:
            ready = self.live.route is not None and not self.draining
            status, word = (200, b"ready\n") if ready else (503, b"draining\n" if self.draining else b"no snapshot\n")
            self.reply(client, request, _TEXT, word, status)
        else:
            self.answer(client, request)

    def answer(self, client: ClientConnection, request: Request) -> None:
        """Answer what only this port answers."""
        raise NotImplementedError

    def reply(self, client: ClientConnection, request: Request, headers: bytes, body: bytes, status: int = 200) -> None:
        """Give an answer of the router's own."""
        own = replies.route_headers(request, NOBODY, "router", 0)
        client.write(replies.whole(request, status, headers + own, body, close=client.closes()))
        client.finish()

    def refuse(self, client: ClientConnection, request: Request, refusal: Refusal) -> None:
        """Give an error that needed no backend."""
        headers, body = replies.refused(refusal, dialect_of(request.kind))
        own = replies.route_headers(request, NOBODY, refusal.code or "invalid_request", 0)
        client.write(replies.whole(request, refusal.status, headers + own, body, close=client.closes()))
        client.finish()


class PublicService(Service):
    """The port of clients."""

    paths = PUBLIC_PATHS

    def __init__(self, live: Live, limits: Limits, shared: Shared) -> None:
        super().__init__(live, limits)
        self._shared = shared
        self._aside = ThreadPoolExecutor(1)

    def admit(self, request: Request) -> Refusal | None:
        """Find out who asks, too, before anything of the body is looked at, and keep a place within its limits."""
        refusal = super().admit(request)
        route = self.live.route
        if refusal is not None or route is None or route.clients is None or request.kind in _OPEN:
            return refusal
        identity = route.clients.authenticate(request.headers)
        if isinstance(identity, Refusal):
            return identity if _is_short(request) else msgspec.structs.replace(identity, close=True)
        request.identity = identity
        if request.kind not in _FREE:
            size = int(request.headers.get(b"content-length", b"0"))
            lease = route.clients.enter(identity, size)
            if isinstance(lease, Refusal):
                return lease
            request.lease = lease
        return None

    def answer(self, client: ClientConnection, request: Request) -> None:
        """A list of models, or an exchange with a backend."""
        route = self.live.route
        if route is None:
            self.refuse(client, request, no_ready_backend(_NOT_YET))
        elif route.clients is not None and request.identity is None:
            self.refuse(client, request, KEY_NEEDED)  # the route came to want keys while the body was read
        elif request.kind is Kind.MODELS or request.kind is Kind.MODEL:
            self._tell_models(client, request, route)
        else:
            self._exchange(client, request, route)

    def _tell_models(self, client: ClientConnection, request: Request, route: Route) -> None:
        names = visible(request.identity, route.snapshot.models)
        if request.kind is Kind.MODELS:
            whole = len(names) == len(route.snapshot.models)
            listed = route.cards[""] if whole else model_list(route.cards[name] for name in names)
            self.reply(client, request, replies.JSON, listed)
        elif request.model in names:
            self.reply(client, request, replies.JSON, route.cards[request.model])
        else:
            self.refuse(client, request, model_not_found(request.model, names))

    def _exchange(self, client: ClientConnection, request: Request, route: Route) -> None:
        """Look at the body, and begin."""
        if request.size < LARGE:
            self._begin(client, request, route, partial(_look, request, route))
            return
        reading: Reading[tuple[Ask, Facts]] = Reading(
            client,
            request,
            then=lambda found: self._looked(client, request, route, found),
            refuse=lambda: self.refuse(client, request, shutting_down()),
        )
        reading.start(self._aside, partial(_look, request, route))

    def _looked(
        self, client: ClientConnection, request: Request, route: Route, found: "asyncio.Future[tuple[Ask, Facts]]"
    ) -> None:
        if self.live.route is route:
            self._begin(client, request, route, found.result)
        else:
            found.exception()
            self.answer(client, request)  # by the snapshot that has come: it may keep the request inside

    def _begin(
        self, client: ClientConnection, request: Request, route: Route, found: Callable[[], tuple[Ask, Facts]]
    ) -> None:
        try:
            ask, facts = found()
        except BadBodyError as error:
            self.refuse(client, request, error.refusal)
            return
        request.pieces.clear()
        refusal = request.lease.grow(len(ask.body)) if b"transfer-encoding" in request.headers else None
        refusal = refusal or model_refusal(request.identity, ask.model, route.snapshot.models)
        if refusal is not None:
            self.refuse(client, request, refusal)
        else:
            Exchange(Job(self._shared, client, request, ask), self.live, route).start(facts)

    def refuse(self, client: ClientConnection, request: Request, refusal: Refusal) -> None:
        """Count it, too, and give back what was reserved."""
        request.lease.settle(0)
        self._shared.metrics.refused(NOBODY, refusal.status, refusal.code or "invalid_request")
        super().refuse(client, request, refusal)


class AdminService(Service):
    """The port of the cluster: nothing here is for clients."""

    paths = ADMIN_PATHS

    def __init__(self, live: Live, limits: Limits, shared: Shared) -> None:
        super().__init__(live, limits)
        self._metrics = shared.metrics
        self.refused_snapshot: str | None = None

    def answer(self, client: ClientConnection, request: Request) -> None:
        """Metrics, or what this router runs."""
        if request.kind is Kind.METRICS:
            self.reply(client, request, _METRICS, self._metrics.page())
        else:
            self.reply(client, request, replies.JSON, msgspec.json.encode(self._status()))

    def _status(self) -> dict[str, object]:
        route = self.live.route
        snapshot = route.snapshot if route is not None else None
        return {
            "namespace": snapshot.namespace if snapshot else None,
            "name": snapshot.name if snapshot else None,
            "revision": snapshot.revision if snapshot else None,
            "generation": snapshot.generation if snapshot else None,
            "ready": snapshot is not None and not self.draining,
            "refusedSnapshot": self.refused_snapshot,
            "backends": self._backends(),
            "clientKeys": self._client_keys(),
        }

    def _client_keys(self) -> dict[str, object] | None:
        clients = self.live.route.clients if self.live.route is not None else None
        return {"inForce": len(clients), "refused": clients.problem} if clients is not None else None

    def _backends(self) -> list[dict[str, object]]:
        route, now = self.live.route, asyncio.get_running_loop().time()
        return [described(target, now) for target in route.targets.values()] if route is not None else []
