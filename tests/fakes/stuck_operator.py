"""The operator, whose event loop stands still for a long time in a plan: once, when a file is there, which it takes.

``stuck_operator FILE operator ...``; everything else is as users run it.
"""

import contextlib
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

from modelroute.cli.main import main
from modelroute.controller import reconciler
from modelroute.planning.plan import Plan, plan

SECONDS = 120.0


def make_stick(when: Path) -> None:
    """Of several operators the first that finds the file stands still, and no other does."""

    def sticking(*args: Any) -> Plan:
        with contextlib.suppress(FileNotFoundError):
            when.unlink()
            time.sleep(SECONDS)
        return plan(*args)

    mock.patch.object(reconciler, "plan", sticking).start()


if __name__ == "__main__":
    make_stick(Path(sys.argv.pop(1)))
    main()
