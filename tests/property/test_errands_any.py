"""Whatever replicas say, and however often they are asked for it: one thing at a time, no gate without an answer."""

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from modelroute.controller.asking.client import Answer, UnansweredError
from modelroute.controller.kube.kinds import POD
from modelroute.planning.errands import CloseGate, Errand, Mark, Sleep, Wake
from modelroute.planning.names import SLEEPING_ANNOTATION, WARM_GATE
from tests.fakes.errands import KEY, World
from tests.fakes.pods import ANSWER, DEAD, FAILS, NOT_FOUND, OK
from tests.fakes.replicas import MORNING, NOW, warm_up

BAD: list[Any] = [NOT_FOUND, FAILS, DEAD, OK, Answer(302, b"", 0.1), UnansweredError("no answer within 60 s")]
SAYS = st.lists(st.sampled_from([*BAD, ANSWER]), min_size=1, max_size=4)
ERRANDS: list[Errand] = [
    warm_up(opens=NOW),
    warm_up(slot=MORNING),
    Sleep("small", "small-1", "10.0.0.1:8000"),
    Wake(warm_up()),
    Mark("small-1", ((SLEEPING_ANNOTATION, "2026-05-01T08:00:00Z"),)),
    CloseGate("small-1"),
]
LOOKS = st.lists(st.tuples(st.lists(st.sampled_from(ERRANDS), max_size=4), st.floats(0, 40)), min_size=1, max_size=8)


def played(looks: list[tuple[list[Errand], float]], **says: Any) -> World:
    """Want other things at each look."""
    world = World(**says)

    async def test() -> None:
        for wanted, pause in looks:
            world.wanted = wanted
            world.look(KEY)
            await asyncio.sleep(pause)

    return world.within(test)


@settings(max_examples=150, deadline=None)
@given(looks=LOOKS, health=SAYS, chat=SAYS, wake=SAYS)
def test_no_replica_is_asked_two_things_at_once(looks: Any, health: Any, chat: Any, wake: Any) -> None:
    assert played(looks, health=health, chat=chat, wake=wake).pods.most_of_one <= 1


@settings(max_examples=150, deadline=None)
@given(looks=LOOKS, chat=st.lists(st.sampled_from(BAD), min_size=1, max_size=4), health=SAYS)
def test_no_gate_opens_without_an_answer(looks: Any, chat: Any, health: Any) -> None:
    world = played(looks, chat=chat, health=health)
    conditions = world.cluster.objects[POD.name, "small-1"].get("status", {}).get("conditions", ())
    assert not [c for c in conditions if (c["type"], c["status"]) == (WARM_GATE, "True")]
    assert "WarmedUp" not in world.cluster.events


@settings(max_examples=100, deadline=None)
@given(chat=SAYS, health=SAYS)
def test_a_gate_opens_as_soon_as_there_is_an_answer(chat: Any, health: Any) -> None:
    world = World(chat=[*chat, ANSWER], health=[*health, OK])
    world.run(warm_up(opens=NOW), seconds=400)
    assert world.pod().warm == NOW
