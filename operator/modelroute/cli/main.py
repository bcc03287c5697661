"""The entry point `modelroute`: picks the command's module and runs it.

Each command is a module of this room with ``add_arguments(parser)`` and ``run(args)``. Only the one asked for is
imported, since the router's image does not hold what the operator needs. Never does any work of its own.
"""

import argparse
import importlib
import sys

from modelroute import __version__
from modelroute.errors import ModelRouteError

COMMANDS = {
    "serve": "route requests by a ModelRoute manifest, without a cluster",
    "router": "route requests by a snapshot; what router pods run",
    "key": "make an API key for a client, and the entry by which a router knows it",
    "operator": "reconcile ModelRoutes; what the operator pod runs",
}


def main() -> None:
    """Run the command that ``sys.argv`` names; exit 2 on what the caller can mend, with one line that says how."""
    parser = argparse.ArgumentParser(prog="modelroute", description="One model name, many backends.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    for name, purpose in COMMANDS.items():
        command = commands.add_parser(name, help=purpose, description=purpose)
        if name == asked:
            module = importlib.import_module(f"modelroute.cli.{name}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    args = parser.parse_args()
    try:
        args.run(args)
    except ModelRouteError as error:
        print(f"modelroute {args.command}: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(2)


if __name__ == "__main__":
    main()
