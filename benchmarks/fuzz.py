"""Spoiled requests and spoiled answers, by the million, through the router's glue around its HTTP parser.

    ./dev bench fuzz [--inputs N] [--seed N] [--json]

Each input is made from a number, which is told when it fails. Half of them are requests to a connection of a client,
half answers to a connection to a backend, in pieces that are cut anywhere, without sockets and by a clock that is set
forward. What must hold: no exception; no request with two answers and no answer of 500; the same answers wherever the
bytes are cut; nothing read behind an answer that closes; each connection closed at its deadlines at the latest, with no
memory of bodies kept; of each answer of a backend a head, data and one end, in this order.
"""

import argparse
import json
import random
import re
import sys
import time
from itertools import pairwise
from typing import Any, cast

from benchmarks.inmemory import Loop, Transport
from modelroute.router.http.framing import Limits
from modelroute.router.http.http1 import ClientConnection
from modelroute.router.http.replies import JSON
from modelroute.router.http.request import Request
from modelroute.router.http.upstream import Headers, Upstream
from modelroute.router.replicas.live import Live
from modelroute.router.service import Service
from modelroute.router.surface.openai import PUBLIC_PATHS

LIMITS = Limits(body=3000, head=2000, fields=20, connections=3, held=20_000)
LONG = 1000.0
BODY = b'{"model":"chat","messages":[{}]}'
POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: r\r\n"
LENGTH = b"Content-Length: %d\r\n\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
REQUESTS = [
    POST + LENGTH + BODY,
    POST + b"Content-Type: application/json\r\nAuthorization: Bearer sk-1\r\nX: y\r\n" + LENGTH + BODY,
    POST + CHUNKED + b"10\r\n" + BODY[:16] + b"\r\n10;a=b\r\n" + BODY[16:] + b"\r\n0\r\nX: y\r\n\r\n",
    POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n" + LENGTH + BODY,
    POST + b"Expect: 100-continue\r\n" + LENGTH + BODY,
    POST + b"Connection: close\r\n" + LENGTH + BODY,
    b"GET /healthz HTTP/1.1\r\nHost: r\r\n\r\n",
    b"HEAD /v1/models HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
    b"GET /v1/models/a%2Fb?c HTTP/1.0\r\n\r\n",
    b"DELETE /v1/models HTTP/1.1\r\nHost: r\r\nContent-Length: 3\r\n\r\nabc",
    b"GET /nowhere HTTP/1.1\r\nHost: r\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"CONNECT r:443 HTTP/1.1\r\nHost: r\r\n\r\n",
]
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
ANSWERS = [
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n" + b'{"choices":[]}',
    EVENTS + b"9\r\ndata: {}\n\r\ne\r\ndata: [DONE]\n\n\r\n0\r\n\r\n",
    EVENTS + b"5;a=b\r\ndata:\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 500 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\nabc",
    b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc",
]
TOKENS = [
    *(b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b";", b",", b"0", b"-1", b"+", b"\xff", b"\r\n\r\n"),
    *(b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: identity\r\n", b"Host: s\r\n"),
    *(b"Connection: close\r\n", b"Connection: Upgrade\r\nUpgrade: h2c\r\n", b"Expect: x\r\n", b"0\r\n\r\n"),
    *(b"ffffffffffffffff", b"99999999999999999999", b"0x", b"HTTP/1.1 ", b"HTTP/0.9", b"HTTP/2.0", b"chunked"),
    *(b"Content-Encoding: gzip\r\n", b" folded\r\n", b"x" * 2100, b"y" * 3100, b"X: y\r\n" * 25, b"\r\n" * 1100),
]  # fmt: skip
STATUSES = {200, 400, 404, 405, 408, 413, 415, 417, 431, 503, 505}
Served = tuple[str, bytes, int]
_HEAD = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n((?:[a-z0-9-]+: [^\r\n]*\r\n)*)\r\n")


class BrokenError(Exception):
    """A promise that does not hold."""


def spoiled(chance: random.Random, seeds: list[bytes]) -> bytes:
    """A few of ``seeds``, one behind the other, with up to five things wrong."""
    data = bytearray(b"".join(chance.choice(seeds) for _ in range(chance.randint(1, 3))))
    for _ in range(chance.randint(0, 5)):
        at, what = chance.randint(0, len(data)), chance.randint(0, 7)
        if what == 0:
            del data[at : at + chance.randint(1, 8)]
        elif what == 1:
            data[at : at + 1] = bytes((chance.randint(0, 255),))
        elif what == 2:
            del data[at + chance.randint(0, 100) :]
        elif what == 3:
            lines = bytes(data).split(b"\r\n")
            lines.insert(chance.randint(0, len(lines)), chance.choice(lines))
            data = bytearray(b"\r\n".join(lines))
        elif what == 4:
            data[at:at] = data[chance.randint(0, at) : at]
        else:
            data[at:at] = chance.choice(TOKENS)
    return bytes(data)


def pieces(chance: random.Random, data: bytes) -> list[bytes]:
    """``data``, cut anywhere."""
    edges = sorted({0, len(data), *(chance.randint(0, len(data)) for _ in range(chance.choice((1, 3, 20))))})
    return [data[start:end] for start, end in pairwise(edges)]


class Router(Service):
    """Answers at once or a turn later, and remembers of what there were requests."""

    paths = PUBLIC_PATHS

    def __init__(self, loop: Loop) -> None:
        super().__init__(cast("Live", None), LIMITS)
        self._loop = loop
        self.late = False
        self.taken: list[Served] = []

    def serve(self, client: ClientConnection, request: Request) -> None:
        """Remember it, too."""
        self.taken.append((request.method, bytes(request.target), -1 if request.refusal else len(request.body)))
        if self.late:
            self._loop.call_soon(self._serve, client, request)
        else:
            self._serve(client, request)

    def _serve(self, client: ClientConnection, request: Request) -> None:
        if request.refusal is not None:
            self.refuse(client, request, request.refusal)
        else:
            self.reply(client, request, JSON, b"{}")


def statuses(written: bytes, methods: list[str]) -> list[int]:
    """The statuses of the answers that were written; BrokenError when they are not clean or one is not the last."""
    found: list[int] = []
    at, closed = 0, False
    while at < len(written):
        head = _HEAD.match(written, at)
        if head is None or closed:
            raise BrokenError(f"{written[at : at + 60]!r} was written behind {found}")
        at = head.end()
        status = int(head[1])
        if status == 100:
            continue
        fields = dict(line.split(b": ", 1) for line in head[2].splitlines())
        at += 0 if methods[len(found)] == "HEAD" else int(fields[b"content-length"])
        closed = fields.get(b"connection") == b"close"
        found.append(status)
    if at != len(written):
        raise BrokenError("an answer is not whole")
    return found


def asked(parts: list[bytes], *, late: bool = False, gone: bool = False) -> tuple[list[Served], list[int]]:
    """The requests that were served of the bytes of a client, and the statuses of all answers."""
    loop = Loop()
    router = Router(loop)
    router.late = late
    client = ClientConnection(router, cast("Any", loop))
    transport = Transport(loop, client)
    client.connection_made(cast("Any", transport))
    for part in parts:
        if transport.closing:
            break
        client.data_received(part)
        loop.run()
    if gone:
        transport.close()
    loop.run(LONG)
    if not transport.closing or router.clients or router.room.connections or router.room.held:
        raise BrokenError(f"something is left: {router.room.connections} connections, {router.room.held} bytes")
    found = statuses(bytes(transport.written), [method for method, _, _ in router.taken])
    if (len(found) != len(router.taken) and not gone) or not set(found) <= STATUSES:
        raise BrokenError(f"{len(router.taken)} requests were answered by {found}")
    # The parser tells of a field when the next begins: which of two faults is met first may depend on the cut.
    return [each for each in router.taken if each[2] >= 0], [400 if status == 431 else status for status in found]


def request(chance: random.Random) -> None:
    """One spoiled input of a client; BrokenError when a promise is broken."""
    data = spoiled(chance, REQUESTS)
    if chance.random() < 0.1:
        asked(pieces(chance, data), late=True, gone=True)
        return
    whole, cut = asked([data]), asked(pieces(chance, data), late=chance.random() < 0.5)
    # Where a client waits to be asked for its body, a refusal does not wait for it: there the cut matters.
    if whole != cut and b"xpect" not in data and len(data) < LIMITS.head - 100:
        raise BrokenError(f"{data!r} is {whole} at once and {cut} in pieces")


class Home:
    """Where a connection to a backend waits."""

    def __init__(self) -> None:
        self.idle: list[Upstream] = []

    def give_back(self, connection: Upstream, now: float) -> None:  # noqa: ARG002
        """Keep it."""
        self.idle.append(connection)


class Asker:
    """Holds a connection to the order in which it tells of an answer."""

    def __init__(self) -> None:
        self.status = 0
        self.ended = False

    def on_head(self, status: int, headers: Headers) -> None:  # noqa: ARG002
        """First, once."""
        if self.status or self.ended or not 200 <= status < 600:
            raise BrokenError(f"a head of {status} behind {self.status}")
        self.status = status

    def on_data(self, data: bytes, *, last: bool) -> None:  # noqa: ARG002
        """Behind the head."""
        if not self.status or self.ended or not data:
            raise BrokenError("data out of turn")

    def on_end(self) -> None:
        """Behind the head, once."""
        if not self.status or self.ended:
            raise BrokenError("an end out of turn")
        self.ended = True

    def on_lost(self, problem: str, *, malformed: bool) -> None:  # noqa: ARG002
        """Any time, once."""
        if self.ended or not problem:
            raise BrokenError("lost after the end")
        self.ended = True


def answer(chance: random.Random) -> None:
    """One spoiled answer of a backend, and another on its connection if that is kept; BrokenError as above."""
    loop, home = Loop(), Home()
    connection = Upstream(home, cast("Any", loop))
    transport = Transport(loop, connection)
    connection.connection_made(cast("Any", transport))
    for _ in range(2):
        asker = Asker()
        home.idle.clear()
        connection.ask(asker, b"GET / HTTP/1.1\r\n\r\n", b"")
        for part in pieces(chance, spoiled(chance, ANSWERS)):
            if not transport.closing:
                connection.data_received(part)
            loop.run()
        if not asker.ended and not transport.closing:
            connection.eof_received()
            transport.close()
        loop.run()
        if not asker.ended:
            raise BrokenError("the asker was never told of the end")
        if transport.closing:
            if home.idle:
                raise BrokenError("a closed connection is kept")
            return


def fuzz(inputs: range) -> None:
    """All inputs of these numbers; BrokenError names the one that fails."""
    for number in inputs:
        chance = random.Random(number)
        try:
            (answer if number % 2 else request)(chance)
        except Exception as error:
            raise BrokenError(f"input {number}: {error!r}") from error


def main() -> None:
    """``./dev bench fuzz``."""
    parser = argparse.ArgumentParser(prog="./dev bench fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000, metavar="N", help="how many (default 1,000,000)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the first one's number (default 0)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    args = parser.parse_args()
    began = time.monotonic()
    try:
        fuzz(range(args.seed, args.seed + args.inputs))
    except BrokenError as error:
        sys.exit(f"error: {error}")
    seconds = time.monotonic() - began
    print(f"{args.inputs:,} inputs in {seconds:.0f} s: no crash, no answer of 500, no hang")
    if args.json:
        print(json.dumps({"inputs": args.inputs, "seconds": round(seconds, 1), "failures": 0}))


if __name__ == "__main__":
    main()
