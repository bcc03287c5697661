"""What all connections of one port take together: how many there are, and how much of bodies they hold in memory.

One per service, shared by its connections and their readers. Counts; never closes or refuses anything itself.
"""

from modelroute.router.http.framing import SMALL_BODY, Limits
from modelroute.router.http.request import Request

_SWEEP_SECONDS = 1.0
_MOST_TURNED_AWAY = 256


class Room:
    """The room on one port."""

    __slots__ = ("_connections", "_held", "_limits", "_swept", "_turned_away")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._connections = self._turned_away = 0
        self._held = 0
        self._swept = float("-inf")

    @property
    def connections(self) -> int:
        """How many connections there are, without those that are being turned away."""
        return self._connections

    @property
    def held(self) -> int:
        """Bytes of requests' bodies in memory."""
        return self._held

    def enter(self) -> bool:
        """Count a connection, if there is room for it."""
        if self._connections >= self._limits.connections:
            return False
        self._connections += 1
        return True

    def leave(self) -> None:
        """Count it no more."""
        self._connections -= 1

    def turn_away(self) -> bool:
        """Count a connection that there is no room for; whether there is time to tell it so."""
        self._turned_away += 1
        return self._turned_away <= _MOST_TURNED_AWAY

    def turned_away(self) -> None:
        """It is gone."""
        self._turned_away -= 1

    def may_sweep(self, now: float) -> bool:
        """Whether it is time to look for idle connections that could make room: looking at each costs."""
        if now < self._swept + _SWEEP_SECONDS:
            return False
        self._swept = now
        return True

    def fits(self, size: int) -> bool:
        """Whether a large body of ``size`` bytes may be held; a quarter of the room is left to small ones."""
        return self._held + size <= self._limits.held * 3 // 4

    def hold(self, request: Request, size: int) -> bool:
        """Count ``size`` bytes more of a request's body; whether there is room for them."""
        self._held += size
        request.held += size
        return self._held <= (self._limits.held if request.held <= SMALL_BODY else self._limits.held * 3 // 4)

    def release(self, request: Request) -> None:
        """Let a request's body go; safe twice."""
        self._held -= request.held
        request.held = 0
        request.pieces.clear()
