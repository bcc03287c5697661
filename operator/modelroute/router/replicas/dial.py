"""Opens connections to backends, to addresses that are allowed, and with certificates that are right.

Called by ``attempt`` when no idle connection is there. Never retries and keeps no time: the caller cancels it.
"""

import asyncio
import ssl

from modelroute.router.http.upstream import Upstream
from modelroute.router.replicas.endpoints import Endpoint

_FRESH_TRIES = 2
# What X509_verify_cert(3) calls them: X509_V_ERR_CERT_NOT_YET_VALID and so on.
_REASONS = {
    2: "UnknownAuthority",
    9: "NotYetValid",
    10: "Expired",
    18: "SelfSigned",
    19: "UnknownAuthority",
    20: "UnknownAuthority",
    21: "UnknownAuthority",
    62: "WrongName",
    64: "WrongName",
}


class DialError(Exception):
    """No connection; the text says why and is for logs, not for clients.

    ``certificate`` is what is wrong with the backend's, in a word; empty when it is something else.
    """

    def __init__(self, problem: str, certificate: str = "") -> None:
        super().__init__(problem)
        self.certificate = certificate


async def dial(endpoint: Endpoint, tls: ssl.SSLContext | None) -> Upstream:
    """A fresh connection; DialError when there is none to be had.

    The address that was checked is the one that is connected to, so that a name cannot change in between.
    """
    loop = asyncio.get_running_loop()
    place, where = endpoint.place, endpoint.where
    addresses = await where.find()
    if not addresses:
        raise DialError(where.problem)
    problem: OSError | None = None
    for address in addresses[:_FRESH_TRIES]:
        connection = Upstream(endpoint, loop)
        connection.address = address
        try:
            await loop.create_connection(
                lambda made=connection: made,
                address,
                place.port,
                ssl=tls if place.tls else None,
                server_hostname=(place.name or place.host) if place.tls else None,
            )
        except OSError as error:  # ssl.SSLError is one, too
            where.shun(address)
            problem = error
        except asyncio.CancelledError:
            where.shun(address)  # it did not answer in time, or the client lost patience with it
            connection.close()  # it may have been made in the moment in which it was given up
            raise
        else:
            return connection
    raise _error(f"{place.host}:{place.port}", problem) from problem


def _error(where: str, problem: OSError | None) -> DialError:
    if isinstance(problem, ssl.SSLCertVerificationError):
        reason = _REASONS.get(problem.verify_code, "Invalid")
        return DialError(f"the certificate of {where} is refused ({reason}): {problem.verify_message}", reason)
    return DialError(f"{where} cannot be connected to: {problem}")
