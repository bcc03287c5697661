"""Points in time: Unix seconds within the operator, RFC 3339 in the Kubernetes API. Never reads a clock."""

import datetime as dt

WRONG_SECONDS = 86400.0
"""What was recorded so far ahead was recorded by a clock that was wrong, and must not hide what is to come."""


def rfc3339(moment: float) -> str:
    """``moment`` in whole seconds, as the API server writes it."""
    return dt.datetime.fromtimestamp(moment, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def unix(text: str | None) -> float | None:
    """The moment that the API server wrote; None where it wrote none, or something else."""
    try:
        return dt.datetime.fromisoformat(text).timestamp() if text else None
    except ValueError:
        return None


def believed(text: str | None, now: float) -> float | None:
    """The moment that was recorded in ``text``; None where there is none, or it is far ahead of ``now``."""
    recorded = unix(text)
    return recorded if recorded is not None and recorded <= now + WRONG_SECONDS else None


def first(*moments: float | None) -> float | None:
    """The earliest of those that come at all."""
    return min((moment for moment in moments if moment is not None), default=None)
