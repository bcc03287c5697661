"""Runs tests that are coroutines on the event loop that the router uses, with a router and its backends at hand."""

import asyncio
import inspect
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import uvloop

from modelroute.router.app import Options, Router
from modelroute.router.http.framing import Limits
from modelroute.router.source import FileSource
from modelroute.snapshot.codec import decode, encode
from modelroute.snapshot.types import Backend, Retry, Snapshot, Timeouts
from tests.fakes.client import Client, Reply, chat, http
from tests.fakes.upstream import Script, Upstream

PATIENCE_SECONDS = 30
NO_RETRY = Retry(budget_percent=0, budget_floor=0)
"""What could not be reached goes to another replica all the same."""
TIMES = Timeouts(connect=5, first_token_streamed=10, first_token_whole=10, stream_idle=10)


def backend(name: str, *upstreams: Upstream | str, weight: int = 0, **more: Any) -> Backend:
    """A backend of a snapshot whose endpoints are ``upstreams``."""
    endpoints = tuple(u if isinstance(u, str) else u.address for u in upstreams)
    return Backend(name=name, weight=weight, endpoints=endpoints, timeouts=more.pop("timeouts", TIMES), **more)


def times(**seconds: float) -> Timeouts:
    """Timeouts that are long but for those given."""
    return Timeouts(**{"connect": 5, "first_token_streamed": 10, "first_token_whole": 10, "stream_idle": 10, **seconds})


class Plane:
    """A router, its backends and its clients, in one event loop."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "snapshot.json"
        self.secrets = directory / "secrets"
        self.router: Router | None = None
        self.running: asyncio.Task[None] | None = None
        self.generation = 0
        self._stack = AsyncExitStack()

    async def upstream(self, *scripts: Script) -> Upstream:
        return await self._stack.enter_async_context(Upstream(*scripts))

    def defer(self, close: Callable[[], None]) -> None:
        """Do so when the test ends."""
        self._stack.callback(close)

    def secret(self, file: str, value: str) -> None:
        path = self.secrets / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value)

    def write(self, *backends: Backend, **more: Any) -> Snapshot:
        """Put a snapshot of ``backends`` into the router's file."""
        self.generation += 1
        fields = {"namespace": "team", "name": "chat", "generation": self.generation, "models": ("chat",)}
        snapshot = Snapshot(backends=backends, **{**fields, "retry": NO_RETRY, **more})
        self.file.write_bytes(encode(snapshot))
        return snapshot

    async def start(self, limits: Limits | None = None, **options: Any) -> Router:
        """Start the router on what is in its file."""
        source = FileSource(self.file, decode)
        chosen = Options(0, 0, "127.0.0.1", self.secrets, limits=limits or Limits(), **options)
        self.router = router = Router(source, chosen)
        await router.listen()
        self.running = asyncio.create_task(router.serve())
        return router

    async def route(self, *backends: Backend, limits: Limits | None = None, **more: Any) -> Router:
        """A router on ``backends``; called again: the same router on a new snapshot."""
        self.write(*backends, **more)
        if self.router is None:
            return await self.start(limits)
        self.router.poll()
        return self.router

    async def connect(self, port: int = 0, *, admin: bool = False) -> Client:
        if not port:
            assert self.router is not None
            port = self.router.admin_port if admin else self.router.port
        client = await Client.connect(port)
        self._stack.callback(client.close)
        return client

    async def ask(self, method: str, path: str, body: bytes = b"", *, admin: bool = False, **headers: str) -> Reply:
        """The answer to one request, on a connection of its own."""
        client = await self.connect(admin=admin)
        client.send(http(method, path, body, **headers))
        return await client.reply(method)

    async def chat(self, content: str = "hi", headers: dict[str, str] | None = None, **fields: Any) -> Reply:
        client = await self.connect()
        client.send(http("POST", "/v1/chat/completions", chat(content=content, **fields), **(headers or {})))
        return await client.reply()

    async def metric(self, name: str, **labels: str) -> float:
        """A metric as Prometheus would read it; 0 when it is not there."""
        page = (await self.ask("GET", "/metrics", admin=True)).body.decode()
        wanted = {f'{key.rstrip("_")}="{value}"' for key, value in labels.items()}
        for line in page.splitlines():
            series, _, value = line.rpartition(" ")
            found, _, given = series.partition("{")
            if found == name and wanted <= set(given.rstrip("}").split(",")):
                return float(value)
        return 0.0

    async def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((await self.ask("GET", "/status", admin=True)).body)
        return found

    async def close(self) -> None:
        await self._stack.aclose()
        if self.router is not None and self.running is not None:
            self.router.end()
            self.router.end()
            await self.running


@pytest.fixture
def plane(tmp_path: Path) -> Plane:
    """What a test needs; closed by the hook below, since that takes the event loop."""
    return Plane(tmp_path)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a coroutine to its end, and close the plane that it used."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}

    async def call() -> None:
        try:
            await asyncio.wait_for(pyfuncitem.obj(**arguments), PATIENCE_SECONDS)
        finally:
            if isinstance(used := arguments.get("plane"), Plane):
                await used.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(call())
    return True
