"""A bounded waiting line in which users take turns, so that one who sends a hundred requests does not block another.

Kept by the router for each backend. Never waits and knows no time: who waited too long is taken out by ``remove``.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Line(Generic[T]):
    """Who waits, one queue for each user, served in turn (round robin: Nagle, RFC 970, with requests for packets).

    Every operation but ``displace`` takes constant time, whatever the length and the number of users; nothing is kept
    for a user with nobody waiting. Ordered dicts, because a plain one gets slow when it is emptied from its front.
    ``limit`` is of all users together and may change at any time; those beyond a lower one stay.
    """

    __slots__ = ("_queues", "_users", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._queues: OrderedDict[str, OrderedDict[T, None]] = OrderedDict()  # in the order of the turns
        self._users: dict[T, str] = {}

    def __len__(self) -> int:
        return len(self._users)

    def push(self, user: str, item: T) -> bool:
        """Put ``item`` behind the others of ``user``; False: the line is full. An item waits once at a time."""
        if len(self._users) >= self.limit:
            return False
        if item in self._users:
            raise ValueError("an item cannot wait twice")
        self._users[item] = user
        queue = self._queues.get(user)
        if queue is None:
            queue = self._queues[user] = OrderedDict()
        queue[item] = None
        return True

    def pop(self) -> T | None:
        """The first of the user whose turn it is; None: nobody waits."""
        if not self._queues:
            return None
        user, queue = next(iter(self._queues.items()))
        item, _ = queue.popitem(last=False)
        del self._users[item]
        if queue:
            self._queues.move_to_end(user)
        else:
            del self._queues[user]
        return item

    def displace(self, user: str) -> T | None:
        """Make room in a full line for ``user``: take out, and return, the last of whoever has most waiting.

        None, if that would leave them with fewer than ``user`` then has. "Longest queue drop" (McKenney, "Stochastic
        Fairness Queueing", 1990): else who asks most often fills every place that gets free. Looks at all users who
        wait, so it is for a full line only.
        """
        if not self._queues:
            return None
        most = max(self._queues, key=lambda name: len(self._queues[name]))
        if len(self._queues[most]) < len(self._queues.get(user, ())) + 2:
            return None
        item = next(reversed(self._queues[most]))
        self.remove(item)
        return item

    def remove(self, item: T) -> bool:
        """Take out one that gave up; False: it does not wait (any more)."""
        user = self._users.pop(item, None)
        if user is None:
            return False
        queue = self._queues[user]
        del queue[item]
        if not queue:
            del self._queues[user]
        return True
