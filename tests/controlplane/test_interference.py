"""The operator behind a proxy that goes silent, breaks connections, refuses, or answers in the API server's place."""

import itertools
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from modelroute.controller.kube.kinds import CHILDREN, DEPLOYMENT, DISRUPTION_BUDGET, MODEL_ROUTE
from tests.controlplane.between import HANG, RESET, Answer, Asked, Between, Fate
from tests.controlplane.plane import Operator, Plane, until
from tests.controlplane.routes import ROUTER, SMALL, condition, create, names, publish_endpoints, settle, touch
from tests.fakes.manifests import HOSTED

SILENCE = 3
DEAD = 2.5 * SILENCE
CHILD_WRITES = tuple(f"patch {CHILDREN[place.split('/')[0]].plural}/" for place in ROUTER | SMALL)


@pytest.fixture(scope="module")
def proxy(plane: Plane) -> Iterator[Between]:
    made = Between(plane)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def started(plane: Plane, proxy: Between, nobody: None) -> Iterator[Operator]:
    made = Operator(proxy.kubeconfig(plane.operator_kubeconfig), f"--watch-silence={SILENCE}")
    yield made
    made.end()


@pytest.fixture
def behind(started: Operator, proxy: Between) -> Iterator[Operator]:
    """The operator that asks through the proxy; all passes before and after a test."""
    until("it leads", started.leads, 60)
    mark = len(started.log())
    yield started
    proxy.fate = lambda _: None
    sys.stdout.write(started.log()[mark:][-6000:])


def writes_to(namespace: str) -> Callable[[Asked], bool]:
    return lambda asked: asked.method == "PATCH" and f"/namespaces/{namespace}/" in asked.target


def settled(plane: Plane, namespace: str) -> None:
    create(plane, namespace)
    settle(plane, namespace, ROUTER | SMALL)


def change(plane: Plane, namespace: str) -> None:
    plane.admin.replace(MODEL_ROUTE, namespace, "chat", "/spec/backends", [HOSTED])


def test_o01_a_change_is_seen_though_the_watch_has_gone_silent(
    plane: Plane, proxy: Between, behind: Operator, namespace: str
) -> None:
    settled(plane, namespace)
    proxy.until_unlisted()
    restarts = behind.metric("modelroute_watch_restarts_total")
    proxy.freeze(lambda asked: asked.watches)
    change(plane, namespace)
    settle(plane, namespace, ROUTER)
    assert behind.metric("modelroute_watch_restarts_total") > restarts


EXPIRED = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410}
GONE = pytest.mark.parametrize(
    "gone",
    [Answer(200, body={"type": "ERROR", "object": EXPIRED}), Answer(410, body=EXPIRED)],
    ids=["event", "status"],
)


class Expiring:
    """The fate of the first watch of each kind: ``gone``; what follows a new listing passes."""

    def __init__(self, gone: Answer) -> None:
        self.gone = gone
        self.told: set[str] = set()

    def __call__(self, asked: Asked) -> Fate:
        path = asked.target.split("?")[0]
        if not asked.watches or path in self.told:
            return None
        self.told.add(path)
        return self.gone


def restarts(operator: Operator) -> int:
    """How often all that it does has been begun anew, as after trouble that nobody foresaw."""
    return operator.log().count("starting over")


def cut_watches(proxy: Between) -> None:
    proxy.until_unlisted()
    proxy.fate = lambda asked: RESET if asked.watches else None
    proxy.reset()


@GONE
def test_o02_what_was_deleted_while_the_watch_was_gone_is_missed_by_nobody(
    plane: Plane, proxy: Between, behind: Operator, namespace: str, gone: Answer
) -> None:
    settled(plane, namespace)
    expire, mark, before = Expiring(gone), plane.mark(), restarts(behind)
    cut_watches(proxy)
    plane.admin.delete(DEPLOYMENT, namespace, "chat--small")
    plane.admin.delete(DISRUPTION_BUDGET, namespace, "chat-router")
    until("they are gone", lambda: len(names(plane, namespace)) == len(ROUTER | SMALL) - 2)
    proxy.fate = expire
    settle(plane, namespace, ROUTER | SMALL)
    until("it was told that it has missed something", lambda: DEPLOYMENT.path() in expire.told)
    touch(plane, behind, namespace)
    assert restarts(behind) == before
    made = Counter(write for write in plane.writes(mark, namespace) if "/chat-" in write and "/chat/" not in write)
    assert made == {"patch deployments/chat--small/": 1, "patch poddisruptionbudgets/chat-router/": 1}


