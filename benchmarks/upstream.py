"""The far end of the router benchmark: a model server that speaks as vLLM does and costs next to nothing.

A raw protocol with answers made beforehand, run by ``router`` on its own event loop. Never looks at what asks it.
"""

import asyncio
import re
from typing import cast

from benchmarks.routes import key

CHUNKS = 200
"""Pieces of a streamed answer, before its last event."""
CHUNK_EVERY = 0.02
"""Seconds between two pieces of one stream."""
ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4")
"""Where one model server listens, so that a proxy takes it for so many replicas."""
QUESTIONS = 64
"""Chats that begin differently, for proxies that look at the beginning."""

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_STREAM = re.compile(rb'"stream": *true')
_USAGE = re.compile(rb'"include_usage": *true')
_HEAD = b"HTTP/1.1 200 OK\r\ndate: Mon, 01 Jan 2024 00:00:00 GMT\r\nserver: uvicorn\r\n"
_USED = b'"usage":{"prompt_tokens":226,"total_tokens":426,"completion_tokens":200,"prompt_tokens_details":null}'
_STREAM_HEAD = _HEAD + b"content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
_ID = b'"id":"chatcmpl-6ac1c0a7e4f94b1f8a1c5d2f0f6f7d11"'


def _framed(event: bytes) -> bytes:
    body = b"data: " + event + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(body), body)


_CHUNK = _framed(
    b"{" + _ID + b',"object":"chat.completion.chunk","created":1704067200,"model":"upstream-model","choices":'
    b'[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}]}'
)
_USAGE_CHUNK = _framed(
    b"{"
    + _ID
    + b',"object":"chat.completion.chunk","created":1704067200,"model":"upstream-model","choices":[],'
    + _USED
    + b"}"
)
_END = _framed(b"[DONE]") + b"0\r\n\r\n"


def _whole_answer() -> bytes:
    body = (
        b"{" + _ID + b',"object":"chat.completion","created":1704067200,"model":"upstream-model","choices":[{"index":0,'
        b'"message":{"role":"assistant","content":"' + b"A plain sentence. " * 38 + b'","tool_calls":[]},'
        b'"logprobs":null,"finish_reason":"stop","stop_reason":null}],' + _USED + b"}"
    )
    return _HEAD + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


ANSWER = _whole_answer()


def body(*, stream: bool, question: int = 0) -> bytes:
    """A chat request's body, about 1 KB, the same length for each of ``QUESTIONS``."""
    return (
        b'{"messages":[{"role":"system","content":"You are a helpful assistant."},{"role":"user","content":"'
        + b"My question is number %02d. " % question
        + b"Tell me more about it, please. " * 27
        + b'"}],"model":"chat","max_tokens":256'
        + (b',"stream":true}' if stream else b"}")
    )


def chat_request(port: int, *, stream: bool, client: int = 0, question: int = 0) -> bytes:
    """The whole request, as an OpenAI client with the key of ``client`` (see ``routes``) sends it."""
    sent = body(stream=stream, question=question)
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: application/json\r\n"
        b"Content-Type: application/json\r\nUser-Agent: OpenAI/Python 2.0.0\r\nAuthorization: Bearer %s\r\n"
        b"x-user: user-%d\r\nContent-Length: %d\r\n\r\n%s" % (port, key(client).encode(), client, len(sent), sent)
    )


def chat_requests(port: int, clients: int = 1) -> list[bytes]:
    """Whole-answer requests to take turns: every question, and every one of ``clients``, equally often."""
    return [
        chat_request(port, stream=False, client=i % clients, question=i % QUESTIONS)
        for i in range(max(clients, QUESTIONS))
    ]


def message_end(data: bytes) -> int:
    """The length of the first HTTP message with a body of known length in ``data``; 0 while it is incomplete."""
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return 0
    length = _LENGTH.search(data, 0, head)
    end = head + 4 + (int(length[1]) if length else 0)
    return end if len(data) >= end else 0


class Seen:
    """What came to a model server so far."""

    def __init__(self) -> None:
        self.connections = 0
        self.requests = 0
        self.bytes = 0


class Upstream(asyncio.Protocol):
    """A model server: one whole answer at once, or ``CHUNKS`` pieces, one each ``CHUNK_EVERY`` seconds."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._loop = asyncio.get_running_loop()
        self._got = b""
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what answers are written to."""
        self._seen.connections += 1
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop does not derive from it

    def data_received(self, data: bytes) -> None:
        """Answer a request when all of it is there; the next one comes after its answer."""
        self._got = self._got + data if self._got else data
        end = message_end(self._got)
        if not end:
            return
        asked, self._got = self._got[:end], self._got[end:]
        self._seen.requests += 1
        self._seen.bytes += end
        if not _STREAM.search(asked):
            self._transport.write(ANSWER)
            return
        self._transport.write(_STREAM_HEAD)
        self._next(CHUNKS, self._loop.time(), _USAGE_CHUNK + _END if _USAGE.search(asked) else _END)

    def _next(self, left: int, due: float, end: bytes) -> None:
        if self._transport.is_closing():
            return
        if left:
            self._transport.write(_CHUNK)
            self._loop.call_at(due + CHUNK_EVERY, self._next, left - 1, due + CHUNK_EVERY, end)
        else:
            self._transport.write(end)
