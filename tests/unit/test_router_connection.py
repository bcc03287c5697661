"""A client's connection without its socket: how much waits for a client that reads slowly, and how long."""

from typing import Any, cast

import pytest

from benchmarks.fuzz import LIMITS, Router
from benchmarks.inmemory import Loop, Transport
from modelroute.router.http.http1 import ClientConnection

ONE_READ = 250_000
"""What the event loop reads of a backend at once, at most."""


class Slow(Transport):
    """A client that takes what the test says."""

    left = 0
    high = 0

    def set_write_buffer_limits(self, high: int) -> None:
        self.high = high

    def get_write_buffer_size(self) -> int:
        return self.left


def connected() -> tuple[Loop, ClientConnection, Slow]:
    loop = Loop()
    client = ClientConnection(Router(loop), cast("Any", loop))
    transport = Slow(loop, client)
    client.connection_made(cast("Any", transport))
    return loop, client, transport


def test_r21_what_waits_for_a_client_and_one_read_more_are_less_than_256_kib() -> None:
    _, _, transport = connected()
    assert 0 < transport.high + ONE_READ + len(b"3d090\r\n\r\n") <= 256 * 1024


@pytest.mark.parametrize(("rate", "stays"), [(0.0, False), (LIMITS.take * 0.9, False), (LIMITS.take * 1.1, True)])
def test_r21_a_client_that_takes_too_little_in_each_period_is_cut(rate: float, stays: bool) -> None:
    loop, client, transport = connected()
    transport.left = 10_000_000
    client.pause_writing()
    for _ in range(3):
        loop.run(LIMITS.write / 2)
        transport.left -= int(rate * LIMITS.write)
        loop.run(LIMITS.write / 2 + 1)
    assert transport.closing is not stays
