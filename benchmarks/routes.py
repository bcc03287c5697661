"""What our router is given in the benchmarks: snapshots with every feature on, and clients' keys.

Called by ``proxies`` and by every benchmark of the router. A new feature is one more field here. Never starts anything.
"""

import hashlib
import hmac
from collections.abc import Sequence
from pathlib import Path

from modelroute.api.types import ALL_FAILURES
from modelroute.snapshot import types as s
from modelroute.snapshot.codec import encode

MODEL = "chat"
USER_HEADER = "x-user"
PEPPER = b"a pepper of the benchmarks, of more than thirty-two bytes"
MANY = 100_000
"""A limit that is there, and is counted, and is never reached."""

TIMEOUTS = s.Timeouts(connect=1.0, first_token_streamed=60.0, first_token_whole=600.0, stream_idle=60.0, total=3600.0)


AFFINE = s.Balancing(type="PrefixHash")
"""The dearest way to choose a replica: by a hash of the prompt's beginning, with bounded loads."""


def backend(
    name: str,
    endpoints: Sequence[str],
    weight: int = 1,
    timeouts: s.Timeouts = TIMEOUTS,
    balancing: s.Balancing = AFFINE,
) -> s.Backend:
    """A backend whose replicas are ``endpoints`` (host:port on loopback), with limits, probes and affinity on."""
    return s.Backend(
        name=name,
        weight=weight,
        timeouts=timeouts,
        endpoints=tuple(endpoints),
        external=True,
        loopback_allowed=True,
        model="upstream-model",
        version="bench",
        parameters=s.Parameters(max_max_tokens=4096),
        balancing=balancing,
        limits=s.Limits(max_in_flight=MANY),
        health=s.Health(),
        cold_start=s.ColdStart(policy="HoldThenFallback"),
        data_policy="Internal",
    )


def route(backends: Sequence[s.Backend], spare: s.Backend | None = None, generation: int = 1) -> s.Snapshot:
    """A route with keys, retries and a fail-closed rule; ``spare`` takes over on every failure."""
    secret = s.Rule(name="secret", when=s.When(any_keyword=("confidential project",)), fail_closed=True)
    paying = s.Rule(name="paying", when=s.When(tiers=("gold",)), prefer=(backends[0].name,))
    return s.Snapshot(
        namespace="bench",
        name=MODEL,
        generation=generation,
        models=(MODEL,),
        backends=(*backends, *([spare] if spare else ())),
        rules=(secret, paying),
        fallbacks=(s.Fallback(backend=spare.name, failures=ALL_FAILURES),) if spare else (),
        retry=s.Retry(),
        total=3600.0,
        auth=s.Auth(keys_file="clients/keys.yaml", pepper_file="clients/pepper"),
        user_header=USER_HEADER,
    )


def key(number: int = 0) -> str:
    """The key of client ``number``."""
    return f"sk-bench-{number:08d}-0123456789abcdef0123456789abcdef"


def write(directory: Path, snapshot: s.Snapshot, keys: int = 1) -> None:
    """Put ``snapshot.json`` and, below ``secrets/clients``, the hashes of ``keys`` keys into ``directory``."""
    clients = directory / "secrets/clients"
    clients.mkdir(parents=True, exist_ok=True)
    (clients / "pepper").write_bytes(PEPPER)
    entries = []
    for number in range(keys):
        digest = hmac.new(PEPPER, key(number).encode(), hashlib.sha256).hexdigest()
        entries.append(
            f'- {{name: client-{number}, hash: "hmac-sha256:{digest}", user: user-{number}, tier: silver, '
            f"limits: {{requestsPerMinute: {MANY}000, tokensPerMinute: {MANY}00000}}}}\n"
        )
    (clients / "keys.yaml").write_text("".join(entries))
    put(directory, snapshot)


def put(directory: Path, snapshot: s.Snapshot) -> None:
    """Replace the snapshot in one step, as a mounted ConfigMap does."""
    new = directory / "snapshot.new"
    new.write_bytes(encode(snapshot))
    new.rename(directory / "snapshot.json")