@GONE
def test_o02_a_route_that_was_deleted_while_the_watch_was_gone_comes_to_nothing(
    plane: Plane, proxy: Between, behind: Operator, namespace: str, gone: Answer
) -> None:
    settled(plane, namespace)
    expire, before = Expiring(gone), restarts(behind)
    cut_watches(proxy)
    plane.admin.delete(MODEL_ROUTE, namespace, "chat")
    until("the route is gone", lambda: plane.admin.get(MODEL_ROUTE, namespace, "chat") is None)
    until("no children", lambda: names(plane, namespace) == set(), seconds=60)
    mark, other = plane.mark(), plane.namespace()
    proxy.fate = expire
    until("it was told that it has missed something", lambda: MODEL_ROUTE.path() in expire.told)
    settled(plane, other)
    touch(plane, behind, other)
    assert restarts(behind) == before
    assert plane.writes(mark, namespace) == []
    assert names(plane, namespace) == set()


def test_o10_a_stale_view_of_own_writes_makes_nothing_twice(
    plane: Plane, proxy: Between, behind: Operator, namespace: str
) -> None:
    def stale(asked: Asked) -> bool:
        """Whether it would tell of Deployments or Services."""
        return asked.watches and asked.target.split("?")[0].endswith(("/deployments", "/services"))

    mark = plane.mark()
    proxy.fate = lambda asked: HANG if stale(asked) else None
    proxy.freeze(stale)
    create(plane, namespace)
    until("all children", lambda: names(plane, namespace) == ROUTER | SMALL)
    for _ in range(2):
        touch(plane, behind, namespace)
    proxy.fate = lambda _: None
    proxy.reset()
    settle(plane, namespace, ROUTER | SMALL)
    touch(plane, behind, namespace)
    made = Counter(write for write in plane.writes(mark, namespace) if write.startswith(CHILD_WRITES))
    assert made == dict.fromkeys(made, 1)
    assert len(made) == len(ROUTER | SMALL)
    assert condition(plane, namespace, "Programmed")["reason"] != "NameConflict"


def test_o10_a_change_that_comes_back_with_an_own_write_is_carried_out(
    plane: Plane, proxy: Between, behind: Operator, namespace: str
) -> None:
    settled(plane, namespace)
    proxy.until_unlisted()
    proxy.freeze(lambda asked: asked.watches and MODEL_ROUTE.path() in asked.target)
    change(plane, namespace)
    publish_endpoints(plane, namespace, "chat--small", "http", "10.0.0.1")  # which the status tells of
    settle(plane, namespace, ROUTER)


def test_o03_connections_that_are_reset_for_a_while_are_made_again(
    plane: Plane, proxy: Between, behind: Operator, namespace: str
) -> None:
    """For half a minute. Two would bring nothing else: what might end meanwhile are kopf's waits, and ours never do.

    That they do not is held by ``test_o03_kopf_never_gives_up_on_the_api_server``, and the longest is of ten seconds.
    """
    settled(plane, namespace)
    began, seconds = time.monotonic(), 30
    proxy.fate = lambda _: RESET
    while time.monotonic() < began + seconds:
        proxy.reset()
        time.sleep(0.5)
    tries = Counter(asked.target.split("?")[0] for asked in proxy.since(began))
    change(plane, namespace)
    proxy.fate = lambda _: None
    settle(plane, namespace, ROUTER)
    assert behind.running()
    assert max(tries.values()) < seconds * 5  # though a watch is begun anew each few seconds here, and soon tried again


