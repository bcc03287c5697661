"""Replicas sent to sleep and woken by errands; and the end of a route, and of the operator's turn."""

import asyncio

from modelroute.controller.asking.client import UnansweredError
from modelroute.planning import names
from modelroute.planning.errands import Mark, Sleep, Wake
from tests.fakes.errands import KEY, World
from tests.fakes.pods import ANSWER, FAILS
from tests.fakes.replicas import MORNING, NOW, ping

GATE = ping(gate=True, loaded=NOW - 5)
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
        world.run(Wake(ping()))
        assert world.pods.asked == [f"10.0.0.1:8000 /{path}" for path in ("wake_up", "health", "v1/chat/completions")]
        assert (world.annotations(), world.pod().sleeping) == ({}, None)
        assert world.seen.pinged["small-1"].wake_seconds == 0.003

    def test_the_mark_stays_while_it_does_not_answer(self) -> None:
        world = World(chat=FAILS)
        world.run(SLEEPING)
        world.run(Wake(ping()), seconds=60)
        assert world.pod().sleeping is not None
        assert world.seen.stuck == {"small-1": "small-1 does not wake up: /v1/chat/completions said 500: boom"}

    def test_a_wake_that_takes_too_long_is_told_at_once(self) -> None:
        world = World(wake=UnansweredError("no answer within 60 s")).run(Wake(ping()))
        assert world.cluster.notes == ["small-1 does not wake up: no answer within 60 s"]

    def test_a_vllm_without_sleep_mode_is_told_what_it_lacks(self) -> None:
        [note] = World(sleep=None).run(SLEEP).cluster.notes
        assert note.endswith(
            "/sleep?level=1 is not served; vLLM serves it with VLLM_SERVER_DEV_MODE=1 in its environment"
        )


class TestTheEnd:
    """Of a route, and of the operator's turn."""

    def test_what_was_under_way_is_given_up_and_all_is_forgotten(self) -> None:
        world = World(chat=asyncio.Event()).run(GATE)
        assert world.errands.seen(KEY) == ({}, frozenset(), {})
        assert sum(world.pods.under_way.values()) == 0

    def test_it_can_be_begun_again(self) -> None:
        world = World(chat=[asyncio.Event(), ANSWER])
        world.run(GATE)
        assert world.run(GATE).pod().warm == NOW

    def test_a_route_that_is_gone_is_not_remembered_by_what_ends_after_it(self) -> None:
        gate = asyncio.Event()
        world = World(chat=gate)

        async def test() -> None:
            await asyncio.sleep(1)
            world.errands.forget(KEY)
            world.wanted = []
            gate.set()
            await asyncio.sleep(1)

        assert world.within(test, ping(slot=MORNING)).seen == ({}, frozenset(), {})

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
