"""What a client asked before it had its answer: requests that wait for their turn, and bytes that came behind them.

Kept by ``http1``, one per connection. Bounded; never serves and never reads anything.
"""

from collections import deque

from modelroute.router.http.framing import MOST_UNREAD
from modelroute.router.http.request import Request
from modelroute.router.http.room import Room

_MOST_TURNS = 8


class Turns:
    """The turns of one connection."""

    __slots__ = ("_requests", "_room", "unread")

    def __init__(self, room: Room) -> None:
        self._requests: deque[Request] = deque()
        self._room = room
        self.unread = b""

    def __len__(self) -> int:
        """How many requests wait."""
        return len(self._requests)

    @property
    def full(self) -> bool:
        """Whether so many requests wait that what comes behind them is not read yet."""
        return len(self._requests) >= _MOST_TURNS

    def add(self, request: Request) -> None:
        """One more waits."""
        self._requests.append(request)

    def next(self) -> Request:
        """The one whose turn it is."""
        return self._requests.popleft()

    def put_off(self, data: bytes) -> bool:
        """Keep bytes until there are fewer turns; False when they are too many: then the last turn closes."""
        self.unread += data
        if len(self.unread) <= MOST_UNREAD:
            return True
        self._requests[-1].keep_alive = False
        self.unread = b""
        return False

    def drop(self, request: Request) -> None:
        """Nobody will answer ``request``: give back what it has."""
        self._room.release(request)
        request.drop()

    def drop_all(self) -> None:
        """Nobody will answer any of them."""
        self.unread = b""
        while self._requests:
            self.drop(self._requests.popleft())
