"""The operator's admin port: liveness and metrics, for the kubelet and Prometheus. Never serves anything of a route."""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest


async def start(port: int, unwell: Callable[[], str], unready: Callable[[], str]) -> web.AppRunner:
    """Serve until the runner is cleaned up.

    ``unwell`` says what only a restart can mend, ``unready`` what is still to come; nothing when all is well.
    """

    async def healthz(_: web.Request) -> web.Response:
        return _verdict(unwell())

    async def readyz(_: web.Request) -> web.Response:
        return _verdict(unready())

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, handle_signals=False, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=port).start()
    return runner


def _verdict(wrong: str) -> web.Response:
    return web.Response(status=503 if wrong else 200, text=f"{wrong or 'ok'}\n")
