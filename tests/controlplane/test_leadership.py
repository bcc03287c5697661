"""Two operators, one of which acts: side by side, ended, killed, paused. Each asks in a name of its own."""

import signal
import sys
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pytest

from modelroute.controller.kube.kinds import LEASE
from modelroute.controller.leading import LEASE_NAME
from tests.controlplane.plane import OPERATOR, Operator, Plane, until
from tests.controlplane.routes import ROUTER, SMALL, create, names, settle

DURATION = 5  # of the lease, as plane.Operator asks for


class Rival(NamedTuple):
    """One of the two, and the name in which it asks."""

    operator: Operator
    user: str


class Pair:
    """Two operators with a lease of their own."""

    def __init__(self, plane: Plane, program: Sequence[str] = ("modelroute.cli.main",)) -> None:
        homes = plane.namespace(), plane.namespace()
        self.home = homes[0]
        self.rivals = []
        for home in homes:
            kubeconfig = plane.identity(home, clusterwide=True, lease_in=self.home)
            operator = Operator(kubeconfig, lease_in=self.home, program=program)
            self.rivals.append(Rival(operator, f"system:serviceaccount:{home}:{OPERATOR}"))

    def sorted(self) -> tuple[Rival, Rival]:
        """The leader and the follower, once there are both."""

        def found() -> tuple[Rival, Rival] | None:
            leading = [rival for rival in self.rivals if rival.operator.leads()]
            others = [rival for rival in self.rivals if not rival.operator.leads() and rival.operator.ready()]
            return (leading[0], others[0]) if len(leading) == len(others) == 1 else None

        both: tuple[Rival, Rival] = until("a leader and a follower", found, 120)
        return both

    def make_whole(self) -> None:
        for rival in self.rivals:
            if not rival.operator.running():
                rival.operator.start()


@pytest.fixture(scope="module")
def both(plane: Plane, nobody: None) -> Iterator[Pair]:
    made = Pair(plane)
    yield made
    for rival in made.rivals:
        rival.operator.end(signal.SIGKILL)


@pytest.fixture
def pair(both: Pair) -> Iterator[Pair]:
    both.make_whole()
    both.sorted()
    marks = [len(rival.operator.log()) for rival in both.rivals]
    yield both
    for rival, mark in zip(both.rivals, marks, strict=True):
        rival.operator.signal(signal.SIGCONT)
        sys.stdout.write(f"{rival.user}\n{rival.operator.log()[mark:][-4000:]}\n")


def holder(plane: Plane, pair: Pair) -> str:
    found: str = plane.admin.get(LEASE, pair.home, LEASE_NAME)["spec"]["holderIdentity"]
    return found


def takes_over(plane: Plane, pair: Pair, other: Rival, before: str) -> float:
    """Seconds until the lease is held by another than ``before``; it is waited for until that one leads."""
    began = time.monotonic()
    until("another holder", lambda: holder(plane, pair) not in ("", before), 30)
    took = time.monotonic() - began
    until("that one leads", other.operator.leads)
    return took


def test_o05_of_two_operators_one_acts_and_the_other_is_ready_to(plane: Plane, pair: Pair, namespace: str) -> None:
    leader, follower = pair.sorted()
    mark = plane.mark()
    create(plane, namespace)
    settle(plane, namespace, ROUTER | SMALL)
    assert len(plane.writes(mark, namespace, leader.user)) >= len(ROUTER | SMALL)
    assert plane.writes(mark, namespace, follower.user) == []
    assert follower.operator.ready()


def test_o05_a_leader_that_is_told_to_end_hands_over_at_once(plane: Plane, pair: Pair, namespace: str) -> None:
    leader, follower = pair.sorted()
    before = holder(plane, pair)
    leader.operator.signal(signal.SIGTERM)
    assert takes_over(plane, pair, follower, before) < DURATION
    assert leader.operator.wait() == 0
    create(plane, namespace)
    settle(plane, namespace, ROUTER | SMALL)


def test_o29_when_the_leader_is_killed_another_acts_within_the_lease_and_five_seconds(
    plane: Plane, pair: Pair, namespace: str
) -> None:
    leader, follower = pair.sorted()
    before = holder(plane, pair)
    leader.operator.end(signal.SIGKILL)
    create(plane, namespace)
    assert takes_over(plane, pair, follower, before) < DURATION + 5
    settle(plane, namespace, ROUTER | SMALL)


def test_o06_a_leader_that_was_paused_begins_no_write_when_it_wakes_and_follows(
    plane: Plane, pair: Pair, namespace: str
) -> None:
    """Paused for three times its lease, which is short here.

    A minute would bring nothing else: by its own clock the leader may not write from 0.7 of the lease on, however long
    ago that was, and the other one has written meanwhile all that there is to write. One write may come late: that in
    whose midst it was stopped, after it had looked at its clock.
    """
    leader, follower = pair.sorted()
    create(plane, namespace)
    until("a first child", lambda: names(plane, namespace))
    before = holder(plane, pair)
    leader.operator.signal(signal.SIGSTOP)  # in the middle of its work
    wakes = time.monotonic() + 3 * DURATION
    time.sleep(1)  # what was on its way is in the audit log
    mark, told = plane.mark(), leader.operator.log().count("no longer leading")
    assert takes_over(plane, pair, follower, before) < 15
    settle(plane, namespace, ROUTER | SMALL)
    time.sleep(max(0, wakes - time.monotonic()))
    leader.operator.signal(signal.SIGCONT)
    until("it notices", lambda: leader.operator.log().count("no longer leading") > told)
    until("it follows", lambda: not leader.operator.leads() and leader.operator.ready())
    assert len(plane.writes(mark, namespace, leader.user)) <= 1
    # It has not been started anew, and can lead again.
    before = holder(plane, pair)
    follower.operator.signal(signal.SIGTERM)
    assert takes_over(plane, pair, leader, before) < DURATION
    follower.operator.wait()
