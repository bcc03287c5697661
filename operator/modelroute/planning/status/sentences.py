"""Several sentences as one, for conditions and messages of the status.

Called by ``conditions`` and ``warmup``. Never says more than a person reads.
"""

from collections.abc import Sequence

SHOWN = 3


def several(sentences: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    more = len(sentences) - SHOWN
    return "; ".join(sentences[:SHOWN]) + (f"; and {more} more" if more > 0 else "")
