"""Bodies of requests as clients send them, and what becomes of them. Used by the unit tests of the router."""

import json
from typing import Any

from hypothesis import strategies as st

from modelroute.router.surface.body import Ask, read
from modelroute.router.surface.openai import Kind
from modelroute.router.surface.rewrite import rewritten
from modelroute.snapshot.types import Backend, Parameters, Timeouts

USER = {"role": "user", "content": "hi"}


def ask(kind: Kind = Kind.CHAT, **fields: Any) -> Ask:
    needed: dict[Kind, dict[str, Any]] = {
        Kind.CHAT: {"messages": [USER]},
        Kind.COMPLETIONS: {"prompt": "hi"},
        Kind.EMBEDDINGS: {"input": "hi"},
        Kind.RESPONSES: {"input": "hi"},
        Kind.RERANK: {"query": "hi", "documents": ["a"]},
        Kind.SCORE: {"text_1": "hi", "text_2": "ho"},
        Kind.MESSAGES: {"messages": [USER]},
    }
    return read(kind, json.dumps({"model": "chat", **needed[kind], **fields}).encode())


def sent(asked: Ask, model: str | None = None, **parameters: Any) -> Any:
    backend = Backend("b", 1, Timeouts(1, 1, 1, 1), model=model, parameters=Parameters(**parameters))
    return json.loads(rewritten(asked, backend))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
