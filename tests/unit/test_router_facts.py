"""What a request is kept at one replica by."""

import pytest

from modelroute.router.flow.facts import key_of
from modelroute.router.http.request import Request
from modelroute.snapshot.types import Balancing
from tests.fakes.bodies import ask

SESSIONS = Balancing(type="Session")


def key(session: str = "", user: str = "") -> bytes:
    request = Request()
    if session:
        request.take(b"X-Session-Id", session.encode())
    return key_of(SESSIONS, request, ask(), user)


def test_a_session_of_one_user_has_one_key() -> None:
    assert key("s", "ann") == key("s", "ann")


@pytest.mark.parametrize(("one", "other"), [(("s", "ann"), ("s", "bob")), (("s", "ann"), ("s", ""))])
def test_the_same_session_of_two_users_is_two(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert key(*one) != key(*other)


def test_two_sessions_of_one_user_are_two() -> None:
    assert key("s", "ann") != key("t", "ann")
