"""A server's life: refuse connections while loading, serve, and end on SIGTERM the way vLLM 0.32 does.

`main` is what `standin.py`, `python -m vllm_standin` and the image's `vllm` run. It prints one line when the port is
open (`--port 0` takes a free one). Exit status: 0 after a signal, 1 when the port cannot be had, 2 for a command line
that cannot work.
"""

import asyncio
import os
import signal
import sys
from contextlib import suppress

from vllm_standin.api import Api
from vllm_standin.engine import Engine
from vllm_standin.settings import Settings, SettingsError, parse
from vllm_standin.web import Connection, Connections

_BACKLOG = 2048


def main() -> int:
    """Run until a signal ends it."""
    try:
        settings, notes = parse(sys.argv[1:], os.environ)
    except SettingsError as error:
        print(f"vllm-standin: {error}", file=sys.stderr)
        return 2
    for note in notes:
        print(f"vllm-standin: note: {note}", flush=True)
    try:
        asyncio.run(_serve(settings))
    except OSError as error:
        print(f"vllm-standin: cannot listen on port {settings.port}: {error.strerror or error}", file=sys.stderr)
        return 1
    return 0


async def _serve(settings: Settings) -> None:
    told, forced = asyncio.Event(), asyncio.Event()
    _on_signals(told, forced)
    if settings.startup_delay:
        print(f"vllm-standin: {settings.name} loads for {settings.startup_delay} s", flush=True)
    with suppress(TimeoutError):
        await asyncio.wait_for(told.wait(), settings.startup_delay)
    if told.is_set():
        return
    engine, connections = Engine(settings), Connections(settings.keep_alive)
    api = Api(settings, engine)
    listener = await asyncio.get_running_loop().create_server(
        lambda: Connection(api, connections), settings.host, settings.port, backlog=_BACKLOG
    )
    port = listener.sockets[0].getsockname()[1]
    print(f"vllm-standin: {settings.name} listens on {settings.host or '*'}:{port}", flush=True)
    await told.wait()
    if settings.shutdown_timeout > 0:
        await engine.drain(settings.shutdown_timeout)
    engine.kill()
    listener.close()
    ends = [asyncio.ensure_future(connections.shut()), asyncio.ensure_future(forced.wait())]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)


def _on_signals(told: asyncio.Event, forced: asyncio.Event) -> None:
    """SIGTERM and SIGINT end the server; a second SIGINT does not wait for clients, as in uvicorn."""

    def interrupt() -> None:
        if told.is_set():
            forced.set()
        told.set()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, told.set)
    loop.add_signal_handler(signal.SIGINT, interrupt)
