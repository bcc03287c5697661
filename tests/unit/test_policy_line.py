"""The waiting line: bounded, in turn between users, first come first served within one."""

import pytest

from modelroute.policy.line import Line


def line(*pushed: str, limit: int = 100) -> Line[str]:
    """A line of items that begin with the letter of their user."""
    made: Line[str] = Line(limit)
    assert all(made.push(item[0], item) for item in pushed)
    return made


def drained(waiting: Line[str]) -> list[str]:
    return list(iter(waiting.pop, None))


def test_one_user_is_served_in_order() -> None:
    assert drained(line("a1", "a2", "a3")) == ["a1", "a2", "a3"]


def test_users_take_turns() -> None:
    assert drained(line("a1", "a2", "a3", "b1", "c1", "b2")) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_who_was_served_and_comes_again_is_behind_those_who_wait() -> None:
    waiting = line("a1", "b1", "b2")
    assert waiting.pop() == "a1"
    waiting.push("a", "a2")
    assert drained(waiting) == ["b1", "a2", "b2"]


def test_a_full_line_takes_nobody() -> None:
    waiting = line("a1", "b1", limit=2)
    assert not waiting.push("c", "c1")
    assert len(waiting) == 2
    waiting.pop()
    assert waiting.push("c", "c1")


def test_a_lower_limit_keeps_those_who_wait() -> None:
    waiting = line("a1", "a2", "a3")
    waiting.limit = 1
    assert not waiting.push("b", "b1")
    assert drained(waiting) == ["a1", "a2", "a3"]
    assert waiting.push("b", "b1")


def test_who_gave_up_is_not_served() -> None:
    waiting = line("a1", "a2", "a3", "b1")
    assert waiting.remove("a2")
    assert waiting.remove("b1")
    assert len(waiting) == 2
    assert drained(waiting) == ["a1", "a3"]


@pytest.mark.parametrize("item", ["a1", "never"])
def test_who_does_not_wait_cannot_give_up(item: str) -> None:
    waiting = line("a1", "b1")
    waiting.pop()
    assert not waiting.remove(item)
    assert len(waiting) == 1


def test_nothing_is_kept_for_a_user_with_nobody_waiting() -> None:
    waiting = line("a1", "b1")
    waiting.pop()
    waiting.remove("b1")
    assert not waiting._queues
    assert not waiting._users


def test_nobody_waits_twice() -> None:
    waiting = line("a1")
    with pytest.raises(ValueError, match="twice"):
        waiting.push("b", "a1")
    assert drained(waiting) == ["a1"]


class TestDisplacing:
    def test_the_last_of_who_has_most_makes_room(self) -> None:
        waiting = line("a1", "b1", "b2", "b3", limit=4)
        assert waiting.displace("c") == "b3"
        assert waiting.push("c", "c1")
        assert drained(waiting) == ["a1", "b1", "c1", "b2"]

    @pytest.mark.parametrize("user", ["a", "b", "c"])
    def test_nobody_makes_room_for_one_who_would_then_have_more(self, user: str) -> None:
        waiting = line("a1", "b1", limit=2)
        assert waiting.displace(user) is None
        assert len(waiting) == 2

    def test_as_many_as_the_other_then_has_are_enough(self) -> None:
        assert line("a1", "b1", "b2", "b3").displace("a") == "b3"
        assert line("a1", "b1", "b2").displace("a") is None

    def test_a_line_of_no_places_has_nobody_to_displace(self) -> None:
        assert line(limit=0).displace("a") is None
