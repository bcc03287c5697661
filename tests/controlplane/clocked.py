"""An operator whose clock a test moves; nothing else about it, or about the API server, knows of that time."""

import datetime as dt
import time
from pathlib import Path

from tests.controlplane.plane import Operator


class ClockedOperator(Operator):
    """Notices by itself, within a second, that its clock was moved."""

    def __init__(self, kubeconfig: Path) -> None:
        self._clock = kubeconfig.with_suffix(".clock")
        self.set_by(0)
        super().__init__(kubeconfig, f"--clock={self._clock}", program=("tests.fakes.clocked_operator",))

    def set_to(self, moment: str) -> None:
        """From now on its clock goes on from there (RFC 3339)."""
        self.set_by(dt.datetime.fromisoformat(moment).timestamp() - time.time())

    def set_by(self, seconds: float) -> None:
        """Its clock is so far ahead of the machine's."""
        self.offset = seconds
        written = self._clock.with_suffix(".new")
        written.write_text(str(seconds))
        written.replace(self._clock)  # whole, since it may be read at any time
