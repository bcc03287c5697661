"""From a request's body to what is to be answered: vLLM's checks, in vLLM's order, and the answer's tokens.

`api` calls these with a body and the settings. Each either returns a value or raises the ApiError to answer with.
Fields that change nothing here (temperature, tools, logprobs, ...) are read past.
"""

import json
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from typing import Any

from vllm_standin import answers, errors
from vllm_standin.engine import Finish
from vllm_standin.settings import Settings

Fields = dict[str, Any]
_COMPLETION_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Ask:
    """One request for text: how long its prompt is, what to say, and how to stream it."""

    prompt_tokens: int
    answer: list[str]
    finish: Finish
    stream: bool
    include_usage: bool
    continuous_usage: bool


def fields(body: bytes) -> Fields:
    """The JSON object that a body holds."""
    if not body:
        raise errors.bad_field("", "missing", "Field required", None)
    try:
        found = json.loads(body)
    except json.JSONDecodeError as error:
        raise errors.bad_json(error.pos, error.msg) from None
    except (UnicodeDecodeError, RecursionError):
        raise errors.bad_encoding() from None
    if not isinstance(found, dict):
        reason = "Input should be a valid dictionary or object to extract fields from"
        raise errors.bad_field("", "model_attributes_type", reason, found)
    return found


def chat(body: Fields, settings: Settings) -> Ask:
    """A chat request."""
    contents = messages(body)
    check_model(body, settings)
    question = next((text for role, text in reversed(contents) if role == "user"), "")
    prompt = answers.chat_tokens([text for _, text in contents])
    return _ask(body, settings, prompt, question, default_tokens=settings.max_model_len)


def completion(body: Fields, settings: Settings) -> Ask:
    """A request to continue a text."""
    text = prompt(body)
    check_model(body, settings)
    return _ask(body, settings, len(answers.pieces(text)), text, default_tokens=_COMPLETION_TOKENS)


def inputs(body: Fields, settings: Settings) -> list[str]:
    """The texts to embed; token numbers stand for themselves as words."""
    found = texts(body, "input")
    check_model(body, settings)
    return found


def messages(body: Fields) -> list[tuple[str, str]]:
    """Role and text of each message of a chat."""
    given = _required(body, "messages")
    if not isinstance(given, list):
        raise errors.bad_field("messages", "list_type", "Input should be a valid list", given)
    if not given:
        message = "Cannot apply chat template to an empty conversation. Provide at least one message."
        raise errors.bad_value(message, None)
    found = []
    for index, message in enumerate(given):
        if not isinstance(message, dict) or "role" not in message:
            raise errors.bad_field(f"messages.{index}.role", "missing", "Field required", message)
        found.append((str(message["role"]), _text(message.get("content"))))
    return found


def prompt(body: Fields) -> str:
    """The text to continue, or to count; token numbers stand for themselves as words."""
    if not body.get("prompt"):
        raise errors.bad_value("Either prompt or prompt_embeds must be provided and non-empty.", "prompt")
    found = texts(body, "prompt")
    if len(found) > 1:
        raise errors.bad_value("prompt must be one text in the stand-in.", "prompt", f"<list of {len(found)} items>")
    return found[0]


def texts(body: Fields, name: str) -> list[str]:
    """The texts of a field that holds one or several."""
    given = _required(body, name)
    found = [given] if isinstance(given, str) or _is_tokens(given) else given
    if not isinstance(found, list) or not found or not all(isinstance(t, str) or _is_tokens(t) for t in found):
        raise errors.bad_field(name, "string_type", "Input should be a valid string", given)
    return [" ".join(map(str, text)) if isinstance(text, list) else text for text in found]


def form(content_type: str, body: bytes) -> dict[str, bytes]:
    """The parts of a multipart form by name."""
    message = message_from_bytes(f"content-type: {content_type}\r\n\r\n".encode("latin-1") + body)
    if not message.is_multipart():
        raise errors.bad_field("file", "missing", "Field required", None)
    found = {}
    for part in message.get_payload():
        name = part.get_param("name", header="content-disposition") if isinstance(part, Message) else None
        if isinstance(part, Message) and isinstance(name, str):
            content = part.get_payload(decode=True)
            found[name] = content if isinstance(content, bytes) else b""
    return found


def check_model(body: Fields, settings: Settings) -> None:
    """Raise unless the model asked for, if any, is served here."""
    name = body.get("model")
    if name and name not in settings.served_names:
        raise errors.unknown_model(str(name), settings.served_names)


def _ask(body: Fields, settings: Settings, prompt_tokens: int, question: str, default_tokens: int) -> Ask:
    limit = settings.max_model_len
    _check_sampling(body)
    asked = _max_tokens(body, limit)
    if prompt_tokens >= limit:
        raise errors.context_overflow(limit, prompt_tokens)
    room = min(default_tokens if asked is None else asked, limit - prompt_tokens)
    answer = answers.answer(settings.answer, settings.name, question)
    if body.get("ignore_eos") is True:
        answer = answers.stretched(answer, room)
    cut = len(answer) > room or body.get("ignore_eos") is True
    options = body.get("stream_options") or {}
    return Ask(
        prompt_tokens,
        answer[:room],
        "length" if cut else "stop",
        stream=body.get("stream") is True,
        include_usage=options.get("include_usage") is True,
        continuous_usage=options.get("continuous_usage_stats") is True,
    )


def _check_sampling(body: Fields) -> None:
    temperature = body.get("temperature")
    if isinstance(temperature, int | float) and temperature < 0:
        value = float(temperature)
        raise errors.bad_value(f"temperature must be non-negative, got {value}.", "temperature", value)
    if body.get("n", 1) not in {1, None}:
        raise errors.bad_value("n must be 1 in the stand-in.", "n", body["n"])


def _max_tokens(body: Fields, limit: int) -> int | None:
    """The most output tokens asked for, by the newer name or the older."""
    name = "max_tokens" if body.get("max_completion_tokens") is None else "max_completion_tokens"
    asked = body.get(name)
    if asked is None:
        return None
    if not isinstance(asked, int) or isinstance(asked, bool):
        reason = "Input should be a valid integer, unable to parse string as an integer"
        raise errors.bad_field(name, "int_parsing", reason, asked)
    if asked < 1:
        raise errors.bad_value(f"{name} must be at least 1, got {asked}.", name, asked)
    if asked > limit:
        raise errors.too_many_tokens(name, asked, limit)
    return asked


def _is_tokens(given: object) -> bool:
    return isinstance(given, list) and bool(given) and all(isinstance(token, int) for token in given)


def _required(body: Fields, name: str) -> Any:
    if body.get(name) is None:
        raise errors.bad_field(name, "missing", "Field required", body)
    return body[name]


def _text(content: object) -> str:
    """The text of a message: a string, or the text parts of a list."""
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""
