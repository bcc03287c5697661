"""`modelroute key`: makes an API key for a client, and the entry by which a router knows it.

The entry goes to standard output, so that it can be appended to the file of keys; the key goes to the terminal beside
it, this once. Never keeps a key, and never reads or changes the file of keys.
"""

import argparse
import os
import secrets
import sys
from pathlib import Path

import yaml

from modelroute.errors import ModelRouteError
from modelroute.router.clients.clientfile import HASH_PREFIX, PEPPER_LEAST, Hasher, read_entry

_PREFIX = "mr-"  # so that scanners for leaked secrets can know one when they see it
_BYTES = 32
_LIMITS = {
    "requestsPerMinute": ("--requests-per-minute", "requests a minute, of each router pod"),
    "tokensPerMinute": ("--tokens-per-minute", "tokens a minute, of each router pod"),
    "maxInFlight": ("--max-in-flight", "requests at once, of each router pod"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's flags."""
    parser.add_argument("--name", required=True, help="whose key it is; names it in the file and in messages")
    parser.add_argument("--user", help="the user that its requests are of (default: the name)")
    parser.add_argument("--tier", help="the tier that its requests are of")
    parser.add_argument("--model", action="append", help="a model that it may use; may be repeated (default: all)")
    for field, (flag, purpose) in _LIMITS.items():
        parser.add_argument(flag, dest=field, type=int, metavar="N", help=f"{purpose} (default: no limit)")
    parser.add_argument(
        "--pepper",
        type=Path,
        default=Path("secrets/auth/pepper"),
        metavar="FILE",
        help="what keys are hashed with, made if it is not there (default secrets/auth/pepper)",
    )


def run(args: argparse.Namespace) -> None:
    """Make one; ModelRouteError when a flag or the pepper is of no use."""
    hasher = Hasher(_pepper(args.pepper))
    key = _PREFIX + secrets.token_urlsafe(_BYTES)
    entry: dict[str, object] = {"name": args.name, "hash": HASH_PREFIX + hasher.digest(key.encode()).hex()}
    limits = {field: value for field in _LIMITS if (value := getattr(args, field)) is not None}
    told = {"user": args.user, "tier": args.tier, "models": args.model, "limits": limits or None}
    entry |= {field: value for field, value in told.items() if value is not None}
    read_entry(entry, 1, hasher, peppered=True)  # as a router will
    sys.stdout.write(yaml.safe_dump([entry], sort_keys=False))
    sys.stdout.flush()
    sys.stderr.write(f"the key, shown this once: {key}\n")


def _pepper(path: Path) -> bytes:
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                file.write(secrets.token_hex(_BYTES) + "\n")
        pepper = path.read_bytes().strip()
    except OSError as error:
        raise ModelRouteError(f"{path} cannot be used: {(error.strerror or '').lower()}") from None
    if len(pepper) < PEPPER_LEAST:
        raise ModelRouteError(f"{path} holds less than {PEPPER_LEAST} bytes; take it away and a new one is made")
    return pepper
