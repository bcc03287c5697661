"""Whose turn it is: each namespace's, one after the other, and none may keep others out."""

import asyncio
from collections.abc import Callable

import pytest

from modelroute.controller.turns import Turns
from tests.fakes.clock import InstantLoop

PLACES = 8


def taken(*waiting: tuple[str, float], then: Callable[[Turns[str]], None] = lambda _: None) -> str:
    """Who gets places, in which order, of those that wait (namespace, due); ``then`` is done when no other gets one."""
    found: list[str] = []

    async def taking(turns: Turns[str]) -> None:
        while True:
            found.append(await turns.take())

    async def main() -> None:
        turns: Turns[str] = Turns(PLACES)
        for namespace, due in waiting:
            turns.put(namespace, namespace if not due else f"{namespace}{due:.0f}", due)
        task = asyncio.create_task(taking(turns))
        await asyncio.sleep(1)
        then(turns)
        await asyncio.sleep(1)
        task.cancel()

    with asyncio.Runner(loop_factory=InstantLoop) as runner:
        runner.run(main())
    return " ".join(found)


@pytest.mark.parametrize(
    ("waiting", "order"),
    [
        ([("a", 0)] * 3 + [("b", 0)] * 2, "a b a b a"),
        ([("a", 3), ("a", 1), ("a", 2)], "a1 a2 a3"),
        ([("a", 2), ("a", 1), ("b", 9)], "a1 b9 a2"),
    ],
    ids=["namespaces in turn", "in one by when it is due", "what is due goes before nobody else's"],
)
def test_the_order(waiting: list[tuple[str, float]], order: str) -> None:
    assert taken(*waiting) == order


@pytest.mark.parametrize(
    ("namespaces", "each"), [("a", 4), ("ab", 3), ("abcdefgh", 1)], ids=["half", "a third", "one, of many"]
)
def test_what_is_kept_leaves_places_to_others(namespaces: str, each: int) -> None:
    got = taken(*[(name, 0.0) for name in namespaces] * PLACES).split()
    assert [got.count(name) for name in namespaces] == [each] * len(namespaces)


def test_one_that_comes_late_finds_a_place() -> None:
    assert taken(*[("a", 0.0)] * PLACES, then=lambda turns: turns.put("b", "b")) == "a a a a b"


def test_a_place_that_is_done_with_goes_to_who_waits() -> None:
    assert taken(*[("a", 0.0)] * PLACES, then=lambda turns: turns.done("a")) == "a a a a a"
