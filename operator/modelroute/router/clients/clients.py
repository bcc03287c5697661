"""Who is asking: clients' keys, what each allows, and what is left of its limits.

Made by ``keys`` for the files that a snapshot names, asked by ``service`` for each request's head. Never keeps, logs or
answers a key: what is known of one is its keyed hash, and a lookup by it tells nothing of keys that are almost right.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from hmac import compare_digest
from pathlib import Path

from modelroute.policy.rates import Bucket
from modelroute.router.clients.clientfile import ClientsError, Entry, Hasher, Known, Limits, load
from modelroute.router.surface.openai import Refusal, model_not_found

log = logging.getLogger(__name__)

_LONGEST_KEY = 512
_BYTES_PER_TOKEN = 4  # of English text, by OpenAI's rule of thumb
_MOST_RESERVED = 32_768  # tokens; a body of pictures or sound says little of what it will cost
_LARGE = 8_192  # bytes of a file that is read aside: 55 entries of YAML, which take some 3 ms
_NO_LIMITS = Limits()

_LINES = "x-ratelimit-limit-{0}: {1}\r\nx-ratelimit-remaining-{0}: %d\r\nx-ratelimit-reset-{0}: %ds\r\n"

_HEADERS = (("www-authenticate", "Bearer"),)
_HOW = "send one as 'Authorization: Bearer KEY'"
KEY_NEEDED = Refusal(
    401, f"an API key is needed here; {_HOW}", "invalid_api_key", type="authentication_error", headers=_HEADERS
)
_WRONG = Refusal(
    401, f"this API key is not valid here; {_HOW}", "invalid_api_key", type="authentication_error", headers=_HEADERS
)
_NOT_YET = Refusal(
    503,
    "this router has no list of API keys yet; try again shortly",
    "overloaded",
    type="overloaded_error",
    headers=(("retry-after", "5"),),
)


class Allowance:
    """What is left of one key's limits in this router; outlives changes of the file."""

    __slots__ = ("_in_flight", "_limits", "_lines", "_requests", "_tokens", "limited")

    def __init__(self, limits: Limits, now: float) -> None:
        self._in_flight = 0
        self._requests: Bucket | None = None
        self._tokens: Bucket | None = None
        self.limit(limits, now)

    def limit(self, limits: Limits, now: float) -> None:
        """Go on under these limits; what was used up stays used up."""
        self._limits = limits
        self.limited = limits != _NO_LIMITS
        self._requests = _resized(self._requests, limits.requests_per_minute, now)
        self._tokens = _resized(self._tokens, limits.tokens_per_minute, now)
        told = (("requests", limits.requests_per_minute), ("tokens", limits.tokens_per_minute))
        self._lines = "".join([_LINES.format(what, most) for what, most in told if most]).encode()

    def estimate(self, size: int) -> int:
        """Tokens to reserve for a body of ``size`` bytes; no more than there can ever be."""
        if self._tokens is None:
            return 0
        return min(max(size // _BYTES_PER_TOKEN, 1), _MOST_RESERVED, self._tokens.per_minute)

    def refusal(self, reserved: int, now: float) -> Refusal | None:
        """Why one more request has to wait; None when it does not."""
        limits = self._limits
        if limits.max_in_flight is not None and self._in_flight >= limits.max_in_flight:
            return self._refused(f"has {limits.max_in_flight} requests running, which is its limit", 1.0, now)
        if self._requests is not None and (wait := self._requests.wait(1, now)):
            return self._refused(f"has used up its {limits.requests_per_minute} requests a minute", wait, now)
        return self.shortage(reserved, now)

    def shortage(self, tokens: int, now: float) -> Refusal | None:
        """Why so many tokens cannot be reserved now; None when they can."""
        if self._tokens is not None and (wait := self._tokens.wait(tokens, now)):
            return self._refused(f"has used up its {self._limits.tokens_per_minute} tokens a minute", wait, now)
        return None

    def reserve(self, tokens: int, now: float) -> None:
        """Take tokens before it is known what is used."""
        if self._tokens is not None:
            self._tokens.take(tokens, now)

    def _refused(self, what: str, wait: float, now: float) -> Refusal:
        seconds = math.ceil(wait)
        lines = self.told(now).decode().splitlines()
        headers = (("retry-after", str(seconds)), *((n, v) for n, _, v in (line.partition(": ") for line in lines)))
        message = f"this API key {what}; try again in {seconds} s"
        return Refusal(429, message, "rate_limit_exceeded", type="rate_limit_error", headers=headers)

    def enter(self, reserved: int, now: float) -> None:
        """One more request."""
        self._in_flight += 1
        if self._requests is not None:
            self._requests.take(1, now)
        self.reserve(reserved, now)

    def leave(self, reserved: int, tokens: int, now: float) -> None:
        """One request less, which took ``tokens``."""
        self._in_flight -= 1
        self.reserve(tokens - reserved, now)

    def told(self, now: float) -> bytes:
        """The header lines that tell a client of its limits."""
        requests, tokens = self._requests, self._tokens
        if requests is None:
            return self._lines % tokens.shown(now) if tokens is not None else b""
        shown = requests.shown(now)
        return self._lines % (shown if tokens is None else shown + tokens.shown(now))


def _resized(bucket: Bucket | None, per_minute: int | None, now: float) -> Bucket | None:
    if bucket is None or not per_minute:
        return Bucket(per_minute, now) if per_minute else None
    if bucket.per_minute != per_minute:
        bucket.resize(per_minute, now)
    return bucket


class Identity:
    """The holder of a key. ``name`` is that of no other key; where the key tells no ``user``, it stands for one."""

    __slots__ = ("allowance", "digest", "models", "name", "tier", "user")

    def __init__(self, entry: Entry, allowance: Allowance) -> None:
        self.name = entry.name
        self.user = entry.user
        self.tier = entry.tier
        self.models = entry.models  # None: all
        self.digest = entry.digest
        self.allowance = allowance


class Lease:
    """A request that was let in, and what was reserved for it."""

    __slots__ = ("_allowance", "_clock", "_open", "_reserved")

    def __init__(self, allowance: Allowance | None, reserved: int, clock: Callable[[], float]) -> None:
        self._allowance = allowance
        self._reserved = reserved
        self._clock = clock
        self._open = True

    def grow(self, size: int) -> Refusal | None:
        """Reserve what a body of ``size`` bytes takes, now that its size is known; why not, where there is no room."""
        allowance, now = self._allowance, self._clock()
        if allowance is None or (more := allowance.estimate(size) - self._reserved) <= 0:
            return None
        refusal = allowance.shortage(more, now)
        if refusal is None:
            allowance.reserve(more, now)
            self._reserved += more
        return refusal

    def settle(self, prompt: int | None, completion: int = 0) -> None:
        """The request is over and took so many tokens; a ``prompt`` that nobody tells of took what was reserved.

        Only the first call counts.
        """
        if self._allowance is not None and self._open:
            self._open = False
            prompt = self._reserved if prompt is None else prompt
            self._allowance.leave(self._reserved, prompt + completion, self._clock())

    def headers(self) -> bytes:
        """Header lines that tell the client of its limits; empty where it has none."""
        return b"" if self._allowance is None else self._allowance.told(self._clock())


FREE = Lease(None, 0, time.monotonic)
"""The lease of all requests that no limit is counted for."""


class Clients:
    """All keys of one pair of files. While none could be read yet nobody is let in."""

    def __init__(self, keys: Path, pepper: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._paths = (keys, pepper)
        self._clock = clock
        self._seen: object = None
        self._reading: Future[Known] | None = None
        self._hasher: Hasher | None = None
        self._identities: dict[bytes, Identity] = {}
        self.problem: str | None = None  # with the files as they are now
        self.poll(wait=True)

    def __len__(self) -> int:
        """How many keys are in force."""
        return len(self._identities)

    # Each request.

    def authenticate(self, headers: Mapping[bytes, bytes]) -> Identity | Refusal:
        """Whose key a request carries, as a bearer token or the way that Anthropic's clients send it."""
        hasher = self._hasher
        if hasher is None:
            return _NOT_YET
        key = headers.get(b"authorization", b"")
        key = key[7:].strip() if key[:7].lower() == b"bearer " else headers.get(b"x-api-key", b"")
        if not key:
            return KEY_NEEDED
        if len(key) > _LONGEST_KEY:
            return _WRONG
        digest = hasher.digest(key)
        identity = self._identities.get(digest)
        if identity is None or not compare_digest(identity.digest, digest):
            return _WRONG
        return identity

    def enter(self, identity: Identity, size: int) -> Lease | Refusal:
        """Let a request with a body of ``size`` bytes in if the key's limits have room for it.

        A request counts when it is let in. Tokens are reserved by the body's size and settled when they are known.
        """
        allowance = identity.allowance
        if not allowance.limited:
            return FREE
        now = self._clock()
        reserved = allowance.estimate(size)
        refusal = allowance.refusal(reserved, now)
        if refusal is not None:
            return refusal
        allowance.enter(reserved, now)
        return Lease(allowance, reserved, self._clock)

    # Changes of the files.

    def poll(self, *, wait: bool = False) -> None:
        """Read the files again if they are others than before; large ones aside, or requests would wait for it."""
        if self._reading is None:
            seen = [_signature(path) for path in self._paths]
            if seen == self._seen:
                return
            self._seen = seen
            executor = ThreadPoolExecutor(1)
            self._reading = executor.submit(load, *self._paths)
            executor.shutdown(wait=wait or (seen[0] or (0,))[-1] < _LARGE)
        if self._reading.done():
            reading, self._reading = self._reading, None
            self._take(reading)

    def _take(self, reading: Future[Known]) -> None:
        problem = reading.exception()
        if problem is not None:
            # What other errors say may be a part of the file.
            self.problem = str(problem) if isinstance(problem, ClientsError) else type(problem).__name__
            stays = "nobody is let in" if self._hasher is None else "the last good one stays"
            log.error("file of API keys %s refused, %s: %s", self._paths[0], stays, self.problem)
            return
        self.problem = None
        known, now = reading.result(), self._clock()
        before = {identity.name: identity.allowance for identity in self._identities.values()}
        identities = {}
        for entry in known.entries:
            allowance = before.get(entry.name) or Allowance(entry.limits, now)
            allowance.limit(entry.limits, now)
            identities[entry.digest] = Identity(entry, allowance)
        self._hasher, self._identities = known.hasher, identities
        log.info("%d API keys of clients in force", len(identities))


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino, stat.st_size


def model_refusal(identity: Identity | None, model: str, served: tuple[str, ...]) -> Refusal | None:
    """Why a model cannot be used: it is not ``served``, or this key may not use it. Others' models are not told of."""
    names = visible(identity, served)
    if model in names:
        return None
    if model not in served:
        return model_not_found(model, names)
    message = f"this API key may not use the model; it may use: {', '.join(names) or 'none'}"
    return Refusal(403, message, "model_not_allowed", "model", type="permission_error")


def visible(identity: Identity | None, served: tuple[str, ...]) -> tuple[str, ...]:
    """The models of ``served`` that a key may use, in their order."""
    if identity is None or identity.models is None:
        return served
    return tuple(name for name in served if name in identity.models)
