"""The one way to pods: short requests over plain HTTP to addresses that the cluster gave.

Used by whoever asks a pod. Never follows a redirect, never goes by a proxy of the environment, keeps no connection
and no cookie, and reads no more of an answer than is looked at.
"""

import asyncio
import ssl
import time
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import NamedTuple

import httpx
import msgspec

from modelroute.errors import ModelRouteError

CONNECT_SECONDS = 1.0
MOST_BYTES = 1024 * 1024


class Answer(NamedTuple):
    """What a pod said. ``body`` may be cut; ``seconds`` is from the first byte sent to the last one read."""

    status: int
    body: bytes
    seconds: float


class UnansweredError(ModelRouteError):
    """A pod that gave no answer; the message says how, without its address."""


class Pods:
    """Asks pods. Nothing is opened before the first request."""

    def __init__(self) -> None:
        """To be used within one event loop."""
        self._client = httpx.AsyncClient(
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),  # not used; httpx' own takes 30 ms to make
            trust_env=False,
            follow_redirects=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # none is kept
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    async def close(self) -> None:
        """Let go of what is open."""
        await self._client.aclose()

    async def get(self, url: str, timeout: float) -> Answer:  # noqa: ASYNC109 - of one request, as httpx has it
        """Ask with GET; UnansweredError where no answer came within ``timeout`` seconds."""
        return await self._ask("GET", url, None, timeout)

    async def post(self, url: str, body: object, timeout: float) -> Answer:  # noqa: ASYNC109
        """Send ``body`` as JSON (None: nothing); UnansweredError where no answer came within ``timeout`` seconds."""
        return await self._ask("POST", url, None if body is None else msgspec.json.encode(body), timeout)

    async def _ask(self, method: str, url: str, content: bytes | None, timeout: float) -> Answer:  # noqa: ASYNC109
        began = time.monotonic()
        headers = {"Accept-Encoding": "identity"} | ({} if content is None else {"Content-Type": "application/json"})
        limits = httpx.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS))
        request = self._client.build_request(method, url, content=content, headers=headers, timeout=limits)
        try:
            async with asyncio.timeout(timeout):  # httpx' own are of each read
                response = await self._client.send(request, stream=True)
                try:
                    body = await _read(response)
                finally:
                    await response.aclose()
        except httpx.ConnectTimeout:
            raise UnansweredError(f"no connection within {limits.connect:g} s") from None
        except (httpx.TimeoutException, TimeoutError):
            raise UnansweredError(f"no answer within {timeout:g} s") from None
        except httpx.ConnectError:
            raise UnansweredError("the connection is refused") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UnansweredError(f"the connection broke ({type(error).__name__})") from None
        return Answer(response.status_code, body, time.monotonic() - began)


async def _read(response: httpx.Response) -> bytes:
    body = b""
    pieces = response.aiter_raw()  # unpacked, a small one might be huge
    async for piece in pieces:
        body += piece
        if len(body) >= MOST_BYTES:
            break
    return body[:MOST_BYTES]
