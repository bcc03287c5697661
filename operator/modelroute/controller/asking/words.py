"""Strangers' sentences, fit for a status, an Event or a log.

Used by whoever reads what pods answer. Never passes on more than a sentence's worth.
"""

MOST_WORDS = 200
"""Characters of it that are passed on."""


def plain(text: str) -> str:
    """``text`` in one line of printable characters, cut where it goes on too long."""
    said = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * MOST_WORDS]).split())
    return said if len(said) <= MOST_WORDS else said[: MOST_WORDS - 1] + "…"
