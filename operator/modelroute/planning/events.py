"""Events tell a route's story: what changed between two statuses, and nothing while nothing changes.

Called by ``plan``; the controller publishes them.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Event:
    """One event about a ModelRoute, as ``kubectl describe`` shows it."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
