"""Any order of coming, being served and being done: turns do what the plainest queue with shares would do."""

import asyncio

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from modelroute.controller.turns import Turns
from tests.fakes.clock import InstantLoop

NAMESPACES = st.sampled_from("abcd")
PLACES = 6


class Plain(RuleBasedStateMachine):
    """Turns beside one list of what waits, one of whose turn it is, and one of who holds a place."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = InstantLoop()
        self.turns: Turns[int] = Turns(PLACES)
        self.waiting: list[tuple[str, float, int]] = []  # namespace, due, item
        self.order: list[str] = []
        self.held: list[str] = []
        self.number = 0

    def teardown(self) -> None:
        self.loop.close()

    @rule(namespace=NAMESPACES, due=st.sampled_from([0.0, 1.0, 2.0]))
    def put(self, namespace: str, due: float) -> None:
        self.number += 1
        self.turns.put(namespace, self.number, due)
        self.waiting.append((namespace, due, self.number))
        if namespace not in self.order:
            self.order.append(namespace)

    @rule()
    def take(self) -> None:
        free = PLACES - len(self.held)
        mine = next((name for name in self.order if self.held.count(name) < free), None)
        first = min(((due, item) for name, due, item in self.waiting if name == mine), default=None)
        assert self.loop.run_until_complete(self.taken()) == (first[1] if first else None)
        if mine and first:
            self.held.append(mine)
            self.waiting.remove((mine, *first))
            self.order.remove(mine)
            if any(name == mine for name, _, _ in self.waiting):
                self.order.append(mine)

    async def taken(self) -> int | None:
        try:
            return await asyncio.wait_for(self.turns.take(), 0.001)
        except TimeoutError:
            return None

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        namespace = data.draw(st.sampled_from(self.held))
        self.held.remove(namespace)
        self.turns.done(namespace)


TestTurns = Plain.TestCase
