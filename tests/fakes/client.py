"""A client on a raw socket, so that a test sees each byte and chunk that a router sends."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass
class Reply:
    """An answer as it came. ``whole`` is False when the connection ended before the body did."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    chunks: list[bytes] = field(default_factory=list)
    whole: bool = True

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = self.json["error"]
        return error

    @property
    def backend(self) -> str:
        return self.headers["x-modelroute-backend"]

    @property
    def reason(self) -> str:
        return self.headers["x-modelroute-reason"]


def http(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """A request's bytes; an underscore in a name stands for a hyphen."""
    fields = {"host": "router", **{name.replace("_", "-"): value for name, value in headers.items()}}
    if body or method == "POST":
        fields.setdefault("content-length", str(len(body)))
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def chat(model: str = "chat", content: str = "hi", **more: Any) -> bytes:
    """The body of a chat request."""
    return json.dumps({"model": model, "messages": [{"role": "user", "content": content}], **more}).encode()


class Client:
    """One connection to the router."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, port: int, *, limit: int = 2**22) -> Self:
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=limit))

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> Reply:
        """The head of the next answer."""
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip("\r\n").split("\r\n")
        pairs = (line.partition(": ") for line in lines[1:])
        return Reply(int(lines[0].split(" ")[1]), {name: value for name, _, value in pairs})

    async def chunk(self) -> bytes:
        """The next chunk; empty at the body's end."""
        size = int(await self.reader.readuntil(b"\r\n"), 16)
        data = await self.reader.readexactly(size + 2)
        return data[:-2]

    async def reply(self, method: str = "POST") -> Reply:
        """The next answer, whole or as far as it came."""
        reply = await self.head()
        try:
            if reply.headers.get("transfer-encoding") == "chunked":
                while data := await self.chunk():
                    reply.chunks.append(data)
            elif "content-length" in reply.headers and method != "HEAD":
                reply.chunks = [await self.reader.readexactly(int(reply.headers["content-length"]))]
            elif method != "HEAD":
                reply.chunks = [await self.reader.read()]
        except (asyncio.IncompleteReadError, ConnectionError):
            reply.whole = False
        reply.body = b"".join(reply.chunks)
        return reply

    async def ended(self) -> bool:
        """Whether the router has closed the connection, and sent nothing before."""
        try:
            return await self.reader.read(1) == b""
        except ConnectionError:
            return True

    def close(self) -> None:
        self.writer.close()
