"""Where a backend's host is: looked up aside and again and again, held to the addresses that are allowed.

One for each endpoint; asked by ``dial``, refreshed by ``endpoints`` while the endpoint is in use. What was found last
stays while DNS fails. An answer of forbidden addresses alone is believed: then the host is nowhere.
Never connects to what it finds.
"""

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Callable

log = logging.getLogger(__name__)

REFRESH_SECONDS = 5.0
STALE_SECONDS = 30.0
_RETRY_SECONDS = 1.0
_PATIENCE_SECONDS = 1.0
_METADATA = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("100.100.100.200", "fd00:100::100:200"),  # Alibaba
        *("192.0.0.192", "fd00:c1::a9fe:a9fe"),  # Oracle
        "168.63.129.16",  # Azure
        "fd00:ec2::/32",  # AWS
        "fd20:ce::/32",  # Google
        "fd00:42::42",  # Scaleway
        "fd00:a9fe:a9fe::1",  # Akamai
    )
)
"""Where clouds answer their own machines, beside the link-local addresses."""
_NAT64_LOCAL = ipaddress.IPv6Network("64:ff9b:1::/48")
_NOWHERE = ipaddress.IPv4Address(0)
_WRAPPERS = tuple(map(ipaddress.IPv6Network, ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")))
"""What ends in an IPv4 address: compatible, mapped, translated, of NAT64 (RFC 4291, 6145 and 6052)."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_forbidden(text: str, *, loopback: bool = False) -> bool:
    """Whether a hosted API cannot be at this address: link-local, metadata, and ``loopback`` unless allowed."""
    address: Address = ipaddress.ip_address(text.partition("%")[0])
    wrapped = _wrapped(address) if isinstance(address, ipaddress.IPv6Address) else ()
    return any(_leads_inside(each, loopback=loopback) for each in (address, *wrapped))


def _leads_inside(address: Address, *, loopback: bool) -> bool:
    return (
        any(address in network for network in _METADATA)
        or (address.is_loopback and not loopback)
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
    )


def _wrapped(address: ipaddress.IPv6Address) -> set[ipaddress.IPv4Address]:
    """The IPv4 addresses to which a gateway on the way may bring what is sent to this one."""
    bits = int(address)
    last = ipaddress.IPv4Address(bits & 0xFFFFFFFF)
    if any(address in network for network in _WRAPPERS):
        return {last}
    if address in _NAT64_LOCAL:
        # Its gateway reads it by the length of its prefix: the end for 96 bits, around the octet u (RFC 6052) for 48.
        middle = ipaddress.IPv4Address((bits >> 48 & 0xFFFF0000) | (bits >> 40 & 0xFFFF))
        return {last, middle} - {_NOWHERE} or {_NOWHERE}
    return {address.sixtofour} if address.sixtofour is not None else set()


def _is_numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def resolve(host: str, port: int) -> list[str]:
    """The addresses that the system's resolver knows for a name; OSError when it knows none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in found]


class Whereabouts:
    """The addresses of one host. ``addresses`` are those allowed, the best first; ``problem`` says why there is none.

    ``changed`` is called when they are others than before.
    """

    __slots__ = (
        "_asked", "_changed", "_failing", "_found", "_host", "_looking", "_loopback", "_port", "_shunned",
        "addresses", "is_name", "problem",
    )  # fmt: skip

    def __init__(self, host: str, port: int, changed: Callable[[], None], *, loopback: bool = False) -> None:
        self._host = host
        self._port = port
        self._changed = changed
        self._loopback = loopback
        self._asked = self._found = float("-inf")
        self._failing = False
        self._shunned = ""
        self._looking: asyncio.Task[None] | None = None
        self.is_name = not _is_numeric(host)
        self.problem = ""
        self.addresses: tuple[str, ...] = () if self.is_name else self._allowed([host])

    async def find(self) -> tuple[str, ...]:
        """The addresses, at once where they were looked up not long ago; empty when there is none."""
        if self.is_name:
            now = asyncio.get_running_loop().time()
            if not self.addresses:
                await self._look_up(now, None)
            elif now - self._found > STALE_SECONDS:
                await self._look_up(now, _PATIENCE_SECONDS)
        return self.addresses

    async def _look_up(self, now: float, patience: float | None) -> None:
        self._begin(now, _RETRY_SECONDS)
        if self._looking is not None:
            # Others may wait for it too, so that it goes on when this one is given up.
            await asyncio.wait({self._looking}, timeout=patience)

    def refresh(self, now: float) -> None:
        """Look the name up aside, unless that was done not long ago."""
        self._begin(now, REFRESH_SECONDS)

    def _begin(self, now: float, age: float) -> None:
        if self.is_name and self._looking is None and now - self._asked >= age:
            self._asked = now
            self._looking = asyncio.get_running_loop().create_task(self._look())

    def shun(self, address: str) -> None:
        """Nobody answered at ``address``: try it last from now on."""
        self._shunned = address
        self.addresses = self._sorted(self.addresses)

    async def _look(self) -> None:
        try:
            found = await resolve(self._host, self._port)
        except (OSError, UnicodeError) as error:  # the latter of what cannot be a name
            if not self.addresses:
                self.problem = f"{self._host} has no address: {error}"
            elif not self._failing:
                log.warning("%s cannot be resolved, its last addresses stay: %s", self._host, error)
            self._failing = True
        else:
            self._failing = False
            self._found = asyncio.get_running_loop().time()
            before, self.addresses = self.addresses, self._allowed(found)
            if set(before) != set(self.addresses):
                self._changed()
        finally:
            self._looking = None

    def _allowed(self, found: list[str]) -> tuple[str, ...]:
        self.problem = f"{self._host} is at an address that is not allowed for an external backend"
        kept = (a for a in found if not is_forbidden(a, loopback=self._loopback))
        return self._sorted(tuple(dict.fromkeys(kept)))

    def _sorted(self, addresses: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(addresses, key=self._shunned.__eq__))
