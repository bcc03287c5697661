"""The operator's admin port: liveness and metrics, for the kubelet and Prometheus. Never serves anything of a route."""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

STUCK_SECONDS = 300.0


async def start(port: int, longest: Callable[[], float], ready: Callable[[], bool]) -> web.AppRunner:
    """Serve until the runner is cleaned up.

    ``longest`` gives the age in seconds of the oldest running reconcile, ``ready`` whether routes are worked on.
    """

    async def healthz(_: web.Request) -> web.Response:
        age = longest()
        if age > STUCK_SECONDS:
            return web.Response(status=503, text=f"a reconcile has been running for {age:.0f} s\n")
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        if ready():
            return web.Response(text="ok\n")
        return web.Response(status=503, text="the first listing of what is watched is not complete yet\n")

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, handle_signals=False, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=port).start()
    return runner
