"""The JSON of answers, key by key as recorded from vLLM 0.32, and in a hosted API's shape for the role `openai`.

`api` fills these with an ask and its tokens. Nothing here decides anything.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

from vllm_standin.asks import Ask
from vllm_standin.settings import Settings

VERSION = "0.32.0"
_FINGERPRINT = f"vllm-{VERSION}-a21d31c5"
DONE = b"data: [DONE]\n\n"
Body = dict[str, Any]


def encode(body: object) -> bytes:
    """JSON as the recorded server writes it: no blanks, no escapes that are not needed."""
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


@dataclass(slots=True)
class Writer:
    """Writes one answer, whole or in chunks."""

    ask: Ask
    settings: Settings
    chat: bool
    id: str = ""
    created: int = field(default_factory=lambda: int(time.time()))

    def __post_init__(self) -> None:
        self.id = f"{'chatcmpl' if self.chat else 'cmpl'}-{token_hex(8)}"

    def whole(self) -> Body:
        """The answer in one piece."""
        text = "".join(self.ask.answer)
        if self.settings.openai:
            return self._hosted(text)
        choice: Body = {"index": 0}
        if self.chat:
            nothing = dict.fromkeys(("refusal", "annotations", "audio", "function_call", "reasoning"))
            choice["message"] = {"role": "assistant", "content": text, **nothing}
        else:
            choice["text"] = text
        choice |= {"logprobs": None, "finish_reason": self.ask.finish, "stop_reason": None, "token_ids": None}
        body = self._head("chat.completion" if self.chat else "text_completion") | {"choices": [choice]}
        body |= {"service_tier": None, "system_fingerprint": _FINGERPRINT, "usage": self._usage()}
        if self.chat:
            choice["routed_experts"] = None
            body |= dict.fromkeys(("prompt_logprobs", "prompt_token_ids", "prompt_text"))
        else:
            choice |= dict.fromkeys(("prompt_logprobs", "prompt_token_ids", "routed_experts"))
        return body | dict.fromkeys(("kv_transfer_params", "ec_transfer_params", "metrics"))

    def opening(self) -> Iterator[bytes]:
        """The chunk that names the role, before any token; text completions have none."""
        if not self.chat:
            return
        delta = {"role": "assistant", "content": ""}
        if self.settings.openai:
            yield self._chunk({"delta": delta | {"refusal": None}, "logprobs": None, "finish_reason": None})
            return
        choice = {"delta": delta, "logprobs": None, "finish_reason": None}
        yield self._chunk(choice, 0, {"prompt_token_ids": None, "prompt_text": None})

    def token(self, text: str, made: int) -> Iterator[bytes]:
        """The chunk of the `made`-th token; the last one says why it is the last."""
        last = made == len(self.ask.answer)
        said: Body = {"delta": {"content": text}} if self.chat else {"text": text}
        if self.settings.openai:
            yield self._chunk({**said, "logprobs": None, "finish_reason": None})
            if last:
                end: Body = {"delta": {}} if self.chat else {"text": ""}
                yield self._chunk({**end, "logprobs": None, "finish_reason": self.ask.finish})
            return
        choice: Body = {**said, "logprobs": None, "finish_reason": self.ask.finish if last else None}
        if last or not self.chat:
            choice["stop_reason"] = None
        if not self.chat:
            choice["prompt_token_ids"] = None
        choice["token_ids"] = None
        marked = last and not self.ask.include_usage
        yield self._chunk(choice, made, {"system_fingerprint": _FINGERPRINT} if marked else {})

    def closing(self) -> Iterator[bytes]:
        """What follows the last token: usage if it was asked for, and the end mark."""
        if self.ask.include_usage:
            body = self._head(self._chunk_kind()) | {"choices": []}
            if self.settings.openai:
                body |= {"usage": self._usage()}
            else:
                usage = self._counts(len(self.ask.answer))
                if self.settings.prompt_tokens_details:
                    usage["prompt_tokens_details"] = {"cached_tokens": 0, "created_cache_tokens": 0}
                body |= {"usage": usage, "system_fingerprint": _FINGERPRINT}
            yield _event(body)
        yield DONE

    def _chunk(self, choice: Body, made: int = 0, after: Body | None = None) -> bytes:
        body = self._head(self._chunk_kind()) | {"choices": [{"index": 0, **choice}]}
        if self.settings.openai:
            body |= {"service_tier": "default"} | ({"usage": None} if self.ask.include_usage else {})
        elif self.ask.include_usage and self.ask.continuous_usage:
            body["usage"] = self._counts(made) | {"completion_tokens_details": None}
        return _event(body | (after or {}))

    def _chunk_kind(self) -> str:
        return "chat.completion.chunk" if self.chat else "text_completion"

    def _head(self, kind: str) -> Body:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.settings.name}

    def _counts(self, made: int) -> Body:
        prompt = self.ask.prompt_tokens
        return {"prompt_tokens": prompt, "total_tokens": prompt + made, "completion_tokens": made}

    def _usage(self) -> Body:
        usage = self._counts(len(self.ask.answer))
        if self.settings.openai:
            return usage | {"prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0}}
        details = {"cached_tokens": 0, "created_cache_tokens": 0 if self.chat else None}
        details["multimodal_tokens"] = None
        shown = details if self.settings.prompt_tokens_details else None
        return usage | {"prompt_tokens_details": shown, "completion_tokens_details": None}

    def _hosted(self, text: str) -> Body:
        choice: Body = {"index": 0, "logprobs": None, "finish_reason": self.ask.finish}
        if self.chat:
            choice["message"] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
        else:
            choice["text"] = text
        body = self._head("chat.completion" if self.chat else "text_completion")
        return body | {"choices": [choice], "usage": self._usage(), "service_tier": "default"}


def models(settings: Settings) -> Body:
    """The list of served names, each created now, as vLLM has it."""
    now = int(time.time())
    if settings.openai:
        names = [{"id": n, "object": "model", "created": now, "owned_by": "stand-in"} for n in settings.served_names]
        return {"object": "list", "data": names}
    data = [
        {"id": name, "object": "model", "created": now, "owned_by": "vllm", "root": settings.model, "parent": None}
        | {"max_model_len": settings.max_model_len, "permission": [_permission(now)]}
        for name in settings.served_names
    ]
    return {"object": "list", "data": data}


def embeddings(settings: Settings, vectors: list[list[float] | str], prompt_tokens: int) -> Body:
    """Vectors as numbers or as base64, in the order of the texts."""
    data = [{"index": i, "object": "embedding", "embedding": vector} for i, vector in enumerate(vectors)]
    usage: Body = {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens}
    if settings.openai:
        return {"object": "list", "data": data, "model": settings.name, "usage": usage}
    usage |= {"completion_tokens": 0, "prompt_tokens_details": None}
    head = {"id": f"embd-{token_hex(8)}", "object": "list", "created": int(time.time()), "model": settings.name}
    return head | {"data": data, "usage": usage}


def reranked(settings: Settings, documents: list[str], top: object, scored: tuple[list[float], int]) -> Body:
    """The documents from the best to the worst, or the `top` of them; not held to a recording."""
    scores, tokens = scored
    results = [
        {"index": i, "document": {"text": text, "multi_modal": None}, "relevance_score": score}
        for i, (text, score) in enumerate(zip(documents, scores, strict=True))
    ]
    results.sort(key=lambda result: -scores[int(str(result["index"]))])
    shown = results[:top] if isinstance(top, int) and top > 0 else results
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"id": f"rerank-{token_hex(8)}", "model": settings.name, "usage": usage, "results": shown}


def scores(settings: Settings, scored: tuple[list[float], int]) -> Body:
    """A score for each pair; not held to a recording."""
    data = [{"index": i, "object": "score", "score": score} for i, score in enumerate(scored[0])]
    usage = {"prompt_tokens": scored[1], "total_tokens": scored[1], "completion_tokens": 0}
    head = {"id": f"score-{token_hex(8)}", "object": "list", "created": int(time.time()), "model": settings.name}
    return head | {"data": data, "usage": usage | {"prompt_tokens_details": None}}


def _permission(now: int) -> Body:
    allowed = {"create_engine": False, "sampling": True, "logprobs": True, "search_indices": False, "view": True}
    return (
        {"id": f"modelperm-{token_hex(8)}", "object": "model_permission", "created": now}
        | {f"allow_{what}": yes for what, yes in (allowed | {"fine_tuning": False}).items()}
        | {"organization": "*", "group": None, "is_blocking": False}
    )


def _event(body: Body) -> bytes:
    return b"data: " + encode(body) + b"\n\n"
