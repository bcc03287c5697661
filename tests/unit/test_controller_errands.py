"""Errands run beside the reconciles: each once, tried again later, told when people should know."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from modelroute.controller import metrics
from modelroute.controller.errands.errands import ASKERS, LAST_RETRY, MOST_OF_ROUTE, REST_SECONDS
from modelroute.controller.kube.kinds import POD
from modelroute.controller.watching.cache import Key
from modelroute.planning import names
from modelroute.planning.errands import CloseGate, Mark, Sleep, Wake, WarmUp
from modelroute.planning.observed import WarmUpResult
from modelroute.planning.times.moments import rfc3339
from tests.fakes.errands import KEY, World
from tests.fakes.pods import ANSWER, DEAD, FAILS
from tests.fakes.replicas import MORNING, NOW, warm_up

GATE = warm_up(opens=NOW - 5)
SLEEP = Sleep("small", "small-1", "10.0.0.1:8000")
SLEEPING = Mark("small-1", ((names.SLEEPING_ANNOTATION, "2026-05-01T08:00:00Z"),))
FAILED = "small-1 gets no requests before its first answer: /v1/chat/completions said 500: boom"


class TestTheGate:
    """It opens by an answer alone."""

    def test_it_opens_when_the_replica_has_answered(self) -> None:
        world = World().run(GATE)
        assert world.pods.asked == ["10.0.0.1:8000 /health", "10.0.0.1:8000 /v1/chat/completions"]
        [condition] = world.conditions()
        assert condition == {
            "type": names.WARM_GATE,
            "status": "True",
            "lastTransitionTime": rfc3339(NOW),
            "reason": "Answered",
            "message": "/health 3 ms, first answer 310 ms",
        }
        assert world.cluster.notes == ["small-1: /health 3 ms, first answer 310 ms; takes traffic now"]

    def test_the_next_plan_sees_it_without_waiting_for_the_watch(self) -> None:
        assert World().run(GATE).pod().warm == NOW

    def test_it_opens_no_earlier_than_the_nodes_clock_says_it_could(self) -> None:
        assert World().run(replace(GATE, opens=NOW + 60)).pod().warm == NOW + 60

    @pytest.mark.parametrize(
        "says", [{"chat": FAILS}, {"chat": DEAD}, {"health": FAILS}, {"chat": None}], ids=["500", "dead", "ill", "404"]
    )
    def test_it_stays_closed_while_there_is_no_answer(self, says: dict[str, Any]) -> None:
        world = World(**says).run(GATE, seconds=300)
        assert (world.conditions(), world.cluster.writes) == ([], [])

    def test_it_closes_for_a_container_that_was_started_again(self) -> None:
        [condition] = World().run(CloseGate("small-1")).conditions()
        assert (condition["status"], condition["reason"]) == ("False", "Restarted")

    @pytest.mark.parametrize("asked", [warm_up(), warm_up(slot=MORNING)], ids=["after waking", "of a slot"])
    def test_no_other_request_opens_it(self, asked: WarmUp) -> None:
        assert World().run(asked).conditions() == []


class TestFailures:
    """They are tried again, ever later, and told from the third on."""

    def test_two_are_nobodys_business(self) -> None:
        world = World(chat=FAILS).run(GATE, seconds=1.2)  # the second is within 1 s, the third not within 1.5
        assert (len(world.pods.asked), world.cluster.events, world.seen.stuck) == (4, [], {})

    def test_the_third_is_told_once_and_stays_told(self) -> None:
        world = World(chat=FAILS).run(GATE, seconds=300)
        assert (world.cluster.events, world.cluster.notes) == (["WarmupFailed"], [FAILED])
        assert world.seen.stuck == {"small-1": FAILED}

    def test_tries_come_at_least_every_half_minute_and_no_flood_of_them(self) -> None:
        tries = len(World(health=DEAD).run(GATE, seconds=3600).pods.asked)
        assert 3600 / LAST_RETRY <= tries <= 2 * 3600 / LAST_RETRY + 10

    def test_an_answer_at_last_ends_it(self) -> None:
        world = World(chat=[FAILS, FAILS, FAILS, ANSWER]).run(GATE, seconds=60)
        assert (world.seen.stuck, world.pod().warm) == ({}, NOW)
        assert world.cluster.events[:2] == ["WarmupFailed", "WarmedUp"]

    def test_a_gate_that_may_not_be_opened_is_told(self) -> None:
        world = World()
        world.cluster.deny("patch", POD, "small-1/status", 403, "forbidden")
        [note] = world.run(GATE, seconds=60).cluster.notes
        assert note == "small-1 gets no requests before its first answer: cannot patch Pod/small-1/status: forbidden"

    def test_what_is_wanted_no_more_is_no_trouble(self) -> None:
        world = World(chat=FAILS)

        async def test() -> None:
            await asyncio.sleep(60)
            world.wanted = []
            await asyncio.sleep(60)

        assert world.within(test, GATE).seen.stuck == {}

    def test_an_errand_that_breaks_ends_no_other(self) -> None:
        world = World(2, chat=RuntimeError("ours"))
        world.run(GATE, SLEEP, warm_up("small-2", address="10.0.0.2:8000"), seconds=5)
        assert "10.0.0.2:8000 /health" in world.pods.asked


class TestOnce:
    """An errand that is planned again and again is run once at a time."""

    def test_what_is_under_way_is_not_begun_again(self) -> None:
        gate = asyncio.Event()
        world = World(chat=gate)

        async def test() -> None:
            for _ in range(5):
                await asyncio.sleep(1)
                world.look(KEY)
            assert world.errands.seen(KEY).under_way == {GATE}
            gate.set()

        assert len(world.within(test, GATE).pods.asked) == 2

    def test_what_was_done_is_not_done_again_before_it_can_be_seen(self) -> None:
        assert World().run(SLEEP, seconds=REST_SECONDS - 1).pods.asked == ["10.0.0.1:8000 /sleep?level=1"]

    def test_what_was_done_and_is_not_seen_is_done_again(self) -> None:
        assert len(World().run(SLEEP, seconds=REST_SECONDS + 1).pods.asked) == 2

    def test_a_replica_is_asked_one_thing_at_a_time(self) -> None:
        gate = asyncio.Event()
        world = World(chat=[gate, ANSWER])

        async def test() -> None:
            await asyncio.sleep(1)
            assert "/sleep" not in " ".join(world.pods.asked)
            gate.set()
            await asyncio.sleep(1)

        assert world.within(test, GATE, SLEEP).pods.asked[2:] == ["10.0.0.1:8000 /sleep?level=1"]
        assert world.pods.most_of_one == 1

    def test_it_is_marked_though_it_is_being_asked(self) -> None:
        assert World(chat=asyncio.Event()).run(GATE, SLEEPING).pod().sleeping is not None

    MANY = tuple(warm_up(f"small-{n}", address=f"10.0.0.{n}:8000") for n in range(70))

    def test_of_one_route_no_more_are_asked_at_once_than_that(self) -> None:
        assert World(chat=asyncio.Event()).run(*self.MANY).pods.most_at_once == MOST_OF_ROUTE

    def test_who_is_to_wake_does_not_wait_for_those(self) -> None:
        world, sleeper = World(chat=asyncio.Event()), warm_up("small-99", address="10.0.0.99:8000")
        asked = world.run(*self.MANY, Wake(sleeper)).pods.asked
        assert "10.0.0.99:8000 /wake_up" in asked

    @pytest.mark.parametrize(("routes", "most"), [(1, MOST_OF_ROUTE), (40, ASKERS // 2)])
    def test_replicas_of_other_namespaces_do_not_wait_for_those_that_hang(self, routes: int, most: int) -> None:
        world, other = World(chat=asyncio.Event()), Key("team-b", "code")

        async def test() -> None:
            for number in range(routes - 1):
                world.look(Key("team-a", f"chat-{number}"))
            await asyncio.sleep(1)
            assert world.pods.most_at_once == most
            world.errands.hand(other, [SLEEP], ["small-1"], ["small"])
            await asyncio.sleep(1)

        assert "10.0.0.1:8000 /sleep?level=1" in world.within(test, *self.MANY[2:]).pods.asked

    def test_each_replica_has_its_turn_though_all_fail(self) -> None:
        world = World(count=len(self.MANY), chat=FAILS).run(*self.MANY, seconds=60)
        assert {line.split()[0] for line in world.pods.asked} == {errand.address for errand in self.MANY}

    def test_marks_do_not_wait_for_replicas(self) -> None:
        assert World(chat=asyncio.Event()).run(*self.MANY, SLEEPING).pod().sleeping is not None

    def test_each_end_is_looked_at(self) -> None:
        world = World(health=DEAD)
        world.wanted = []
        world.run(warm_up(slot=MORNING))
        assert world.looks == 2


class TestResults:
    """What is remembered is how the last warm-up of each pod that there is ended."""

    def test_of_an_answer_its_figures(self) -> None:
        assert World().run(warm_up(slot=MORNING)).seen.warm_ups == {
            "small-1": WarmUpResult(NOW, 0.003, 0.31, slot=MORNING)
        }

    def test_of_a_failure_why_and_of_a_slot_there_is_one_try(self) -> None:
        world = World(health=DEAD).run(warm_up(slot=MORNING))
        assert world.seen.warm_ups == {"small-1": WarmUpResult(NOW, error="the connection is refused", slot=MORNING)}
        assert (len(world.pods.asked), world.cluster.events, world.seen.stuck) == (1, [], {})

    def test_those_of_pods_that_are_gone_are_forgotten(self) -> None:
        assert World().without_the_pod(GATE).seen.warm_ups == {}

    def test_a_pod_that_went_meanwhile_is_no_failure(self) -> None:
        world = World()
        del world.cluster.objects[POD.name, "small-1"]
        assert world.run(GATE, seconds=1).seen.stuck == {}

    def test_they_are_measured(self) -> None:
        labels = {"namespace": "team-a", "route": "chat", "backend": "small"}
        world = World(chat=[FAILS, ANSWER])

        async def test() -> None:
            await asyncio.sleep(3)
            registry = metrics.WARMUP_SECONDS.collect, metrics.WARMUP_FAILURES.collect
            found = {
                s.name: s.value
                for collect in registry
                for m in collect()
                for s in m.samples
                if labels.items() <= s.labels.items()
            }
            assert found["modelroute_warmup_seconds_sum"] == 0.31
            assert found["modelroute_warmup_failures_total"] == 1

        world.within(test, GATE)
        assert [s for m in metrics.WARMUP_SECONDS.collect() for s in m.samples] == []

    def test_what_ends_after_its_route_makes_no_series_again(self) -> None:
        gate = asyncio.Event()
        world = World(chat=gate)
        world.forgotten_meanwhile(gate, warm_up(slot=MORNING))
        assert [s for m in metrics.WARMUP_SECONDS.collect() for s in m.samples] == []

    def test_those_of_a_backend_that_went_are_removed(self) -> None:
        world = World()

        async def test() -> None:
            await asyncio.sleep(1)
            assert [s for m in metrics.WARMUP_SECONDS.collect() for s in m.samples]
            world.backends = set()
            world.look(KEY)
            assert [s for m in metrics.WARMUP_SECONDS.collect() for s in m.samples] == []

        world.within(test, warm_up(slot=MORNING))
