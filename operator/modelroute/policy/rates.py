"""How fast somebody may go: a token bucket, for requests and for tokens of models alike.

Used by the router's ``clients``, one or two a key. Never reads a clock: ``now`` is seconds of a monotonic one.
"""

from math import ceil

_MINUTE = 60.0


class Bucket:
    """What is left of a limit per minute. It is full at first and fills evenly, so that in any ``t`` seconds no more is
    taken than ``per_minute * (1 + t / 60)``: the limit, and what had been saved up.

    What turns out to have cost more than was reserved is taken afterwards and may leave less than nothing; that has to
    fill up before anything else is let through. Source: the policing half of RFC 2697's meter.
    """

    __slots__ = ("_at", "_level", "_per_second", "per_minute")

    def __init__(self, per_minute: int, now: float) -> None:
        self.per_minute = per_minute
        self._per_second = per_minute / _MINUTE
        self._level = float(per_minute)
        self._at = now

    def resize(self, per_minute: int, now: float) -> None:
        """Another limit from now on; what was used up stays used up."""
        used = self.per_minute - self.left(now)
        self.per_minute = per_minute
        self._per_second = per_minute / _MINUTE
        self._level = per_minute - used

    def left(self, now: float) -> float:
        """What may be taken now; below zero when more was used than there was."""
        at = self._at
        if now <= at:  # a clock that steps back gives nothing, and takes nothing
            return self._level
        level, full = self._level + (now - at) * self._per_second, self.per_minute
        self._level = level = level if level < full else float(full)
        self._at = now
        return level

    def wait(self, amount: float, now: float) -> float:
        """Seconds until ``amount`` may be taken. One above the whole limit waits until the bucket is full."""
        left = self.left(now)
        if left >= amount:
            return 0.0
        missing = min(amount, self.per_minute) - left
        return missing / self._per_second if missing > 0 else 0.0

    def shown(self, now: float) -> tuple[int, int]:
        """What a client is told: what it may take now, never less than nothing, and seconds until all is there again.

        Both are whole numbers, on the side that keeps whoever relies on them within the limit.
        """
        left = self.left(now)
        return int(left) if left > 0 else 0, ceil((self.per_minute - left) / self._per_second)

    def take(self, amount: float, now: float) -> None:
        """Use ``amount`` up, there or not; a negative one is given back, to no more than the limit."""
        level, full = (self._level if now <= self._at else self.left(now)) - amount, self.per_minute
        self._level = level if level < full else float(full)
