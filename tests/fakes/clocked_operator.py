"""The operator by a clock that a test moves: ``--clock FILE`` holds by how many seconds it is ahead of the machine's.

Everything else is as users run it. That the clock was moved the operator notices by itself, as it would a machine's.
"""

import argparse
import asyncio
import dataclasses
import time
from pathlib import Path

from modelroute.cli import operator
from modelroute.controller.app import run


def main() -> None:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers()
    command = commands.add_parser("operator")
    operator.add_arguments(command)
    command.add_argument("--clock", type=Path, required=True)
    args = parser.parse_args()
    options = dataclasses.replace(operator.options(args), clock=lambda: time.time() + float(args.clock.read_text()))
    asyncio.run(run(options))


if __name__ == "__main__":
    main()
