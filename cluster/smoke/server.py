"""The pod of the smoke test: answers every GET with its own name, so that one sees who answered."""

import http.server
import os
import signal
import sys

import h11


class Handler(http.server.BaseHTTPRequestHandler):
    """One line of plain text for any path."""

    def do_GET(self) -> None:
        """Answer with the pod's name and the version of the package that pip installed."""
        body = f"{os.uname().nodename} h11 {h11.__version__}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


# Process 1 of a container has no default action for signals; without this each pod would take its whole grace period.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("listening", flush=True)
http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
