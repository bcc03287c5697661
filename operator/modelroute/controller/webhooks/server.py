"""The webhooks' port: TLS, two paths, bounded bodies, an answer in time. Called by the API server.

Made by ``hooks``. Never decides; never logs a body.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable

from aiohttp import web

from modelroute.api import types as t
from modelroute.controller import metrics
from modelroute.controller.webhooks.admission import Admission
from modelroute.controller.webhooks.reviews import Ask, BadReviewError, Verdict, decode, encode

VALIDATE, INJECT = "/validate-modelroutes", "/inject-sidecar"
BODY_BYTES = 3 * 1024 * 1024
"""The API server itself takes no larger object; a review that holds the old one beside it is refused above this."""
ANSWER_SECONDS = 4.0
"""The API server waits for five."""
_LATE = Verdict(504, "the API server did not answer the operator in time; try again")
_Decide = Callable[[Ask], Awaitable[Verdict]]

log = logging.getLogger(__name__)


def application(admission: Admission) -> web.Application:
    """The two webhooks."""
    app = web.Application(client_max_size=BODY_BYTES)
    app.add_routes(
        [
            web.post(VALIDATE, _handler("validate", t.KIND, admission.validate)),
            web.post(INJECT, _handler("inject", "Pod", admission.inject)),
        ]
    )
    return app


async def listen(admission: Admission, context: ssl.SSLContext, port: int) -> web.AppRunner:
    """Serve until the runner is cleaned up; OSError when the port is taken."""
    runner = web.AppRunner(application(admission), handle_signals=False, access_log=None, shutdown_timeout=5.0)
    await runner.setup()
    await web.TCPSite(runner, port=port, ssl_context=context).start()
    return runner


def _handler(name: str, kind: str, decide: _Decide) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        body = await request.read()  # too much of it is a 413
        try:
            ask = decode(body, kind)
            verdict = await _in_time(decide, ask)
        except BadReviewError as error:
            metrics.REVIEWS.labels(name, "400").inc()
            return web.Response(status=400, text=f"{error}\n")
        except (KeyError, TypeError, AttributeError) as error:  # no API server sends a pod without its parts
            metrics.REVIEWS.labels(name, "400").inc()
            return web.Response(status=400, text=f"this object lacks a part: {type(error).__name__}\n")
        metrics.REVIEWS.labels(name, str(verdict.code)).inc()
        return web.Response(body=encode(ask, verdict), content_type="application/json")

    return answer


async def _in_time(decide: _Decide, ask: Ask) -> Verdict:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await decide(ask)
    except TimeoutError:
        return _LATE
