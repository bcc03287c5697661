"""What is kept of an EndpointSlice, as the API server gives it."""

from typing import Any

import pytest

from modelroute.planning.observed import Slice
from modelroute.planning.routing.endpoints import slice_of


def piece(**rest: Any) -> dict[str, Any]:
    """With one endpoint, "10.0.0.1"."""
    ends = [{"addresses": ["10.0.0.1"]} | rest]
    return {"addressType": "IPv4", "ports": [{"name": "http", "port": 8000}], "endpoints": ends}


def test_it_is_the_family_the_ports_and_who_can_answer() -> None:
    found = slice_of(piece(conditions={"ready": True}, targetRef={"kind": "Pod", "name": "small-1", "uid": "u"}))
    assert found == Slice("IPv4", (("http", 8000),), (("10.0.0.1", "small-1"),))


@pytest.mark.parametrize("conditions", [{"ready": False}, {"ready": True, "terminating": True}])
def test_what_starts_or_ends_gets_nothing(conditions: dict[str, bool]) -> None:
    assert slice_of(piece(conditions=conditions)).endpoints == ()


def test_an_endpoint_without_conditions_is_ready() -> None:
    assert slice_of(piece()).endpoints == (("10.0.0.1", ""),)


def test_a_pod_with_two_addresses_is_one_endpoint() -> None:
    assert slice_of(piece(addresses=["10.0.0.1", "10.0.0.9"])).endpoints == (("10.0.0.1", ""),)


def test_a_port_may_have_no_name() -> None:
    assert slice_of(piece() | {"ports": [{"port": 80}]}).ports == (("", 80),)


@pytest.mark.parametrize("lacks", [{"endpoints": None}, {"ports": None}, {"ports": [{"name": "http"}]}])
def test_it_may_be_empty(lacks: dict[str, Any]) -> None:
    found = slice_of(piece() | lacks)
    assert () in (found.ports, found.endpoints)
