"""What a router tells of requests for a backend that has no replica: the operator starts one by it."""

import re

import pytest

from modelroute.snapshot.types import Backend, Canary, ColdStart, Fallback, Limits, Rule, When
from tests.dataplane.conftest import Plane, backend
from tests.dataplane.faults import Held, asking, at_rest, gate, until
from tests.fakes import world
from tests.fakes.manifests import VLLM
from tests.fakes.upstream import answers

ON_COLD = (Fallback("big", ("ColdStart",)),)


def cold(policy: str, name: str = "small", weight: int = 1) -> Backend:
    """A backend without a replica."""
    held = ColdStart(policy=policy, max_wait=0.05)  # type: ignore[arg-type]
    return backend(name, weight=weight, cold_start=held)


async def counts(plane: Plane, key: str = "cold") -> dict[str, int]:
    return {b["name"]: b[key] for b in (await plane.status())["backends"] if b[key]}


@pytest.mark.parametrize("policy", ["Hold", "HoldThenFallback", "Fallback", "Reject"])
async def test_every_policy_counts_a_request_that_meets_no_replica(plane: Plane, policy: str) -> None:
    await plane.route(cold(policy), backend("big", await plane.upstream()), fallbacks=ON_COLD)
    for _ in range(3):
        await plane.chat()
    assert await counts(plane) == {"small": 3}


@pytest.mark.parametrize("policy", ["Hold", "HoldThenFallback", "Fallback", "Reject"])
async def test_every_policy_counts_where_nobody_else_can_answer(plane: Plane, policy: str) -> None:
    await plane.route(cold(policy))
    await plane.chat()
    assert await counts(plane) == {"small": 1}


async def test_keda_can_ask_for_all_that_its_query_names(plane: Plane) -> None:
    """From its start, 0 as well: what no router tells is an error, and from zero replicas nothing would be started."""
    scaling = {"engine": "KEDA", "minReplicas": 0, "serverAddress": "http://prometheus"}
    made = world.made(world.route(backends=[VLLM | {"scaling": scaling}]), "ScaledObject", "chat--small")
    asked = re.findall(r"(modelroute_\w+)\{([^}]*)\}", made["spec"]["triggers"][0]["metadata"]["query"])
    await plane.route(cold("Fallback"))
    page = (await plane.ask("GET", "/metrics", admin=True)).body.decode()
    for name, of in asked:
        namespace, *own = of.split(",")  # Prometheus adds that
        assert namespace == 'namespace="team-a"'
        assert f"\n{name}{{{','.join(sorted(own))}}} 0.0\n" in page
    await plane.chat()
    assert await plane.metric("modelroute_requests_cold_total", backend="small") == 1


async def test_a_share_that_another_weighted_backend_takes_is_still_the_cold_ones(plane: Plane) -> None:
    await plane.route(cold("Fallback", weight=999_999), backend("big", await plane.upstream(), weight=1))
    replies = [await plane.chat() for _ in range(3)]
    assert [reply.status for reply in replies] == [200] * 3
    assert await counts(plane) == {"small": 3}


async def test_what_was_never_for_it_is_not_counted(plane: Plane) -> None:
    await plane.route(cold("Fallback", weight=0), backend("big", await plane.upstream(), weight=1))
    await plane.chat()
    assert await counts(plane) == {}


async def test_a_warm_backend_counts_what_it_lets_through_and_no_cold_ones(plane: Plane) -> None:
    await plane.route(backend("small", await plane.upstream(), weight=1), cold("Fallback", "other", weight=0))
    await plane.chat()
    await plane.chat()
    assert (await counts(plane, "requests"), await counts(plane)) == ({"small": 2}, {})


async def test_the_first_that_a_rule_prefers_is_meant(plane: Plane) -> None:
    """Else the second answers for ever, and the first is never started."""
    rule = Rule("code", When(any_keyword=("def",)), prefer=("small", "big"))
    await plane.route(cold("Fallback", weight=0), backend("big", await plane.upstream(), weight=1), rules=(rule,))
    await plane.chat("def f")
    await plane.chat("hi")
    assert await counts(plane) == {"small": 1}


async def test_a_canary_without_a_replica_is_meant_for_its_users(plane: Plane) -> None:
    canary = Canary(backend="small", percent=0, allow=("u-17",))
    big = backend("big", await plane.upstream(), weight=1)
    await plane.route(cold("Fallback", weight=0), big, canary=canary)
    await plane.chat(user="u-17")
    await plane.chat(user="u-18")
    assert await counts(plane) == {"small": 1}


async def test_a_rule_that_keeps_away_from_it_counts_nothing(plane: Plane) -> None:
    rule = Rule("inside", When(any_keyword=("secret",)), exclude=("small",))
    await plane.route(cold("Fallback"), backend("big", await plane.upstream(), weight=1), rules=(rule,))
    for _ in range(8):  # the draw falls on small about every second time
        await plane.chat("secret")
    assert await counts(plane) == {}


async def test_a_cold_fallback_is_meant_when_what_it_stands_in_for_fails(plane: Plane) -> None:
    failing = backend("big", await plane.upstream(answers({}, 500)), weight=1)
    await plane.route(failing, cold("Fallback", weight=0), fallbacks=(Fallback("small", ("ServerError",)),))
    assert (await plane.chat()).status >= 500
    assert (await counts(plane)).get("small", 0) >= 1


async def test_two_cold_ones_start_the_one_that_was_asked_for(plane: Plane) -> None:
    """The other takes as long to start: it would be of no use."""
    await plane.route(cold("Fallback"), cold("Fallback", "big", weight=0), fallbacks=ON_COLD)
    await plane.chat()
    assert await counts(plane) == {"small": 1}


async def test_who_waits_for_a_busy_one_is_not_counted_as_cold(plane: Plane) -> None:
    held = Held()
    busy = backend("small", await plane.upstream(held), weight=1, limits=Limits(max_in_flight=1))
    await plane.route(busy, cold("Fallback", "other", weight=0))
    clients = [await asking(plane), await asking(plane)]
    await until(lambda: gate(plane).waiting == 1)
    assert await counts(plane) == {}
    held.go.set()
    assert [(await client.reply()).status for client in clients] == [200, 200]


async def test_counts_outlive_a_new_snapshot(plane: Plane) -> None:
    await plane.route(cold("Reject"))
    await plane.chat()
    await plane.route(backend("small", await plane.upstream(), weight=1))
    await plane.chat()
    assert (await counts(plane), await counts(plane, "requests")) == ({"small": 1}, {"small": 1})


async def test_who_is_held_is_counted_once_and_waits(plane: Plane) -> None:
    await plane.route(backend("small", weight=1, cold_start=ColdStart(policy="Hold")))
    client = await asking(plane)
    await until(lambda: gate(plane).waiting == 1)
    assert await counts(plane) == {"small": 1}
    await plane.route(backend("small", await plane.upstream(), weight=1))
    assert (await client.reply()).status == 200
    assert await counts(plane) == {"small": 1}
    await at_rest(plane)
