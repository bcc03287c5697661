"""The router's edges without their sockets: endpoints, forbidden addresses, the reading of requests."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelroute.api.parse import parse
from modelroute.planning.routing.snapshot import snapshot_of
from modelroute.policy.ejection import Vitals
from modelroute.router.http.framing import Limits
from modelroute.router.http.reader import Reader
from modelroute.router.http.request import Request
from modelroute.router.http.room import Room
from modelroute.router.replicas.endpoints import Endpoint, Endpoints, place_of
from modelroute.router.replicas.names import is_forbidden
from modelroute.router.surface.openai import Refusal
from modelroute.snapshot.types import Backend, Health, Timeouts
from tests.fakes.manifests import hosted, manifest

TIMES = Timeouts(1, 1, 1, 1)

# Endpoints.


def backend(*endpoints: str, **more: object) -> Backend:
    return Backend("b", 1, TIMES, endpoints, **more)  # type: ignore[arg-type]


def nothing(_: Endpoint) -> None:
    """Nobody wants to hear of ejections here."""


def test_an_endpoint_is_remembered_while_it_has_requests_in_flight() -> None:
    known = Endpoints(nothing)
    (endpoint,) = known.of(backend("10.0.0.1:80"))
    endpoint.in_flight = 1
    known.keep(())
    assert known.of(backend("10.0.0.1:80")) == (endpoint,)
    endpoint.in_flight = 0
    known.keep(())
    assert known.of(backend("10.0.0.1:80")) != (endpoint,)


@pytest.mark.parametrize("address", ["", "host", ":80", "host:", "host:x", "host:0", "host:65536"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match='backend "b": endpoint'):
        place_of(backend(), address)


@pytest.mark.parametrize(
    ("address", "more", "header"),
    [
        ("10.0.0.1:8000", {}, b"10.0.0.1:8000"),
        ("[::1]:8000", {}, b"[::1]:8000"),
        ("a.example:443", {"tls": True, "host": "api.example"}, b"api.example"),
        ("a.example:8443", {"tls": True, "host": "api.example"}, b"api.example:8443"),
    ],
)
def test_the_host_header_has_a_port_that_is_not_the_usual_one(
    address: str, more: dict[str, object], header: bytes
) -> None:
    assert Endpoint(place_of(backend(**more), address), Vitals(Health()), nothing).host_header == header


def test_the_dot_that_ends_a_name_is_for_dns_alone() -> None:
    (found,) = snapshot_of(parse(manifest(**hosted("https://api.example.com./v1"))), {}).backends
    place = place_of(found, found.endpoints[0])
    header = Endpoint(place, Vitals(Health()), nothing).host_header
    assert (place.host, place.name, header) == ("api.example.com.", "api.example.com", b"api.example.com")


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.9.9.9", "::1", "169.254.169.254", "fe80::1", "fe80::1%eth0", "0.0.0.0", "::", "224.0.0.1"),
        *("ff02::1", "100.100.100.200", "fd00:ec2::254", "::ffff:127.0.0.1", "::ffff:169.254.169.254"),
        *("64:ff9b::7f00:1", "168.63.129.16", "192.0.0.192", "fd00:ec2::23", "fd20:ce::254", "fd00:42::42"),
        *(
            "fd00:c1::a9fe:a9fe",
            "fd00:100::100:200",
            "fd00:a9fe:a9fe::1",
            "::127.0.0.1",
            "::ffff:0:169.254.169.254",
            "::ffff:168.63.129.16",
            "64:ff9b:1::",
        ),
        *("2002:a9fe:a9fe::1", "2002:7f00:1::", "64:ff9b:1::7f00:1", "64:ff9b:1:2:3:4:a9fe:a9fe"),
        *("64:ff9b:1:7f00:0:100::", "64:ff9b:1:a9fe:a9:fe00:808:808"),
    ],
)
def test_addresses_where_no_hosted_api_is_are_forbidden(address: str) -> None:
    assert is_forbidden(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "2002:7f00:1::"])
def test_this_machine_can_be_allowed(address: str) -> None:
    assert not is_forbidden(address, loopback=True)


@pytest.mark.parametrize("address", ["169.254.169.254", "100.100.100.200", "0.0.0.0", "fe80::1"])
def test_that_this_machine_is_allowed_opens_no_other_address(address: str) -> None:
    assert is_forbidden(address, loopback=True)


@pytest.mark.parametrize(
    "address",
    [
        *("8.8.8.8", "10.0.0.1", "192.168.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "192.0.0.193", "fd00:ec3::254"),
        *("64:ff9b::808:808", "64:ff9b:1::808:808", "64:ff9b:1:808:8:800::", "2002:808:808::1", "::8.8.8.8"),
        *("64:ff9b:2::7f00:1", "2003:7f00:1::1", "::ffff:0:8.8.8.8"),
    ],
)
def test_other_addresses_are_allowed(address: str) -> None:
    assert not is_forbidden(address)


class Connection:
    """Stands in for a connection to a backend."""

    def __init__(self) -> None:
        self.idle_since = 0.0
        self.closed = self.noisy = False

    def close(self) -> None:
        self.closed = True

    def is_quiet(self) -> bool:
        return not self.noisy


def with_idle(*times: float) -> tuple[Endpoint, list[Connection]]:
    """An endpoint whose connections became idle at ``times``."""
    (endpoint,) = Endpoints(nothing).of(backend("10.0.0.1:80"))
    connections = [Connection() for _ in times]
    for connection, now in zip(connections, times, strict=True):
        endpoint.give_back(connection, now)  # type: ignore[arg-type]
    return endpoint, connections


def test_the_connection_that_was_used_last_is_taken_first() -> None:
    endpoint, (old, young) = with_idle(1, 2)
    taken_: list[object] = [endpoint.take() for _ in range(3)]
    assert taken_ == [young, old, None]


def test_a_connection_on_which_something_came_unasked_is_not_taken() -> None:
    endpoint, (old, young) = with_idle(1, 2)
    young.noisy = True
    taken: object = endpoint.take()
    assert (taken, young.closed) == (old, True)


def test_connections_that_were_idle_for_too_long_are_closed() -> None:
    endpoint, connections = with_idle(1, 2, 3)
    endpoint.reap(before=2)
    assert [c.closed for c in connections] == [True, True, False]


def test_the_pace_is_of_tokens_however_many_an_answer_has() -> None:
    (endpoint,) = Endpoints(nothing).of(backend("10.0.0.1:80"))
    for seconds, tokens in ((0.2, 2), (40.0, 400), (0.1, 1)):
        endpoint.took(seconds, tokens)
    assert endpoint.pace == pytest.approx(0.1)


def test_the_pace_follows_a_replica_that_becomes_slow() -> None:
    (endpoint,) = Endpoints(nothing).of(backend("10.0.0.1:80"))
    for seconds in (1.0,) * 20 + (10.0,) * 5:
        endpoint.took(seconds, 10)
    assert endpoint.pace == pytest.approx(0.7, abs=0.1)


def test_a_retired_endpoint_keeps_nothing() -> None:
    endpoint, connections = with_idle(1)
    endpoint.retire()
    late = Connection()
    endpoint.give_back(late, 2)  # type: ignore[arg-type]
    assert [c.closed for c in (*connections, late)] == [True, True]
    assert endpoint.take() is None


def test_only_so_many_idle_connections_are_kept() -> None:
    _, connections = with_idle(*range(300))
    assert sum(c.closed for c in connections) == 300 - 256


def test_what_fails_is_logged_but_not_for_each_request(caplog: pytest.LogCaptureFixture) -> None:
    (endpoint,) = Endpoints(nothing).of(backend("10.0.0.1:80"))
    for now in (100.0, 100.1, 109.9, 110.0):
        endpoint.report("it is down", now)
    assert [r.message for r in caplog.records] == ["endpoint 10.0.0.1:80 failed: it is down"] * 2


# Reading.


class Taken:
    def __init__(self) -> None:
        self.requests: list[Request] = []

    def begun(self) -> None:
        pass

    def admit(self, _: Request) -> Refusal | None:
        return None

    def invite(self, _: Request) -> None:
        pass

    def take(self, request: Request) -> None:
        self.requests.append(request)


def taken(*pieces: bytes) -> list[Request]:
    taker = Taken()
    limits = Limits(body=1000, head=500, fields=5)
    reader = Reader(taker, limits, Room(limits))
    for piece in pieces:
        reader.feed(piece)
    return taker.requests


TWO = b"POST /a HTTP/1.1\r\nhost: r\r\ncontent-length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nhost: r\r\n\r\n"


@given(cuts=st.lists(st.integers(0, len(TWO))))
def test_requests_are_read_the_same_wherever_they_are_cut(cuts: list[int]) -> None:
    edges = pairwise([0, *sorted(cuts), len(TWO)])
    requests = taken(*(TWO[start:end] for start, end in edges if start < end))
    assert [(r.method, r.target, r.body, r.refusal) for r in requests] == [
        ("POST", b"/a", b"abc", None),
        ("GET", b"/b", b"", None),
    ]


@given(
    pieces=st.lists(
        st.binary(max_size=50) | st.sampled_from([TWO, TWO[:30], b"GET / HTTP/1.1\r\n", b"\r\n"]), max_size=8
    )
)
def test_any_bytes_are_requests_or_one_last_refusal(pieces: list[bytes]) -> None:
    requests = taken(*pieces)
    closing = [r.refusal is not None and r.refusal.close for r in requests]
    assert not any(closing[:-1])
