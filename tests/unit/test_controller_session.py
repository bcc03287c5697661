"""What kopf's session brings is overheard: each answer, each piece of a watch, each listing anew."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import kubernetes.aio.client
import pytest
from aiohttp import web

from modelroute.controller import metrics
from modelroute.controller.kube.kinds import CONFIG_MAP, SERVICE, Kind
from modelroute.controller.watching.session import Ear, Login
from tests.fakes.clock import InstantLoop

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class World:
    """An Ear, a session of it and an API server that answers as a test says."""

    def __init__(self) -> None:
        self.listed = 0
        self.ear = Ear((CONFIG_MAP, SERVICE), ("a", "b"), self._again)
        self.ear.begin()
        self.answer: Answer = ok
        self.requests: list[web.Request] = []
        self.session: aiohttp.ClientSession
        self.root = ""

    def _again(self) -> None:
        self.listed += 1

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        return await self.answer(request)

    async def ask(self, kind: Kind = CONFIG_MAP, namespace: str = "a", *, watch: bool = False) -> int:
        async with self.session.get(self.url(kind, namespace, watch=watch)) as response:
            async for _ in response.content.iter_chunked(1024):
                pass
            return response.status

    def url(self, kind: Kind, namespace: str, *, watch: bool) -> str:
        return f"{self.root}{kind.path(namespace)}" + ("?allowWatchBookmarks=true&watch=true" if watch else "")

    def heard(self, kind: Kind = CONFIG_MAP, namespace: str = "a") -> float:
        """When."""
        return self.ear._heard[kind.path(namespace)]


async def ok(_: web.Request) -> web.StreamResponse:
    return web.json_response({"items": []})


async def forbidden(_: web.Request) -> web.StreamResponse:
    return web.json_response({}, status=403)


async def gone(_: web.Request) -> web.StreamResponse:
    return web.json_response({"kind": "Status", "code": 410}, status=410)


def play(
    monkeypatch: pytest.MonkeyPatch, script: Callable[[World], Awaitable[None]], prefix: str = "", tokens: str = ""
) -> None:
    async def main() -> None:
        world = World()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", world.handle)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        assert site._server
        world.root = f"http://127.0.0.1:{runner.addresses[0][1]}{prefix}"
        given = iter(tokens.split())

        async def found() -> Any:
            configuration: Any = kubernetes.aio.client.Configuration(host=world.root)
            if tokens:

                async def renew(_: Any) -> None:
                    configuration.api_key["BearerToken"] = f"Bearer {next(given)}"

                configuration.refresh_api_key_hook = renew
                configuration.api_key["BearerToken"] = ""
            return configuration

        monkeypatch.setattr("modelroute.controller.watching.session.credentials", found)
        login = Login(world.ear)
        world.session = (await login()).aiohttp_session
        try:
            await script(world)
        finally:
            await login.close()
            await runner.cleanup()
            world.ear.end()

    asyncio.run(main())


def test_each_piece_of_a_watch_is_heard_for_its_kind_and_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    more = asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(3):
            await more.wait()
            more.clear()
            await response.write(b'{"type": "BOOKMARK"}\n')
        return response

    async def script(world: World) -> None:
        world.answer = stream
        other = world.heard(SERVICE), world.heard(CONFIG_MAP, "b")
        times = [world.heard()]
        async with world.session.get(world.url(CONFIG_MAP, "a", watch=True)) as response:
            times.append(world.heard())  # the answer's head
            pieces = response.content.iter_chunked(1024)
            for _ in range(3):
                await asyncio.sleep(0.002)
                more.set()
                await anext(pieces)
                times.append(world.heard())
        assert sorted(set(times)) == times
        assert (world.heard(SERVICE), world.heard(CONFIG_MAP, "b")) == other

    play(monkeypatch, script)


def test_a_request_without_an_answer_is_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    async def drop(request: web.Request) -> web.StreamResponse:
        assert request.transport
        request.transport.close()
        return web.Response()

    async def script(world: World) -> None:
        world.answer = drop
        before = world.heard()
        with pytest.raises(aiohttp.ClientError):
            await world.ask(watch=True)
        assert world.heard() == before

    play(monkeypatch, script)


def test_a_refusal_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(world: World) -> None:
        world.answer = forbidden
        before = world.heard()
        assert await world.ask(watch=True) == 403
        assert world.heard() > before

    play(monkeypatch, script)


def test_o02_a_watch_from_too_old_a_version_is_told_so_by_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(world: World) -> None:
        world.answer = gone
        before = world.heard()
        async with world.session.get(world.url(CONFIG_MAP, "a", watch=True)) as response:
            told = [json.loads(piece) async for piece in response.content.iter_chunked(1024)]
        assert (response.status, told) == (200, [{"type": "ERROR", "object": {"code": 410}}])
        assert world.heard() > before
        assert await world.ask() == 410
        assert world.listed == 0

    play(monkeypatch, script)


def test_o28_whether_it_may_watch_is_told_when_that_is_news(monkeypatch: pytest.MonkeyPatch) -> None:
    async def trouble(_: web.Request) -> web.StreamResponse:
        return web.json_response({}, status=503)

    async def script(world: World) -> None:
        told = []
        for world.answer in (ok, forbidden, forbidden, trouble, ok, ok):
            await world.ask(watch=True)
            told.append((world.ear.may_watch(CONFIG_MAP, "a"), world.listed))
        assert told == [(True, 0), (False, 1), (False, 1), (False, 1), (True, 2), (True, 2)]
        assert world.ear.may_watch(CONFIG_MAP, "b")

    play(monkeypatch, script)


def test_each_listing_is_told_of_and_no_refusal_or_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(world: World) -> None:
        world.answer = forbidden
        await world.ask()
        assert world.listed == 0
        world.answer = ok
        for namespace in "ab":
            await world.ask(namespace=namespace)
            await world.ask(namespace=namespace, watch=True)
        assert world.listed == 2
        await world.ask()
        assert world.listed == 3

    play(monkeypatch, script)


def test_behind_a_path_of_the_server_it_hears_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(world: World) -> None:
        before = world.heard()
        await world.ask()
        assert world.heard() > before

    play(monkeypatch, script, prefix="/clusters/x")


def test_what_kopf_asks_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def counted() -> list[float]:
        labels = (("list", "200"), ("watch", "200"), ("watch", "403"))
        found = [metrics.API_REQUESTS.labels(verb, "services", code)._value.get() for verb, code in labels]
        return [*found, metrics.WATCH_RESTARTS.labels("services")._value.get()]

    async def script(world: World) -> None:
        before = counted()
        await world.ask(SERVICE)
        for _ in range(3):
            await world.ask(SERVICE, watch=True)
        world.answer = forbidden
        await world.ask(SERVICE, watch=True)
        assert [now - then for now, then in zip(counted(), before, strict=True)] == [1, 3, 1, 3]

    play(monkeypatch, script)


def test_a_token_that_was_renewed_is_used_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(world: World) -> None:
        await world.ask()
        await world.ask()
        assert [r.headers["Authorization"] for r in world.requests] == ["Bearer first", "Bearer second"]

    play(monkeypatch, script, tokens="first second")


def instantly(script: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await script()

    with asyncio.Runner(loop_factory=InstantLoop) as runner:
        runner.run(main())


def test_the_most_silent_namespace_counts() -> None:
    async def script() -> None:
        ear = Ear((CONFIG_MAP, SERVICE), ("a", "b"), lambda: None)
        ear.begin()
        await asyncio.sleep(100)
        for kind, namespace in ((CONFIG_MAP, "a"), (SERVICE, "a"), (SERVICE, "b")):
            ear._note(kind.path(namespace))
        await asyncio.sleep(10)
        assert (ear.age(CONFIG_MAP), ear.age(SERVICE)) == (110, 10)
        assert (ear.silent(50), ear.silent(5), ear.silent(200)) == ((CONFIG_MAP,), (CONFIG_MAP, SERVICE), ())
        assert [s.value for m in metrics.WATCH_AGE.collect() for s in m.samples] == [110, 10]
        ear.end()
        assert ear.age(CONFIG_MAP) == 0

    instantly(script)


def test_logins_that_are_refused_one_after_the_other_come_ever_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async def found() -> Any:
        return kubernetes.aio.client.Configuration(host="http://127.0.0.1:1")

    async def script() -> None:
        login, loop = Login(Ear((), (None,), lambda: None)), asyncio.get_running_loop()
        times = []
        for _ in range(5):
            await login()
            times.append(loop.time())
        assert times[0] == 0
        assert times[4] > 3.5
        sessions = list(login._sessions)
        await login.close()
        assert all(session.closed for session in sessions)

    monkeypatch.setattr("modelroute.controller.watching.session.credentials", found)
    instantly(script)
