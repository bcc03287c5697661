"""What is made of what may not be seen."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from modelroute.controller.beside import Beside
from modelroute.controller.kube.calls import ApiError, Call
from modelroute.controller.kube.kinds import CONFIG_MAP, POD, SERVICE, SLICE, Kind
from modelroute.controller.observing import Observer, View
from modelroute.controller.watching.cache import Cache
from modelroute.planning.observed import KubeObject, Observed
from tests.fakes.kube import FakeCluster
from tests.fakes.manifests import HOSTED, VLLM
from tests.fakes.world import BEHIND, route

THERE: KubeObject = {"kind": "Deployment", "metadata": {"namespace": "team-a", "name": "chat--small"}}
SNAPSHOT: KubeObject = {"kind": "ConfigMap", "metadata": {"namespace": "team-a", "name": "chat-router-snapshot"}}


def without(kind: Kind, *backends: dict[str, Any]) -> View:
    """What is seen of a route of these backends while ``kind`` may not be listed."""
    cluster, cache = FakeCluster(), Cache()
    cache.note_refusal(kind, None, ApiError(Call("list", kind, None), 403, "no"))
    observer = Observer(cluster, cache, Beside(cluster, cache, lambda _: None, lambda: 0.0))
    return asyncio.run(observer.look(route(backends=list(backends))))


def test_o28_what_routers_know_the_addresses_of_stays_while_others_may_not_be_seen() -> None:
    """Routers keep the addresses that they have, so no pod behind them may be replaced or taken away."""
    lost = (ApiError(Call("list", POD, "team-a"), 403, "no"),)
    view = View(Observed(children=(THERE,)), lost, frozenset({"Pod"}))
    assert (view.blind, view.hides(THERE)) == (True, True)
    assert not View(Observed(), lost, frozenset({"Pod"})).hides(THERE), "a first one is made"
    assert not View(Observed(children=(THERE,))).hides(THERE)


@pytest.mark.parametrize(
    ("kind", "backend", "needed"),
    [
        (SERVICE, VLLM, False),
        (SERVICE, HOSTED, False),
        (SERVICE, BEHIND, True),
        (SLICE, VLLM, True),
        (SLICE, HOSTED, False),
        (SLICE, BEHIND, True),
        (POD, VLLM, True),
        (POD, HOSTED, False),
        (POD, BEHIND, False),
    ],
)
def test_o28_a_route_whose_addresses_are_known_goes_on(kind: Kind, backend: dict[str, Any], *, needed: bool) -> None:
    view = without(kind, backend)
    assert [error.target for error in view.refusals] == [kind.name], "it is told all the same"
    there = replace(view, observed=replace(view.observed, children=(SNAPSHOT,)))
    assert (view.blind, there.hides(SNAPSHOT), view.hides(SNAPSHOT)) == (needed, needed, False)
    assert view.hides(SNAPSHOT | {"kind": SERVICE.name}) == (kind is SERVICE)


@pytest.mark.parametrize("kind", [SLICE, POD, CONFIG_MAP], ids=lambda kind: kind.name)
def test_o28_what_may_not_be_watched_is_listed_and_hides_nothing(kind: Kind) -> None:
    view = View(Observed(children=(SNAPSHOT,)), (ApiError(Call("watch", kind, None), 403, "no"),), frozenset({"Pod"}))
    assert (view.blind, view.hides(SNAPSHOT)) == (False, False)


def test_o28_one_backend_that_needs_a_kind_is_enough() -> None:
    assert without(SERVICE, VLLM, BEHIND).blind
