"""`modelroute router`: what router pods run, by the snapshot that the operator writes into a mounted ConfigMap.

Called by ``main``. Never speaks with Kubernetes' API: all that it knows is in files.
"""

import argparse
from pathlib import Path

from modelroute.cli import listening
from modelroute.router.source import FileSource
from modelroute.snapshot.codec import decode

_DELAY_SECONDS = 2.0
"""Clients with open connections are served so long after SIGTERM, and told by each answer to connect anew elsewhere."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    parser.add_argument(
        "--snapshot", type=Path, required=True, metavar="FILE", help="the snapshot, watched for changes"
    )
    parser.add_argument("--secrets", type=Path, required=True, metavar="DIR", help="holds BACKEND/key")
    listening.add_tls_argument(parser)
    listening.add_arguments(parser, "0.0.0.0")  # noqa: S104 - a pod's own address is not known here


def run(args: argparse.Namespace) -> None:
    """Route until told to end; unready while there is no snapshot yet."""
    listening.listen(FileSource(args.snapshot, decode), args, args.secrets, delay=_DELAY_SECONDS, tls_dir=args.tls)
