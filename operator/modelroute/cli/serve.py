"""`modelroute serve -f FILE`: a router without a cluster, by a ModelRoute manifest whose backends are external."""

import argparse
from pathlib import Path

from modelroute.cli import listening
from modelroute.cli.manifest import snapshot_from_manifest
from modelroute.errors import ModelRouteError
from modelroute.router.source import FileSource


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    parser.add_argument("-f", "--file", type=Path, required=True, help="a ModelRoute manifest; an edit takes effect")
    parser.add_argument(
        "--secrets",
        type=Path,
        default=Path("secrets"),
        metavar="DIR",
        help="holds BACKEND/key, and for clients' keys auth/keys.yaml and auth/pepper (default ./secrets)",
    )
    listening.add_tls_argument(parser)
    listening.add_arguments(parser, "127.0.0.1")


def run(args: argparse.Namespace) -> None:
    """Route until told to end. A manifest that is wrong at the start is an error; later the last good one stays."""
    try:
        snapshot_from_manifest(args.file.read_bytes())
    except OSError as error:
        raise ModelRouteError(f"{args.file} cannot be read: {(error.strerror or '').lower()}") from None
    source = FileSource(args.file, snapshot_from_manifest, written_by_hand=True)
    listening.listen(source, args, args.secrets, tls_dir=args.tls)
