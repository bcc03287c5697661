"""Stand-ins for vLLM as processes of their own, for tests of what only processes do."""

import http.client
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).parents[2] / "images" / "vllm-standin" / "standin.py"


class Standin:
    """One running process and the address it listens on."""

    def __init__(self, process: subprocess.Popen[str], port: int, host: str = "127.0.0.1") -> None:
        self.process = process
        self.host = host
        self.port = port
        self.readers: list[Reader] = []

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def connect(self) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout=20)

    def send(self, request: bytes) -> "Reader":
        """Send these bytes on a connection of their own; the block's end closes it."""
        self.readers.append(Reader(self.connect(), request))
        return self.readers[-1]

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, str]:
        """One request on a connection of its own: status and body."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=20)
        try:
            connection.request(method, path, json.dumps(body) if body else None, {"content-type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def stream(self, **fields: Any) -> "Reader":
        """Begin a streamed chat of many tokens."""
        body = {"messages": [{"role": "user", "content": "Hi"}], "stream": True, "ignore_eos": True, **fields}
        return self.send(chat_request(body))


class Reader:
    """A client's socket, read until what is looked for has come."""

    def __init__(self, sock: socket.socket, request: bytes) -> None:
        self.socket = sock
        self.received = b""
        sock.sendall(request)

    def until(self, mark: bytes) -> bytes:
        while mark not in self.received:
            data = self.socket.recv(65536)
            assert data, f"the connection ended before {mark!r}: {self.received[-500:]!r}"
            self.received += data
        return self.received

    def silent(self, seconds: float = 0.3) -> bool:
        """Whether neither a byte nor an end comes for so long."""
        self.socket.settimeout(seconds)
        try:
            self.received += self.socket.recv(65536)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(20)
        return False


def chat_request(body: object) -> bytes:
    data = json.dumps(body).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: {len(data)}\r\n"
    return f"{head}content-type: application/json\r\n\r\n".encode() + data


@contextmanager
def standin(
    *flags: str, host: str = "127.0.0.1", port: int = 0, wait: bool = True, **environ: str
) -> Iterator[Standin]:
    """Run one until the block ends; ``wait`` until it listens, which gives the port when ``port`` is 0."""
    command = [sys.executable, str(PROGRAM), "serve", "tiny-llama", "--host", host, "--port", str(port), *flags]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("STANDIN_", "VLLM_"))}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=clean | environ) as process:
        server = Standin(process, port, host)
        try:
            assert process.stdout is not None
            if wait:
                line = next((line for line in process.stdout if "listens on" in line), "")
                match = re.search(r":(\d+)$", line.strip())
                assert match, "the stand-in did not start"
                server.port = int(match[1])
            yield server
        finally:
            process.kill()
            for reader in server.readers:
                reader.socket.close()