def test_o04_the_api_servers_wish_for_peace_is_followed(
    plane: Plane, proxy: Between, behind: Operator, namespace: str
) -> None:
    mine = writes_to(namespace)
    proxy.fate = lambda asked: Answer(429, {"Retry-After": "3"}) if mine(asked) else None
    began = time.monotonic()
    create(plane, namespace)
    until("a second try", lambda: len(proxy.since(began, mine)) > 1)
    for turn in range(20):  # a route that changes is no exception
        plane.admin.merge(MODEL_ROUTE, namespace, "chat", {"metadata": {"annotations": {"turn": str(turn)}}})
        time.sleep(0.2)
    times = [asked.at for asked in proxy.since(began, mine)]
    assert all(later - earlier > 2.9 for earlier, later in itertools.pairwise(times))
    proxy.fate = lambda _: None
    settle(plane, namespace, ROUTER | SMALL)


@pytest.mark.parametrize("status", [500, 504])
def test_o04_a_route_that_fails_asks_less_than_five_times_a_second(
    plane: Plane, proxy: Between, behind: Operator, namespace: str, status: int
) -> None:
    mine = writes_to(namespace)
    proxy.fate = lambda asked: Answer(status) if mine(asked) else None
    began = time.monotonic()
    create(plane, namespace)
    until("a first try", lambda: proxy.since(began, mine))
    for turn in range(30):
        plane.admin.merge(MODEL_ROUTE, namespace, "chat", {"metadata": {"annotations": {"turn": str(turn)}}})
        time.sleep(0.1)
    asked = proxy.since(began, lambda asked: f"/namespaces/{namespace}/" in asked.target)
    assert len(asked) / (time.monotonic() - began) < 5
    assert behind.metric('modelroute_reconciles_total{outcome="error"}') > 0
    proxy.fate = lambda _: None
    settle(plane, namespace, ROUTER | SMALL)


def test_o07_a_dead_watch_is_told_to_the_kubelet(plane: Plane, proxy: Between, behind: Operator) -> None:
    proxy.fate = lambda asked: HANG if asked.watches and "deployments" in asked.target else None
    proxy.freeze(lambda asked: asked.watches and "deployments" in asked.target)
    until("it is told", lambda: behind.health()[0] == 503, DEAD + 20)
    assert behind.health() == (
        503,
        f"nothing was heard for {DEAD:.0f} s of deployments, though the API server answers\n",
    )
    assert behind.metric('modelroute_watch_age_seconds{resource="deployments"}') > DEAD
    proxy.fate = lambda _: None
    until("it is well again", lambda: behind.health()[0] == 200)


def test_o07_an_api_server_that_is_silent_is_no_reason_to_restart_the_operator(
    plane: Plane, proxy: Between, behind: Operator, namespace: str
) -> None:
    settled(plane, namespace)
    proxy.fate = lambda _: HANG
    proxy.freeze()
    limit = time.monotonic() + DEAD + 5
    while time.monotonic() < limit:
        assert behind.health() == (200, "ok\n")
        time.sleep(0.2)
    proxy.fate = lambda _: None
    change(plane, namespace)
    settle(plane, namespace, ROUTER)
    assert behind.health() == (200, "ok\n")


def test_o08_a_route_whose_requests_hang_does_not_hold_up_others(
    plane: Plane, proxy: Between, behind: Operator, namespace: str
) -> None:
    other, mine = plane.namespace(), writes_to(namespace)
    proxy.fate = lambda asked: HANG if mine(asked) else None
    began = time.monotonic()
    create(plane, namespace)
    until("it hangs", lambda: proxy.since(began, mine))
    settled(plane, other)
    touch(plane, behind, other)
    assert names(plane, namespace) == set()


FULL = {"message": "etcdserver: mvcc: database space exceeded", "kind": "Status", "status": "Failure", "code": 500}


def test_o30_a_change_that_comes_while_nothing_can_be_written_is_carried_out_after(
    plane: Plane, proxy: Between, behind: Operator, namespace: str
) -> None:
    settled(plane, namespace)
    proxy.fate = lambda asked: None if asked.method == "GET" else Answer(500, body=FULL)
    began = time.monotonic()
    change(plane, namespace)
    while time.monotonic() < began + 15:
        assert behind.health() == (200, "ok\n")
        time.sleep(0.5)
    tries = proxy.since(began, lambda asked: asked.method != "GET")
    assert tries, "else nothing was refused"
    assert len(tries) / (time.monotonic() - began) < 5
    assert names(plane, namespace) == ROUTER | SMALL
    proxy.fate = lambda _: None
    until("it leads again", behind.leads, 30)
    settle(plane, namespace, ROUTER)
