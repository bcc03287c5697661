"""What routers are told of replicas' own load: little, in steps, seldom, and nothing at rest."""

import json
from dataclasses import replace
from typing import Any

import pytest

from modelroute.planning.observed import Engine, Observed, Pod
from modelroute.planning.plan import Plan
from modelroute.planning.routing.loads import step
from modelroute.snapshot.types import Load
from tests.fakes import world
from tests.fakes.manifests import HOSTED, VLLM

ROUTE = world.route(backends=[VLLM | {"scaling": {"minReplicas": 2}}, HOSTED])
NOW = world.moment(world.NOW)
BUSY = Engine(running=8, waiting=9, cache=0.97)


def replica(number: int) -> Pod:
    return Pod(f"small-{number}", "backend", "small", f"10.0.0.{number}", 0.0, ready=True)


def heard(*engines: Engine | None, written: str = world.NOW, loads: dict[str, Any] | None = None) -> Observed:
    """Replicas that say this, and a snapshot that was written at ``written`` with these loads."""
    pods = tuple(replica(n) for n in range(len(engines)))
    slices = world.ready(*(pod.address for pod in pods))
    seen = world.settled(ROUTE, slices=slices, pods=pods)
    for child in seen.children:
        if child["kind"] == "ConfigMap":
            snapshot = json.loads(child["data"]["snapshot.json"])
            snapshot["backends"][0] |= {"loads": loads} if loads else {}
            child["data"]["snapshot.json"] = json.dumps(snapshot)
            child["metadata"]["managedFields"] = [{"time": written}]
    said = {pod.name: engine for pod, engine in zip(pods, engines, strict=True) if engine}
    return replace(seen, engines=said)


def planned(seen: Observed, seconds: float = 60) -> Plan:
    return world.planned_at(ROUTE, seen, NOW + seconds)


def loads(found: Plan) -> dict[str, Load]:
    return found.snapshot.backends[0].loads


class TestStep:
    @pytest.mark.parametrize(
        ("waiting", "shown"), [(0, 0), (1, 0), (2, 2), (3, 2), (4, 4), (7, 4), (9, 8), (1000, 512)]
    )
    def test_waiting_in_powers_of_two(self, waiting: int, shown: int) -> None:
        assert step(Engine(waiting=waiting)).waiting == shown

    @pytest.mark.parametrize(
        ("cache", "shown"), [(0.0, 0), (0.79, 0), (0.8, 0.8), (0.89, 0.8), (0.97, 0.9), (1.0, 1.0)]
    )
    def test_the_cache_in_tenths_where_it_runs_full(self, cache: float, shown: float) -> None:
        assert step(Engine(cache=cache)).cache == shown

    @pytest.mark.parametrize(("waiting", "shown"), [(4, 4), (5, 8), (8, 8), (16, 8), (23, 8), (24, 16), (0, 0)])
    def test_a_step_is_left_for_one_that_is_well_off_it(self, waiting: int, shown: int) -> None:
        assert step(Engine(waiting=waiting), Load(waiting=8)).waiting == shown

    @pytest.mark.parametrize(("cache", "shown"), [(0.81, 0.9), (0.79, 0), (1.0, 0.9), (0.9, 0.9)])
    def test_so_is_a_tenth(self, cache: float, shown: float) -> None:
        assert step(Engine(cache=cache), Load(cache=0.9)).cache == shown


class TestTold:
    def test_replicas_that_differ(self) -> None:
        assert loads(planned(heard(BUSY, Engine()))) == {"10.0.0.0:8000": Load(8, 0.9)}

    @pytest.mark.parametrize("engine", [BUSY, Engine(), Engine(running=3)])
    def test_nothing_where_all_are_alike(self, engine: Engine) -> None:
        assert loads(planned(heard(engine, engine))) == {}

    def test_nothing_of_a_single_one(self) -> None:
        assert loads(planned(heard(BUSY))) == {}

    def test_one_that_was_not_heard_is_not_like_the_others(self) -> None:
        assert loads(planned(heard(BUSY, None))) == {"10.0.0.0:8000": Load(8, 0.9)}

    def test_what_is_told_already_is_not_written_again(self) -> None:
        seen = heard(BUSY, Engine(), loads={"10.0.0.0:8000": {"waiting": 8, "cache": 0.9}})
        found = planned(seen)
        assert loads(found) == {"10.0.0.0:8000": Load(8, 0.9)}
        assert found.look_again is None

    def test_an_operator_that_has_just_begun_keeps_what_is_told(self) -> None:
        seen = heard(None, None, loads={"10.0.0.0:8000": {"waiting": 8}, "10.0.0.9:8000": {"waiting": 8}})
        assert loads(planned(seen)) == {"10.0.0.0:8000": Load(8)}

    def test_a_snapshot_that_somebody_broke_tells_nothing(self) -> None:
        seen = heard(None, None, loads={"10.0.0.0:8000": {"waiting": "many"}})
        assert loads(planned(seen)) == {}


class TestCalm:
    def test_a_change_waits_until_the_last_is_old_enough(self) -> None:
        found = planned(heard(BUSY, Engine()), seconds=9)
        assert (loads(found), found.look_again) == ({}, NOW + 10)

    def test_then_it_comes(self) -> None:
        found = planned(heard(BUSY, Engine()), seconds=10)
        assert (set(loads(found)), found.look_again) == ({"10.0.0.0:8000"}, None)

    def test_what_was_told_stays_meanwhile(self) -> None:
        seen = heard(Engine(), Engine(), loads={"10.0.0.0:8000": {"waiting": 8}})
        assert loads(planned(seen, seconds=9)) == {"10.0.0.0:8000": Load(8)}
        assert loads(planned(seen, seconds=11)) == {}
