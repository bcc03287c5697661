"""Any order of coming, giving up and being served: the line does what the plainest line would do."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from modelroute.policy.line import Line

USERS = st.sampled_from("abcd")
LIMIT = 6


class Plain(RuleBasedStateMachine):
    """The line beside a list of turns and a list for each user, with no thought for speed."""

    def __init__(self) -> None:
        super().__init__()
        self.line: Line[int] = Line(LIMIT)
        self.turns: list[str] = []
        self.waiting: dict[str, list[int]] = {user: [] for user in "abcd"}
        self.number = 0

    def count(self) -> int:
        return sum(map(len, self.waiting.values()))

    def leave(self, user: str, item: int) -> None:
        self.waiting[user].remove(item)
        if not self.waiting[user]:
            self.turns.remove(user)

    @rule(user=USERS)
    def push(self, user: str) -> None:
        self.number += 1
        room = self.count() < LIMIT
        assert self.line.push(user, self.number) == room
        if room:
            self.waiting[user].append(self.number)
            if user not in self.turns:
                self.turns.append(user)

    @rule()
    def pop(self) -> None:
        item = self.line.pop()
        if not self.turns:
            assert item is None
            return
        user = self.turns[0]
        assert item == self.waiting[user][0]
        self.leave(user, item)
        if user in self.turns:
            self.turns.append(self.turns.pop(0))

    @precondition(lambda self: self.number > 0)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        item = data.draw(st.integers(1, self.number))
        user = next((user for user, items in self.waiting.items() if item in items), None)
        assert self.line.remove(item) == (user is not None)
        if user:
            self.leave(user, item)

    @rule(user=USERS)
    def displace(self, user: str) -> None:
        most = max(map(len, self.waiting.values()))
        item = self.line.displace(user)
        assert (item is not None) == (most >= len(self.waiting[user]) + 2)
        if item is not None:
            (victim,) = [name for name, items in self.waiting.items() if item in items]
            assert len(self.waiting[victim]) == most
            assert self.waiting[victim][-1] == item
            self.leave(victim, item)

    @invariant()
    def as_many_wait_as_came(self) -> None:
        assert len(self.line) == self.count() <= LIMIT
        assert self.line._queues.keys() == set(self.turns)


TestLine = Plain.TestCase
