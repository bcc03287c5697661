"""Words that must not leave the cluster, on real sockets: looked for in all that a model would read."""

import json
from typing import Any

import pytest

from modelroute.snapshot.types import Rule, When
from tests.dataplane.conftest import Plane, backend
from tests.fakes.client import Reply
from tests.fakes.upstream import Upstream

WORDS = When(any_keyword=("SECRET",))
CLOSED = Rule("closed", WORDS, fail_closed=True)
EXCLUDES = Rule("excludes", WORDS, exclude=("big",))
USER = {"role": "user", "content": "hi"}
FORM = b'--b\r\ncontent-disposition: form-data; name="%b"\r\n\r\n%b\r\n'
SOUND = FORM % (b"model", b"chat") + FORM % (b"file", b"sound")
CHAT, AUDIO = "/v1/chat/completions", "/v1/audio/transcriptions"


def said(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": [USER, *messages], **more}


PLACES: dict[str, tuple[str, bytes | dict[str, Any]]] = {
    "user": (CHAT, {"messages": [{"role": "user", "content": "a SECRET"}]}),
    "system": (CHAT, said({"role": "system", "content": "a SECRET"})),
    "tool": (CHAT, said({"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "SECRET"}]})),
    "escaped": (CHAT, b'{"model":"chat","messages":[{"role":"system","content":"\\u0053ECRET"}]}'),
    "first of two": (CHAT, b'{"model":"chat","messages":[{}],"tools":[{"description":"SECRET","description":"a"}]}'),
    "last of two": (CHAT, b'{"model":"chat","messages":[{}],"tools":[{"description":"a","description":"SECRET"}]}'),
    "documents": ("/v1/rerank", {"query": "q", "documents": ["a", "SECRET"]}),
    "instructions": ("/v1/responses", {"input": "hi", "instructions": "SECRET"}),
    "messages' system": ("/v1/messages", said(max_tokens=5, system=[{"type": "text", "text": "SECRET"}])),
    "prompt of sound": (AUDIO, SOUND + FORM % (b"prompt", b"SECRET") + b"--b--\r\n"),
}
UNSEEN: dict[str, tuple[str, bytes | dict[str, Any]]] = {
    "ids": ("/v1/completions", {"prompt": [1, 2]}),
    "lists of ids": ("/v1/completions", {"prompt": [[1, 2], [3]]}),
    "ids to embed": ("/v1/embeddings", {"input": [1, 2]}),
    "embeddings": ("/v1/completions", {"prompt_embeds": "AAAA"}),
    "sound": (AUDIO, SOUND + b"--b--\r\n"),
}
OPEN: dict[str, tuple[str, bytes | dict[str, Any]]] = {
    "chat": (CHAT, said({"role": "system", "content": "a secret"})),
    "prompts": ("/v1/completions", {"prompt": ["a", "1"]}),
    "documents": ("/v1/rerank", {"query": "q", "documents": ["a"]}),
    "messages": ("/v1/messages", said(max_tokens=5, system="a")),
}


async def ask(plane: Plane, asked: tuple[str, bytes | dict[str, Any]], *rules: Rule) -> tuple[Reply, Upstream]:
    """The answer, and the external backend, which gets all that may leave."""
    path, body = asked
    small, big = await plane.upstream(), await plane.upstream()
    outside = backend("big", big, weight=1, data_policy="External")
    await plane.route(backend("small", small), outside, rules=rules)
    kind = "multipart/form-data; boundary=b" if path == AUDIO else "application/json"
    sent = body if isinstance(body, bytes) else json.dumps({"model": "chat", **body}).encode()
    return await plane.ask("POST", path, sent, content_type=kind), big


@pytest.mark.parametrize("rule", [CLOSED, EXCLUDES], ids=["closed", "excludes"])
@pytest.mark.parametrize("asked", PLACES.values(), ids=PLACES)
async def test_a_word_stays_inside_wherever_it_stands(
    plane: Plane, asked: tuple[str, bytes | dict[str, Any]], rule: Rule
) -> None:
    reply, outside = await ask(plane, asked, rule)
    assert (reply.status, reply.backend) == (200, "small")
    assert outside.received == []


@pytest.mark.parametrize("asked", UNSEEN.values(), ids=UNSEEN)
async def test_what_cannot_be_looked_at_stays_inside(plane: Plane, asked: tuple[str, bytes | dict[str, Any]]) -> None:
    reply, outside = await ask(plane, asked, CLOSED)
    assert (reply.status, reply.backend) == (200, "small")
    assert outside.received == []


@pytest.mark.parametrize("asked", OPEN.values(), ids=OPEN)
async def test_what_has_no_such_word_may_leave(plane: Plane, asked: tuple[str, bytes | dict[str, Any]]) -> None:
    reply, _ = await ask(plane, asked, CLOSED)
    assert reply.backend == "big"


@pytest.mark.parametrize(("place", "chosen"), [("user", "small"), ("system", "big"), ("instructions", "big")])
async def test_a_rule_that_prefers_looks_at_what_the_user_wrote(plane: Plane, place: str, chosen: str) -> None:
    others = Rule("others", When(any_keyword=("OTHER",)), fail_closed=True)
    reply, _ = await ask(plane, PLACES[place], others, Rule("prefers", WORDS, prefer=("small",)))
    assert reply.backend == chosen
