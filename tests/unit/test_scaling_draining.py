"""A replica drains before it goes: who, until when, and back again."""

from dataclasses import replace
from typing import Any

import pytest

from modelroute.api.status import Decision
from modelroute.planning.errands import Mark
from modelroute.planning.observed import Engine, Pod, Told
from modelroute.planning.scaling.scale import Scaled
from tests.fakes import world
from tests.fakes.scaled import NOW, ROUTER, decided, demanded, pod, said, seen, told


class TestDraining:
    """Four replicas, of which load wants one."""

    FOUR = tuple(pod(n) for n in (1, 2, 3, 4))

    def marked(self, *which: int, since: float = NOW - 10) -> tuple[Pod, ...]:
        return tuple(replace(p, draining=since) if int(p.name[-1]) in which else p for p in self.FOUR)

    def down(self, pods: tuple[Pod, ...], load: int = 4, **more: Any) -> Scaled:
        return decided(seen(*pods, number=4, demand=demanded(load), **more), old=said(4))

    def test_those_that_are_to_go_are_marked_and_the_number_stays(self) -> None:
        found = self.down(self.FOUR)
        assert (found.replicas, found.status and found.status.decisions) == (4, ())
        assert told(found.errands) == [("draining", f"small-{n}") for n in (4, 3, 2)]

    def test_a_mark_tells_since_when_and_makes_it_the_first_to_be_deleted(self) -> None:
        [mark] = [e for e in self.down(self.marked(2, 3)).errands if isinstance(e, Mark)]
        cost = "controller.kubernetes.io/pod-deletion-cost"
        assert mark.annotations == (("modelroute.dev/draining", world.NOW), (cost, "-1000"))

    def test_the_least_busy_go_and_first_those_that_are_not_ready(self) -> None:
        pods = (replace(self.FOUR[0], ready=False), *self.FOUR[1:])
        found = self.down(pods, busy={2: 1, 3: 5, 4: 7})
        assert told(found.errands) == [("draining", f"small-{n}") for n in (1, 2, 3)]

    def test_when_they_have_nothing_left_the_number_is_lowered_with_its_reason(self) -> None:
        found = self.down(self.marked(2, 3, 4))
        reason = "at most 4 requests in flight for 5m, target 8 a replica"
        assert found.status is not None
        assert (found.replicas, found.status.decisions) == (1, (Decision(world.NOW, 4, 1, reason),))

    def test_one_that_is_busy_is_waited_for(self) -> None:
        assert self.down(self.marked(2, 3, 4), busy={3: 1}).replicas == 4

    def test_what_an_engine_has_counts_though_no_router_knows_of_it(self) -> None:
        engines = {p.name: Engine() for p in self.FOUR} | {"small-3": Engine(waiting=1)}
        assert self.down(self.marked(2, 3, 4), engines=engines).replicas == 4

    def test_one_that_says_nothing_counts_as_busy(self) -> None:
        engines = {p.name: Engine() for p in self.FOUR[:3]}
        assert self.down(self.marked(2, 3, 4), engines=engines).replicas == 4

    @pytest.mark.parametrize("router", [{}, {"router": Told(asked=False)}, {"router": Told("old")}])
    def test_a_router_that_may_still_send_requests_is_waited_for(self, router: dict[str, Told]) -> None:
        assert self.down(self.marked(2, 3, 4), told=router).replicas == 4

    def test_a_router_that_ends_or_is_not_ready_need_not_tell(self) -> None:
        ending = (replace(ROUTER, name="a", ending=True), replace(ROUTER, name="b", ready=False))
        observed = seen(*self.marked(2, 3, 4), number=4, demand=demanded(4))
        observed = replace(observed, pods=(*observed.pods, *ending))
        assert decided(observed, old=said(4)).replicas == 1

    def test_one_that_never_ran_is_free(self) -> None:
        pods = (*self.marked(2, 3)[:3], pod(4, ready=False, started=None, loaded=None, draining=NOW - 10))
        assert self.down(pods, engines={p.name: Engine() for p in self.FOUR[:3]}).replicas == 1

    def test_after_the_time_for_it_they_go_all_the_same(self) -> None:
        pods = self.marked(2, 3, 4, since=NOW - 299)
        found = self.down(pods, busy={3: 1}, told={})
        assert (found.replicas, found.look_again) == (4, NOW + 1)
        assert self.down(self.marked(2, 3, 4, since=NOW - 300), busy={3: 1}, told={}).replicas == 1

    def test_the_time_of_a_mark_by_a_clock_that_was_ahead_begins_now(self) -> None:
        found = self.down(self.marked(2, 3, 4, since=NOW + 3600), busy={3: 1})
        assert (found.replicas, found.look_again) == (4, NOW + 300)
        assert [e.annotations[0][1] for e in found.errands if isinstance(e, Mark)] == [world.NOW] * 3
        assert self.down(self.marked(2, 3, 4, since=NOW + 60), busy={3: 1}).errands == ()

    def test_load_that_comes_back_takes_the_marks_away(self) -> None:
        found = self.down(self.marked(2, 3, 4), load=14)
        assert (found.replicas, told(found.errands)) == (4, [("-draining", "small-2")])
        found = self.down(self.marked(3, 4), load=14)
        assert (found.replicas, found.errands) == (2, ())

    def test_the_marks_stay_until_the_pods_have_ended(self) -> None:
        found = decided(seen(*self.marked(2, 3, 4), number=1, demand=demanded(4)), old=said(1))
        assert (found.replicas, found.errands) == (1, ())

    def test_a_mark_too_many_goes(self) -> None:
        found = decided(seen(*self.marked(4), number=4, demand=demanded(30)), old=said(4))
        assert told(found.errands) == [("-draining", "small-4")]

    def test_one_more_pod_while_versions_roll_is_not_marked(self) -> None:
        assert decided(seen(*self.FOUR, number=3), old=said(3)).errands == ()

    def test_while_versions_roll_those_of_the_old_one_go(self) -> None:
        """The new one is what is left when the rollout has ended, and would be left out as long as it is marked."""
        old, new = self.FOUR[:2], replace(self.FOUR[2], ready=False)
        found = decided(seen(*old, new, number=2, demand=demanded(4)), old=said(2))
        assert (found.replicas, told(found.errands)) == (2, [("draining", "small-1")])
        marked = replace(old[0], draining=NOW - 9)
        assert decided(seen(marked, old[1], new, number=2, demand=demanded(4)), old=said(2)).replicas == 1

    def test_of_the_old_version_one_that_is_not_ready_goes_first(self) -> None:
        ready, ill, new = self.FOUR[0], replace(self.FOUR[1], ready=False), replace(self.FOUR[2], ready=False)
        found = decided(seen(ready, ill, new, number=2, demand=demanded(4)), old=said(2))
        assert told(found.errands) == [("draining", "small-2")]

    def test_while_versions_roll_the_mark_of_the_youngest_is_the_one_too_many(self) -> None:
        found = decided(seen(*self.marked(2, 3, 4), number=3), old=said(3))
        assert told(found.errands) == [("-draining", "small-3"), ("-draining", "small-4")]

    def test_replicas_that_are_not_there_need_no_draining(self) -> None:
        found = decided(seen(pod(1), number=4, demand=demanded(4)), old=said(4))
        assert (found.replicas, found.errands) == (1, ())

    def test_nothing_is_known_after_a_restart_so_all_serve_again(self) -> None:
        found = decided(seen(*self.marked(2, 3, 4), number=4), old=said(4))
        assert (found.replicas, len(found.errands)) == (4, 3)

    def test_a_fixed_number_that_was_lowered_drains_too(self) -> None:
        found = decided(seen(*self.FOUR, number=4), old=said(4), minReplicas=3, maxReplicas=None)
        assert (found.replicas, told(found.errands)) == (4, [("draining", "small-4")])


def test_the_last_one_that_is_marked_for_idleness_stays_marked_and_goes() -> None:
    """It gets no requests any more, and yet nobody starts: the backend could be asked all along."""
    demand = demanded(0, 400, quiet=NOW - 400)
    found = decided(seen(pod(1, draining=NOW - 2), number=1, demand=demand), old=said(1), idle={"after": "1m"})
    assert (found.errands, found.replicas) == ((), 0)
