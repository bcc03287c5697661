"""O8: the leader's event loop stands still in code that does not wait for anything; another one leads meanwhile."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelroute.controller.kube.kinds import MODEL_ROUTE
from tests.controlplane.plane import Operator, Plane, until
from tests.controlplane.routes import ROUTER, SMALL, create, settle
from tests.controlplane.test_leadership import DURATION, Pair, holder, takes_over
from tests.fakes.manifests import HOSTED


@pytest.fixture
def sticky(plane: Plane, running: Operator, tmp_path: Path) -> Iterator[tuple[Pair, Path]]:
    """Two operators, of which one stands still as soon as there is the file."""
    running.end()
    file = tmp_path / "stick"
    made = Pair(plane, ("tests.fakes.stuck_operator", str(file)))
    yield made, file
    for rival in made.rivals:
        rival.operator.end(signal.SIGKILL)
    running.start()


def test_o08_a_leader_that_stands_still_is_followed_by_another(
    plane: Plane, sticky: tuple[Pair, Path], namespace: str
) -> None:
    pair, file = sticky
    leader, follower = pair.sorted()
    create(plane, namespace)
    settle(plane, namespace, ROUTER | SMALL)
    assert leader.operator.health()[0] == 200
    before = holder(plane, pair)
    file.touch()
    plane.admin.replace(MODEL_ROUTE, namespace, "chat", "/spec/backends", [HOSTED])
    until("it stands still", lambda: not file.exists())
    took = takes_over(plane, pair, follower, before)
    assert took < DURATION + 5
    assert leader.operator.health()[0] == 0, "the kubelet is told nothing, and starts it again"
    settle(plane, namespace, ROUTER)
