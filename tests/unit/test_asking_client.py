"""How pods are asked: against a server that wants more than an answer read."""

import asyncio

from modelroute.controller.asking.client import Pods


def test_no_cookie_of_a_pod_is_kept() -> None:
    """It would be sent to whoever has the pod's address next, and kept for ever."""
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        pods, port = Pods(), server.sockets[0].getsockname()[1]
        for _ in range(2):
            await pods.get(f"http://127.0.0.1:{port}/", 5)
        await pods.close()
        server.close()

    asyncio.run(main())
    assert len(asked) == 2
    assert not any(b"cookie" in head.lower() for head in asked)
