"""Replicas sent to sleep and woken by errands; and the end of a route, and of the operator's turn."""

import asyncio
from dataclasses import replace

from modelroute.controller.asking.client import UnansweredError
from modelroute.controller.errands.errands import REST_SECONDS, Seen
from modelroute.planning import names
from modelroute.planning.errands import Mark, Sleep, Wake
from tests.fakes.errands import KEY, World
from tests.fakes.pods import ANSWER, FAILS
from tests.fakes.replicas import MORNING, NOW, warm_up

GATE = warm_up(opens=NOW - 5)
SLEEP = Sleep("small", "small-1", "10.0.0.1:8000")
SLEEPING = Mark("small-1", ((names.SLEEPING_ANNOTATION, "2026-05-01T08:00:00Z"),))
UNSERVED = "/sleep?level=1 is not served; vLLM serves it with VLLM_SERVER_DEV_MODE=1 in its environment"


class TestSleepAndWake:
    """A replica's weights leave the GPU, and come back before it gets requests."""

    def test_it_is_sent_to_sleep(self) -> None:
        world = World().run(SLEEP)
        assert world.pods.asked == ["10.0.0.1:8000 /sleep?level=1"]
        assert world.cluster.notes == ["small-1 sleeps: its weights are out of the GPU"]

    def test_it_is_woken_answers_a_first_request_and_then_its_mark_goes(self) -> None:
        world = World()
        world.run(SLEEPING)
        world.run(Wake(warm_up()))
        assert world.pods.asked == [f"10.0.0.1:8000 /{path}" for path in ("wake_up", "health", "v1/chat/completions")]
        assert (world.annotations(), world.pod().sleeping) == ({}, None)
        assert world.seen.warm_ups["small-1"].wake_seconds == 0.003

    def test_the_mark_stays_while_it_does_not_answer(self) -> None:
        world = World(chat=FAILS)
        world.run(SLEEPING)
        world.run(Wake(warm_up()), seconds=60)
        assert world.pod().sleeping is not None
        assert world.seen.stuck == {"small-1": "small-1 does not wake up: /v1/chat/completions said 500: boom"}

    def test_a_wake_that_takes_too_long_is_told_at_once(self) -> None:
        world = World(wake=UnansweredError("no answer within 60 s")).run(Wake(warm_up()))
        assert world.cluster.notes == ["small-1 does not wake up: no answer within 60 s"]

    def test_one_that_cannot_sleep_answers_again_by_its_answer_alone(self) -> None:
        """As when it was marked, and never slept: that it is not served says nothing of whether it answers."""
        world = World(wake=None)
        world.run(SLEEPING)
        world.run(Wake(warm_up()))
        assert (world.annotations(), world.seen.warm_ups["small-1"].wake_seconds) == ({}, None)
        world = World(wake=None, chat=FAILS)
        world.run(SLEEPING)
        assert world.run(Wake(warm_up())).pod().sleeping is not None

    def test_one_that_fails_to_wake_is_not_asked(self) -> None:
        assert World(wake=FAILS).run(Wake(warm_up())).pods.asked == ["10.0.0.1:8000 /wake_up"]

    def test_who_does_not_wake_is_known_while_that_is_wanted(self) -> None:
        world = World(wake=FAILS, sleep=FAILS)

        async def test() -> None:
            await asyncio.sleep(0.1)
            assert world.errands.seen(KEY).oversleeping == set()  # one failure may be anything
            await asyncio.sleep(10)
            assert world.errands.seen(KEY).oversleeping == {"small-1"}
            world.wanted = [SLEEP]
            world.look(KEY)
            await asyncio.sleep(1)

        assert world.within(test, Wake(warm_up())).seen.oversleeping == set()

    def test_that_it_fell_asleep_is_told_once_for_each_mark(self) -> None:
        world = World()

        async def test() -> None:
            await asyncio.sleep(REST_SECONDS + 1)
            assert world.errands.seen(KEY).slept == {"small-1": SLEEP}
            world.wanted = [replace(SLEEP, marked=9.0)]
            world.look(KEY)
            await asyncio.sleep(1)

        world.within(test, SLEEP)
        assert (len(world.pods.asked), world.cluster.events) == (3, ["FellAsleep"] * 2)

    def test_the_sleep_of_a_pod_that_is_gone_is_forgotten(self) -> None:
        assert World().without_the_pod(SLEEP).seen.slept == {}

    def test_a_vllm_without_sleep_mode_is_told_what_it_lacks(self) -> None:
        [note] = World(sleep=None).run(SLEEP).cluster.notes
        assert note.endswith(
            "/sleep?level=1 is not served; vLLM serves it with VLLM_SERVER_DEV_MODE=1 in its environment"
        )


class TestTheEnd:
    """Of a route, and of the operator's turn."""

    def test_what_was_under_way_is_given_up_and_all_is_forgotten(self) -> None:
        world = World(chat=asyncio.Event()).run(GATE)
        assert world.errands.seen(KEY) == Seen()
        assert sum(world.pods.under_way.values()) == 0

    def test_it_can_be_begun_again(self) -> None:
        world = World(chat=[asyncio.Event(), ANSWER])
        world.run(GATE)
        assert world.run(GATE).pod().warm == NOW

    def test_a_route_that_is_gone_is_not_remembered_by_what_ends_after_it(self) -> None:
        gate = asyncio.Event()
        world = World(chat=gate)
        assert world.forgotten_meanwhile(gate, warm_up(slot=MORNING)).seen == Seen()

    def test_one_that_comes_back_at_once_waits_for_what_is_under_way(self) -> None:
        gate = asyncio.Event()
        world = World(chat=[gate, ANSWER])

        async def test() -> None:
            await asyncio.sleep(1)
            world.errands.forget(KEY)
            world.look(KEY)
            await asyncio.sleep(1)
            assert len(world.pods.asked) == 2
            gate.set()
            await asyncio.sleep(1)

        assert world.within(test, GATE).pod().warm == NOW
