"""`./dev serve`: the router alone. Without ``-f`` it brings two local stand-ins for the backends of its example along.

With ``-f FILE`` it is `modelroute serve -f FILE`, in the foreground, and nothing else.
"""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SERVE = [sys.executable, "-m", "modelroute.cli.main", "serve"]
STAND_INS = {"small": 9001, "big": 9002}
TRY = """two stand-ins for backends, small and big, and the router. From another terminal (8000: the router's port):
  curl -i http://127.0.0.1:8000/v1/chat/completions -H 'content-type: application/json' \\
    -d '{"model": "chat", "messages": [{"role": "user", "content": "What is a router?"}]}'
Ctrl-C ends all three."""


def main() -> None:
    """Run until interrupted; the stand-ins end with the router."""
    if any(a in ("-f", "--file", "-h", "--help") or a.startswith("--file=") for a in sys.argv[1:]):
        os.execv(SERVE[0], [*SERVE, *sys.argv[1:]])
    for port in STAND_INS.values():
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                sys.exit(f"port {port}, which a stand-in needs, is taken; end what listens there, or use -f FILE")
    environment = os.environ | {"PYTHONPATH": str(ROOT / "images/vllm-standin")}
    stand_ins = [
        subprocess.Popen(
            [sys.executable, "-m", "vllm_standin", "serve", name, "--host=127.0.0.1", f"--port={port}"], env=environment
        )
        for name, port in STAND_INS.items()
    ]
    print(TRY, file=sys.stderr)
    router = subprocess.Popen([*SERVE, "-f", str(ROOT / "examples/standalone.yaml"), *sys.argv[1:]])
    # Ctrl-C reaches the whole group; the router ends by itself, and then so do the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: router.terminate())
    code = router.wait()
    for process in stand_ins:
        process.terminate()
        process.wait()
    sys.exit(code)


if __name__ == "__main__":
    main()
