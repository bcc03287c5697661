"""What pods answer is read with care: bounded, checked, and nothing of it passed on but what was asked for."""

import json
from typing import Any

import pytest

from modelroute.controller.asking.answers import engine_of, told_of
from modelroute.controller.asking.client import MOST_BYTES, Answer, UnansweredError
from modelroute.controller.asking.words import MOST_WORDS
from modelroute.controller.watching.cache import Key
from modelroute.planning.observed import Engine, Told, Traffic

KEY = Key("team-a", "chat")
STATUS: dict[str, Any] = {
    "namespace": "team-a",
    "name": "chat",
    "revision": "0123456789ab",
    "generation": 14,
    "ready": True,
    "refusedSnapshot": None,
    "backends": [
        {
            "name": "small",
            "inFlight": 3,
            "waiting": 2,
            "requests": 99,
            "cold": 7,
            "quietSeconds": 1.5,
            "trouble": None,
            "replicas": [{"address": "10.0.0.1:8000", "inFlight": 3, "ejected": False, "ejectedSeconds": 0.0}],
        }
    ],
    "clientKeys": None,
}
NOTHING_YET = STATUS | {"namespace": None, "name": None, "revision": None, "generation": None, "backends": []}


def told(status: Any, code: int = 200) -> Told:
    return told_of(Answer(code, status if isinstance(status, bytes) else json.dumps(status).encode(), 0.0), KEY)


class TestRouters:
    def test_what_it_runs_and_has_to_do(self) -> None:
        traffic = Traffic(3, 2, 99, 7, {"10.0.0.1:8000": 3}, 1.5)
        assert told(STATUS) == Told("0123456789ab", 14, backends={"small": traffic})

    def test_a_router_that_counts_less(self) -> None:
        older = STATUS | {"backends": [{"name": "small", "inFlight": 1, "waiting": 0, "replicas": []}]}
        assert told(older).backends == {"small": Traffic(1)}

    def test_a_router_that_runs_nothing_yet_says_why(self) -> None:
        assert told(NOTHING_YET | {"refusedSnapshot": "no"}) == Told(error="no")

    def test_what_it_refuses_for_is_one_short_line(self) -> None:
        found = told(STATUS | {"refusedSnapshot": f"a\n\x1b[31mb\u202e {'c' * 999}"}).error
        assert found.startswith("a [31mb")
        assert len(found) == MOST_WORDS
        assert found.isprintable()

    @pytest.mark.parametrize(
        "other",
        [
            b"",
            b"{}",
            b"[]",
            b"<html>sk-7f3a",
            STATUS | {"revision": "sk-7f3a"},
            STATUS | {"generation": -1},
            STATUS | {"generation": "sk-7f3a"},
            STATUS | {"generation": 10**12},
            STATUS | {"backends": [{"name": "x" * 300}]},
            STATUS | {"backends": [{"name": "a"}] * 65},
            STATUS | {"backends": [{"name": "a", "inFlight": "sk-7f3a"}]},
            STATUS | {"backends": [{"name": "a", "quietSeconds": -1}]},
        ],
    )
    def test_anything_else_is_no_answer_and_not_repeated(self, other: Any) -> None:
        with pytest.raises(UnansweredError) as error:
            told(other)
        assert str(error.value) == "/status said something that is not a router's status"

    @pytest.mark.parametrize("other", [{"namespace": "team-b"}, {"name": "code"}])
    def test_an_address_that_another_routes_router_has_now(self, other: dict[str, str]) -> None:
        with pytest.raises(UnansweredError, match="a router of another ModelRoute"):
            told(STATUS | other)

    def test_an_error_is_told_by_its_number_alone(self) -> None:
        with pytest.raises(UnansweredError, match=r"\A/status said 404\Z"):
            told(STATUS, 404)

    def test_an_answer_that_was_cut_is_none(self) -> None:
        with pytest.raises(UnansweredError, match="more than"):
            told(json.dumps(STATUS).encode().ljust(MOST_BYTES))


PAGE = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="tiny"} 4.0
vllm:num_requests_running{engine="1",model_name="tiny"} 1.0
vllm:num_requests_waiting{engine="0",model_name="tiny"} 3.0
vllm:num_requests_waiting{engine="1",model_name="tiny"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="tiny",reason="capacity"} 99.0
vllm:engine_sleep_state{engine="0",model_name="tiny",sleep_state="awake"} 1.0
vllm:engine_sleep_state{engine="0",model_name="tiny",sleep_state="weights_offloaded"} 0.0
vllm:kv_cache_usage_perc{engine="0",model_name="tiny"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="tiny"} 0.75
"""


def engine(page: str, code: int = 200) -> Engine:
    return engine_of(Answer(code, page.encode(), 0.0))


class TestEngines:
    def test_all_engines_behind_one_port(self) -> None:
        assert engine(PAGE) == Engine(running=5, waiting=5, cache=0.75, sleeping=False)

    def test_older_ones_do_not_say_whether_they_sleep(self) -> None:
        lines = [line for line in PAGE.splitlines() if "sleep_state" not in line]
        assert engine("\n".join(lines)).sleeping is None

    @pytest.mark.parametrize("state", ["weights_offloaded", "discard_all"])
    def test_one_that_sleeps(self, state: str) -> None:
        assert engine(f'{PAGE}vllm:engine_sleep_state{{sleep_state="{state}"}} 1.0').sleeping

    @pytest.mark.parametrize("number", ["NaN", "+Inf", "-3", "1e300", "many", ""])
    def test_what_is_no_count_counts_as_none(self, number: str) -> None:
        assert engine(f"{PAGE}vllm:num_requests_waiting{{}} {number}").waiting == 5

    def test_a_cache_is_full_at_the_most(self) -> None:
        assert engine(f"{PAGE}vllm:kv_cache_usage_perc{{}} 97").cache == 1.0

    def test_a_page_of_something_else_is_no_answer(self) -> None:
        with pytest.raises(UnansweredError, match="nothing of vllm:num_requests_running"):
            engine("http_requests_total 5\n")

    def test_an_error_is_told_by_its_number_alone(self) -> None:
        with pytest.raises(UnansweredError, match=r"\A/metrics said 401\Z"):
            engine(PAGE, 401)
