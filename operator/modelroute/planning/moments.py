"""Points in time: Unix seconds within the operator, RFC 3339 in the Kubernetes API. Never reads a clock."""

import datetime as dt


def rfc3339(moment: float) -> str:
    """``moment`` in whole seconds, as the API server writes it."""
    return dt.datetime.fromtimestamp(moment, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def unix(text: str | None) -> float | None:
    """The moment that the API server wrote; None where it wrote none, or something else."""
    try:
        return dt.datetime.fromisoformat(text).timestamp() if text else None
    except ValueError:
        return None
