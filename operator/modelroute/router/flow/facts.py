"""What a request tells that a choice may rest on: its facts for the policy, its key for the balancer.

Called by ``service`` for the facts, by ``exchange`` for the key. Identity comes from headers only where the route
trusts them, and from the body only where nobody needs a key. Never decides anything.
"""

from collections.abc import Collection

from modelroute.policy.facts import Facts
from modelroute.router.http.request import Request
from modelroute.router.replicas.live import Route
from modelroute.router.surface.body import Ask
from modelroute.router.surface.pairs import BadBodyError
from modelroute.router.surface.texts import all_text_of, is_unseen, may_mention, prompt_of, text_of
from modelroute.snapshot.types import Balancing

_SESSION = b"x-session-id"


def facts_of(request: Request, ask: Ask, route: Route) -> Facts:
    """The facts; BadBodyError when a rule needs a text that cannot be read, or who asks is told twice."""
    headers, identity, policy = request.headers, request.identity, route.policy
    if request.repeated:
        _refuse_two(request.repeated, route)
    user = headers.get(route.user_header) if route.user_header else None
    tier = headers.get(route.tier_header) if route.tier_header else None
    worded = policy.has_keywords and may_mention(ask, policy.keywords)
    return Facts(
        model=ask.model,
        text=text_of(ask) if worded or policy.counts_chars else "",
        user=_text(user) if user else (ask.user if identity is None else identity.user or identity.name) or None,
        tier=_text(tier) if tier else identity.tier if identity is not None else None,
        headers={name: _text(headers[raw]) for raw, name in route.header_names if raw in headers},
        everything=all_text_of(ask) if worded and policy.keeps_away else "",
        unseen=policy.keeps_away and is_unseen(ask),
    )


def _refuse_two(repeated: Collection[bytes], route: Route) -> None:
    """BadBodyError where a header that tells who asks is there twice: the client's own, and that of a proxy."""
    for name in {route.user_header, route.tier_header} & {*repeated}:
        raise BadBodyError(f"the request has more than one {name.decode()}; it decides who asks", None)


def key_of(balancing: Balancing, request: Request, ask: Ask, user: str) -> bytes:
    """What a replica is found by: the prompt's beginning, or the session of this client; empty: nothing."""
    if balancing.type == "LeastInFlight":
        return b""
    if balancing.type == "PrefixHash":
        return bytes(memoryview(prompt_of(ask))[: balancing.prefix_chars])
    session = request.headers.get(_SESSION, b"")
    # Scoped by who asks: to guess another's session leads to no replica of theirs.
    owner = request.identity.name if request.identity is not None else ""
    return f"{owner}\0{user}\0".encode() + session if session or user else b""


def _text(header: bytes) -> str:
    """A header's value as its sender meant it: UTF-8, as in a body, else HTTP's old Latin-1."""
    try:
        return header.decode()
    except UnicodeDecodeError:
        return header.decode("latin-1")
