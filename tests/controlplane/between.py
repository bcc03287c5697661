"""What may stand between the operator and the API server, and go wrong: a proxy that tests bend to their will."""

import asyncio
import contextlib
import json
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import yaml

from modelroute.controller.kube.kinds import WATCHED
from modelroute.controller.watching.watches import SETTLE_SECONDS
from tests.controlplane.plane import KubeObject, Plane, until

_LISTS = frozenset(kind.path() for kind in WATCHED)


class Asked(NamedTuple):
    """One request, and when it came."""

    at: float
    method: str
    target: str

    @property
    def watches(self) -> bool:
        return "watch=true" in self.target

    @property
    def lists(self) -> bool:
        """Whether it is for all of a kind that is watched."""
        return self.method == "GET" and not self.watches and self.target.split("?")[0] in _LISTS


@dataclass(frozen=True)
class Answer:
    """What the proxy says in the API server's place."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: KubeObject = field(default_factory=dict)

    def encoded(self) -> bytes:
        body = json.dumps(self.body).encode() + b"\n"
        headers = {"Content-Type": "application/json", "Content-Length": len(body), "Connection": "close"}
        lines = [f"HTTP/1.1 {self.status} so", *(f"{k}: {v}" for k, v in (headers | self.headers).items())]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


HANG, RESET = "hang", "reset"
Fate = Answer | str | None


class _Relay:
    """One request on its way."""

    def __init__(self, asked: Asked, client: asyncio.StreamWriter) -> None:
        self.asked = asked
        self.client = client
        self.frozen = False


class Between:
    """Plain HTTP on one side, the API server on the other. ``fate`` decides on each new request; None lets it pass."""

    def __init__(self, plane: Plane) -> None:
        self.fate: Callable[[Asked], Fate] = lambda _: None
        self.asked: list[Asked] = []
        self._relays: list[_Relay] = []
        self._server = urlsplit(plane.admin.cluster["server"])
        self._trust = ssl.create_default_context(cadata=plane.admin.authority)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        listening = asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._listener = asyncio.run_coroutine_threadsafe(listening, self._loop).result()

    def kubeconfig(self, direct: Path) -> Path:
        """As ``direct``, but through here."""
        config = yaml.safe_load(direct.read_text())
        port = self._listener.sockets[0].getsockname()[1]
        config["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{port}"}
        file = direct.with_name(f"{direct.stem}.between.kubeconfig")
        file.write_text(yaml.safe_dump(config))
        return file

    def freeze(self, which: Callable[[Asked], bool] = lambda _: True) -> None:
        """Of the connections that there are, hold these, but let nothing more through."""
        for relay in list(self._relays):
            relay.frozen = relay.frozen or which(relay.asked)

    def reset(self) -> None:
        """Break all connections that there are."""
        for relay in list(self._relays):
            self._loop.call_soon_threadsafe(relay.client.transport.abort)

    def since(self, mark: float, which: Callable[[Asked], bool] = lambda _: True) -> list[Asked]:
        return [asked for asked in list(self.asked) if asked.at >= mark and which(asked)]

    def until_unlisted(self) -> None:
        """Wait until no listing is to follow on one of kopf's: it would bring what watches do not."""
        calm = SETTLE_SECONDS + 1
        until("no listing", lambda: not self.since(time.monotonic() - calm, lambda a: a.lists), seconds=60)

    def stop(self) -> None:
        async def end() -> None:
            self._listener.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._one(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            with contextlib.suppress(OSError):
                writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        request, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        asked = Asked(time.monotonic(), *request.split(" ")[:2])
        self.asked.append(asked)
        fate = self.fate(asked)
        if isinstance(fate, Answer):
            writer.write(fate.encoded())
            await writer.drain()
        elif fate == RESET:
            writer.transport.abort()
        elif fate == HANG:
            await reader.read()
        else:
            relay = _Relay(asked, writer)
            self._relays.append(relay)
            try:
                await self._pass(relay, reader, head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1) + body)
            finally:
                self._relays.remove(relay)

    async def _pass(self, relay: _Relay, reader: asyncio.StreamReader, request: bytes) -> None:
        upstream = await asyncio.open_connection(self._server.hostname, self._server.port, ssl=self._trust)
        upstream[1].write(request)
        answering = asyncio.create_task(self._copy(upstream[0], relay))
        leaving = asyncio.create_task(reader.read())
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (answering, leaving):
                task.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)
            upstream[1].transport.abort()

    async def _copy(self, source: asyncio.StreamReader, relay: _Relay) -> None:
        while piece := await source.read(65536):
            if relay.frozen:
                await asyncio.Event().wait()
            relay.client.write(piece)
            await relay.client.drain()
        if relay.frozen:
            await asyncio.Event().wait()
