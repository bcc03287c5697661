"""What `serve` and `router` have in common: their flags for ports and secrets, and running until told to end."""

import argparse
import errno
import logging
import os
from pathlib import Path

import uvloop

from modelroute.errors import ModelRouteError
from modelroute.router.app import Options
from modelroute.router.app import run as run_router
from modelroute.router.source import Source


def add_arguments(parser: argparse.ArgumentParser, host: str) -> None:
    """Declare the flags; ``host`` is the default address."""
    parser.add_argument("--host", default=host, metavar="ADDRESS", help=f"the address to listen on (default {host})")
    parser.add_argument("--port", type=_port, default=8000, metavar="N", help="clients' port (default 8000)")
    parser.add_argument("--admin-host", metavar="ADDRESS", help="the address of the admin port (default: the same)")
    parser.add_argument(
        "--admin-port", type=_port, metavar="M", help="/metrics and /status (default: the port after N)"
    )
    parser.add_argument(
        "--drain", type=float, default=30.0, metavar="SECONDS", help="what running answers have at the end (default 30)"
    )


def add_tls_argument(parser: argparse.ArgumentParser) -> None:
    """Declare ``--tls``, a directory or None."""
    parser.add_argument("--tls", type=Path, metavar="DIR", help="serve clients over TLS by DIR/tls.crt and DIR/tls.key")


def _port(text: str) -> int:
    number = int(text)
    if not 0 < number < 65536:  # the event loop would take it modulo 65536
        raise argparse.ArgumentTypeError(f"{text} is not a port; give one from 1 to 65535")
    return number


def listen(
    source: Source, args: argparse.Namespace, secrets: Path, delay: float = 0.0, tls_dir: Path | None = None
) -> None:
    """Route requests until SIGTERM; ModelRouteError when a port cannot be had or ``tls_dir`` holds no certificate."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    if args.port == 65535 and args.admin_port is None:
        raise ModelRouteError("there is no port after 65535 for metrics and health; choose one with --admin-port")
    options = Options(
        port=args.port,
        admin_port=args.port + 1 if args.admin_port is None else args.admin_port,
        host=args.host,
        admin_host=args.admin_host,
        secrets_dir=secrets,
        delay=delay,
        grace=args.drain,
        tls_dir=tls_dir,
    )
    try:
        uvloop.run(run_router(source, options))
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL):
            raise
        at = " or ".join(dict.fromkeys((options.host, options.admin_host or options.host)))
        ports = f"port {options.port} or {options.admin_port} on {at}"
        problem = os.strerror(error.errno).lower()
        raise ModelRouteError(f"{ports} cannot be had: {problem}; choose others with --port and --admin-port") from None
