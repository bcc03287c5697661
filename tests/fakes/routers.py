"""Routers as the operator sees them, where no pod runs: each a loopback address of its own with an admin port."""

import json
import os
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

ADMIN_PORT = 8001


class FakeRouter:
    """Answers /status with what ``says`` returns, /healthz with ok, all else with 404. ``asked`` counts requests."""

    def __init__(self, address: str, says: Callable[[], Mapping[str, Any]]) -> None:
        self.address = address
        self.says = says
        self.asked = 0
        router = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                router.asked += 1
                said = (
                    json.dumps(router.says()) if self.path == "/status" else "ok\n" if self.path == "/healthz" else ""
                )
                body = said.encode()
                self.send_response(200 if body else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer((address, ADMIN_PORT), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Addresses:
    """Loopback addresses that no other test run of this machine takes, most likely: by the process' number."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def next(self) -> str:
        number, process = next(self._numbers), os.getpid()
        return f"127.{1 + process % 250}.{process // 250 % 250}.{number % 250 + 1}"
