"""Figures with their limits: what a benchmark found, whether that is enough, as a table and as JSON.

Called by ``router``, ``scale``, ``soak``, and ``faults`` with its parts. Never measures.
"""

from collections.abc import Sequence
from typing import NamedTuple


class Row(NamedTuple):
    """One figure. ``limit`` None: only told. ``least``: the limit is what it must reach, not what it may not pass."""

    name: str
    value: float
    unit: str = ""
    limit: float | None = None
    least: bool = False
    note: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the limit is kept; None without one."""
        if self.limit is None:
            return None
        return self.value >= self.limit if self.least else self.value <= self.limit

    @property
    def word(self) -> str:
        """The verdict in words."""
        return {True: "PASS", False: "FALLS SHORT", None: ""}[self.holds]


def table(rows: Sequence[Row]) -> str:
    """One line a row: name, value, limit, verdict, note."""
    lines = []
    for row in rows:
        limit = "" if row.limit is None else f"{'>=' if row.least else '<='} {row.limit:g}"
        value = f"{row.value:,.0f}" if abs(row.value) >= 1000 or row.value == int(row.value) else f"{row.value:.3g}"
        lines.append(f"{row.name:<58}{value:>9} {row.unit:<7}{limit:<10}{row.word:<13}{row.note}".rstrip())
    return "\n".join(lines)


def as_json(rows: Sequence[Row]) -> list[dict[str, object]]:
    """The same as objects; ``holds`` is null where there is no limit."""
    return [
        {
            "name": row.name,
            "value": round(row.value, 4),
            "unit": row.unit,
            "limit": row.limit,
            "at_least": row.least,
            "holds": row.holds,
            "note": row.note,
        }
        for row in rows
    ]
