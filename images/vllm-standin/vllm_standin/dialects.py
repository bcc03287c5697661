"""Answers in the two younger shapes: OpenAI's responses and Anthropic's messages, as vLLM writes them.

`api` turns a request of either into one of a chat (`response_chat`, `message_chat`) and writes the answer with a writer
that has the same four methods as `bodies.Writer`. Of both only text is imitated. Not held to recordings.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

from vllm_standin import errors
from vllm_standin.asks import Ask, Fields
from vllm_standin.bodies import DONE, Body, encode
from vllm_standin.settings import Settings


def response_chat(body: Fields) -> Fields:
    """The chat that a request for a response stands for."""
    given = body.get("input")
    if given is None:
        raise errors.bad_field("input", "missing", "Field required", body)
    told = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if isinstance(told, list) and body.get("instructions"):
        told = [{"role": "system", "content": body["instructions"]}, *told]
    return {**body, "messages": told, "max_tokens": body.get("max_output_tokens"), "stream_options": None}


def message_chat(body: Fields) -> Fields:
    """The chat that a request for a message stands for."""
    if body.get("max_tokens") is None:
        raise errors.bad_field("max_tokens", "missing", "Field required", body)
    told = body.get("messages")
    if isinstance(told, list) and body.get("system"):
        told = [{"role": "system", "content": body["system"]}, *told]
    return {**body, "messages": told, "stream_options": None}


@dataclass(slots=True)
class ResponseWriter:
    """Writes one response, whole or in events."""

    ask: Ask
    settings: Settings
    id: str = field(default_factory=lambda: f"resp_{token_hex(8)}")
    item: str = field(default_factory=lambda: f"msg_{token_hex(8)}")
    created: int = field(default_factory=lambda: int(time.time()))
    told: int = 0

    def whole(self) -> Body:
        """The response at its end."""
        cut = self.ask.finish == "length"
        made, prompt = len(self.ask.answer), self.ask.prompt_tokens
        usage: Body = {"input_tokens": prompt, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": made}
        usage |= {"output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": prompt + made}
        details = {"reason": "max_output_tokens"} if cut else None
        return self._body("incomplete" if cut else "completed", [self._item("completed")], usage) | {
            "incomplete_details": details
        }

    def opening(self) -> Iterator[bytes]:
        """The events before any token."""
        for kind in ("created", "in_progress"):
            yield self._event(f"response.{kind}", {"response": self._body("in_progress", [], None)})
        yield self._event("response.output_item.added", {"output_index": 0, "item": self._item("in_progress")})
        yield self._event("response.content_part.added", self._where() | {"part": self._part("")})

    def token(self, text: str, made: int) -> Iterator[bytes]:  # noqa: ARG002 - the writers have one shape
        """The event of one token."""
        yield self._event("response.output_text.delta", self._where() | {"delta": text, "logprobs": []})

    def closing(self) -> Iterator[bytes]:
        """The events after the last token."""
        text = "".join(self.ask.answer)
        yield self._event("response.output_text.done", self._where() | {"text": text, "logprobs": []})
        yield self._event("response.content_part.done", self._where() | {"part": self._part(text)})
        yield self._event("response.output_item.done", {"output_index": 0, "item": self._item("completed")})
        whole = self.whole()
        yield self._event(f"response.{whole['status']}", {"response": whole})

    def _event(self, kind: str, body: Body) -> bytes:
        event = _named(kind, {"type": kind, "sequence_number": self.told, **body})
        self.told += 1
        return event

    def _where(self) -> Body:
        return {"item_id": self.item, "output_index": 0, "content_index": 0}

    def _part(self, text: str) -> Body:
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": None}

    def _item(self, status: str) -> Body:
        content = [self._part("".join(self.ask.answer))] if status == "completed" else []
        return {"id": self.item, "type": "message", "role": "assistant", "status": status, "content": content}

    def _body(self, status: str, output: list[Body], usage: Body | None) -> Body:
        body: Body = {"id": self.id, "object": "response", "created_at": self.created, "status": status}
        body |= {"model": self.settings.name, "output": output, "error": None, "incomplete_details": None}
        body |= {"instructions": None, "metadata": None, "parallel_tool_calls": True, "tool_choice": "auto"}
        return body | {"tools": [], "temperature": 1.0, "top_p": 1.0, "usage": usage}


@dataclass(slots=True)
class MessageWriter:
    """Writes one message, whole or in events."""

    ask: Ask
    settings: Settings
    id: str = field(default_factory=lambda: f"chatcmpl-{token_hex(8)}")

    def whole(self) -> Body:
        """The message at its end."""
        content = [{"type": "text", "text": "".join(self.ask.answer)}]
        return self._body(content, self._reason(), len(self.ask.answer))

    def opening(self) -> Iterator[bytes]:
        """The events before any token."""
        yield _typed("message_start", {"message": self._body([], None, 0)})
        yield _typed("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}})

    def token(self, text: str, made: int) -> Iterator[bytes]:  # noqa: ARG002
        """The event of one token."""
        yield _typed("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": text}})

    def closing(self) -> Iterator[bytes]:
        """The events after the last token; vLLM ends with the mark of OpenAI's streams too."""
        yield _typed("content_block_stop", {"index": 0})
        usage = {"input_tokens": self.ask.prompt_tokens, "output_tokens": len(self.ask.answer)}
        delta = {"stop_reason": self._reason(), "stop_sequence": None}
        yield _typed("message_delta", {"delta": delta, "usage": usage})
        yield _typed("message_stop", {})
        yield DONE

    def _reason(self) -> str:
        return "max_tokens" if self.ask.finish == "length" else "end_turn"

    def _body(self, content: list[dict[str, Any]], reason: str | None, made: int) -> Body:
        body: Body = {"id": self.id, "type": "message", "role": "assistant", "content": content}
        body |= {"model": self.settings.name, "stop_reason": reason, "stop_sequence": None}
        return body | {"usage": {"input_tokens": self.ask.prompt_tokens, "output_tokens": made}}


def message_error(body: dict[str, Any]) -> Body:
    """An error in Anthropic's shape, of one in any other."""
    error = body.get("error", body.get("detail"))
    told = error if isinstance(error, dict) else {"message": str(error), "type": "api_error"}
    return {"type": "error", "error": {"type": told["type"], "message": told["message"]}}


def _typed(kind: str, body: Body) -> bytes:
    return _named(kind, {"type": kind, **body})


def _named(kind: str, body: Body) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), encode(body))
