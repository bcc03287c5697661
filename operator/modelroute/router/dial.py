"""Opens connections to backends: resolves the name, refuses forbidden addresses, checks certificates.

Called by ``attempt`` when no idle connection is there. Never retries and keeps no time: the caller cancels it.
"""

import asyncio
import ipaddress
import socket
import ssl

from modelroute.router.endpoints import Endpoint
from modelroute.router.upstream import Upstream

_METADATA = frozenset({ipaddress.ip_address("100.100.100.200"), ipaddress.ip_address("fd00:ec2::254")})
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_FRESH_TRIES = 2

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class DialError(Exception):
    """No connection; the text says why and is for logs, not for clients."""


def is_forbidden(text: str, *, loopback: bool = False) -> bool:
    """Whether a hosted API cannot be at this address: link-local, metadata, and ``loopback`` unless allowed."""
    address: Address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        elif address in _NAT64:
            address = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return (
        address in _METADATA
        or (address.is_loopback and not loopback)
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
    )


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


async def _addresses(endpoint: Endpoint) -> list[str]:
    """Where the endpoint is: its address, or what its name leads to, the last time if that cannot be told now."""
    place = endpoint.place
    if _is_numeric(place.host):
        endpoint.addresses = [place.host]
    else:
        try:
            endpoint.addresses = await resolve(place.host, place.port)
        except OSError as error:
            if not endpoint.addresses:
                raise DialError(f"{place.host} has no address: {error}") from error
    allowed = [a for a in endpoint.addresses if not (place.guarded and is_forbidden(a, loopback=place.loopback))]
    if not allowed:
        raise DialError(f"{place.host} is at an address that is not allowed for an external backend")
    return allowed


async def dial(endpoint: Endpoint, tls: ssl.SSLContext | None) -> Upstream:
    """A fresh connection; DialError when there is none to be had.

    The address that was checked is the one that is connected to, so that a name cannot change in between.
    """
    loop = asyncio.get_running_loop()
    place = endpoint.place
    addresses = await _addresses(endpoint)
    problem: OSError | None = None
    for address in addresses[:_FRESH_TRIES]:
        connection = Upstream(endpoint, loop)
        try:
            await loop.create_connection(
                lambda made=connection: made,
                address,
                place.port,
                ssl=tls if place.tls else None,
                server_hostname=(place.name or place.host) if place.tls else None,
            )
        except OSError as error:  # ssl.SSLError is one, too
            problem = error
        except asyncio.CancelledError:
            connection.close()  # it may have been made in the moment in which it was given up
            raise
        else:
            return connection
    raise DialError(f"{place.host}:{place.port} cannot be connected to: {problem}") from problem
