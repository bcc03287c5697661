"""The OpenAI API as this router speaks it: its paths, its errors, its list of models.

Called by the services (public and admin) and by ``exchange``. Never touches a socket and never reads a request's body.
"""

import enum
from collections.abc import Collection, Iterable, Mapping
from typing import Literal
from urllib.parse import unquote

import msgspec

from modelroute.api.types import FailureKind
from modelroute.snapshot.types import Snapshot


class Kind(enum.Enum):
    """What a request asks for. The value of those that go upstream is the path behind the backend's prefix."""

    CHAT = "/chat/completions"
    COMPLETIONS = "/completions"
    EMBEDDINGS = "/embeddings"
    RESPONSES = "/responses"
    RERANK = "/rerank"
    SCORE = "/score"
    TRANSCRIPTIONS = "/audio/transcriptions"
    TRANSLATIONS = "/audio/translations"
    MESSAGES = "/messages"
    MODELS = "models"
    MODEL = "model"
    HEALTH = "health"
    READY = "ready"
    METRICS = "metrics"
    STATUS = "status"

    # Enum's own hashes the name in Python, and kinds are looked up several times a request.
    __hash__ = object.__hash__


Dialect = Literal["openai", "anthropic"]
"""How errors are written: as the clients of a path know them."""


class Refusal(msgspec.Struct, frozen=True):
    """An answer that is an error, in OpenAI's shape. ``close`` when the connection cannot be used after it."""

    status: int
    message: str
    code: str | None = None
    param: str | None = None
    type: str = "invalid_request_error"
    headers: tuple[tuple[str, str], ...] = ()
    close: bool = False


READS = ("GET", "HEAD")
HEALTH_PATHS = {"/healthz": (Kind.HEALTH, READS), "/readyz": (Kind.READY, READS)}
PUBLIC_PATHS = {
    **{f"/v1{kind.value}": (kind, ("POST",)) for kind in Kind if kind.value.startswith("/")},
    "/v1/models": (Kind.MODELS, READS),
    **HEALTH_PATHS,
}
ADMIN_PATHS = {"/metrics": (Kind.METRICS, READS), "/status": (Kind.STATUS, READS), **HEALTH_PATHS}
MODEL_PREFIX = "/v1/models/"
RETRY_AFTER_SECONDS = 5

Paths = Mapping[str, tuple[Kind, tuple[str, ...]]]
_encode = msgspec.json.Encoder().encode


def resolve(method: str, target: str, paths: Paths) -> tuple[Kind, str] | Refusal:
    """The kind of a request and the model's id in its path (empty: none), or why it is refused."""
    if not target.startswith("/"):
        problem = f"the request target {_short(target)} is not a path; this is not a forward proxy"
        return Refusal(400, problem, "bad_request", close=True)
    path = target.partition("?")[0]
    kind, methods = paths.get(path, (None, READS))
    model = ""
    if kind is None and paths is PUBLIC_PATHS and len(path) > len(MODEL_PREFIX) and path.startswith(MODEL_PREFIX):
        kind, model = Kind.MODEL, unquote(path.removeprefix(MODEL_PREFIX))
    if kind is None:
        return Refusal(404, f"there is no {_short(path)} here; paths are {', '.join(paths)}", "model_not_found")
    if method not in methods:
        allow = ", ".join(methods)
        message = f"{path} does not take {method}; use {methods[0]}"
        return Refusal(405, message, "method_not_allowed", headers=(("allow", allow),))
    return kind, model


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")


_ANTHROPIC_TYPES = {404: "not_found_error", 413: "request_too_large"}
_ANTHROPIC_OTHERS = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error"}


def dialect_of(kind: Kind | None) -> Dialect:
    """How errors are written to those who ask for ``kind``."""
    return "anthropic" if kind is Kind.MESSAGES else "openai"


def error_body(refusal: Refusal, dialect: Dialect = "openai") -> bytes:
    """The JSON of an error. OpenAI's shape always has all four keys; Anthropic's has types of its own."""
    if dialect == "anthropic":
        other = refusal.type if refusal.type.endswith("_error") else _ANTHROPIC_OTHERS.get(refusal.status, "api_error")
        type_ = _ANTHROPIC_TYPES.get(refusal.status, other)
        return _encode({"type": "error", "error": {"type": type_, "message": refusal.message}})
    told = {"message": refusal.message, "type": refusal.type, "param": refusal.param, "code": refusal.code}
    return _encode({"error": told})


def model_not_found(model: str, served: Collection[str]) -> Refusal:
    """The answer to a model that is not one of the ``served``."""
    names = ", ".join(served)
    return Refusal(404, f"model {_short(model)} is not served here; models are: {names}", "model_not_found", "model")


def no_ready_backend(message: str) -> Refusal:
    """The answer when nobody can answer at the moment."""
    return _unavailable(message, "no_ready_backend")


def shutting_down() -> Refusal:
    """The answer to what is still running when the router's time is over."""
    return _unavailable("the router is shutting down; try again", "overloaded")


def _unavailable(message: str, code: str) -> Refusal:
    wait = (("retry-after", str(RETRY_AFTER_SECONDS)),)
    return Refusal(503, message, code, type="overloaded_error", headers=wait)


def upstream_error(message: str) -> Refusal:
    """The answer when the backends could not be reached, or did not speak HTTP."""
    return Refusal(502, message, "upstream_error", type="api_error")


def timed_out(status: int, message: str) -> Refusal:
    """The answer to a client (408) or of a backend (504) that was too slow."""
    return Refusal(status, message, "timeout", type="timeout_error", close=status == 408)


def too_large(limit: int) -> Refusal:
    """The answer to a body above ``limit`` bytes; given before the body is read whole."""
    message = f"the request's body is larger than {limit // 2**20} MiB; send less"
    return Refusal(413, message, "request_too_large", close=True)


def model_cards(snapshot: Snapshot) -> dict[str, bytes]:
    """The JSON of each model's card by its name, and of the whole list by the empty name.

    ``created`` is 0: a route's model is a name, not weights with a date.
    """
    cards = {
        name: {"id": name, "object": "model", "created": 0, "owned_by": f"{snapshot.namespace}/{snapshot.name}"}
        for name in snapshot.models
    }
    whole = _encode({"object": "list", "data": list(cards.values())})
    return {"": whole} | {name: _encode(card) for name, card in cards.items()}


def model_list(cards: Iterable[bytes]) -> bytes:
    """The JSON of a list of some of the cards."""
    return b'{"object":"list","data":[%b]}' % b",".join(cards)


class _Error(msgspec.Struct):
    message: object = None
    type: object = None
    param: object = None
    code: object = None


class _Errors(msgspec.Struct):
    error: object = None
    detail: object = None
    message: object = None


def upstream_refusal(backend: str, status: int, body: bytes) -> Refusal:
    """A backend's own error in OpenAI's shape: its words are kept, what is missing is filled in.

    vLLM's numeric codes become OpenAI's names where there is one; FastAPI's ``detail`` and other shapes become
    messages. A refusal of the credentials is told in our own words, since providers quote parts of the key.
    """
    kind = "invalid_request_error" if status < 500 else "api_error"
    if status == 429:
        kind = "rate_limit_error"
    if status in {401, 403}:
        message = f'backend "{backend}" refused the credentials that the router sent; its Secret needs a valid key'
        return Refusal(status, message, "upstream_credentials", type="permission_error")
    error = _error_in(body)
    message = error.message if isinstance(error.message, str) else f'backend "{backend}" answered {status}'
    param = error.param if isinstance(error.param, str) else None
    code = error.code if isinstance(error.code, str) else _code_of(status, param, message)
    return Refusal(status, message, code, param, error.type if isinstance(error.type, str) else kind)


def failure_kind(status: int, body: bytes, *, says_when: bool = False) -> FailureKind | None:
    """What kind of failure an answer is for whoever may take over; None: the request itself is at fault.

    A 503 is overload where it is vLLM's refusal for want of room (recorded from 0.32.0), or ``says_when`` to come back
    by a Retry-After; other 5xx are errors.
    """
    if status == 429:
        return "RateLimited"
    if status in {503, 529}:
        busy = status == 529 or says_when or b"currently busy" in body or b"verloaded" in body
        return "Overloaded" if busy else "ServerError"
    if status >= 500:
        return "ServerError"
    if status in {401, 403, 404}:
        return "Misconfigured"
    if status in {400, 413, 422} and _too_long(_error_in(body)):
        return "ContextLength"
    return None


def is_draining(status: int, body: bytes) -> bool:
    """Whether this is how a vLLM that is ending refuses new requests, while its health check still says yes."""
    return status == 500 and b"cannot schedule new futures after shutdown" in body


def _too_long(error: "_Error") -> bool:
    message = error.message if isinstance(error.message, str) else ""
    return error.code == "context_length_exceeded" or "context length" in message or "prompt is too long" in message


def status_in(error_body: bytes) -> int:
    """The status that an error in the body of a 200 stands for: its numeric code if it has one, else 502."""
    code = _error_in(error_body).code
    return code if isinstance(code, int) and 400 <= code < 600 else 502


def _error_in(body: bytes) -> _Error:
    try:
        found = msgspec.json.decode(body, type=_Errors)
        if isinstance(found.error, dict):
            return msgspec.convert(found.error, _Error)
        said = found.error or found.detail or found.message
        return _Error(message=said if said is None or isinstance(said, str) else _encode(said).decode())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Error()


def _code_of(status: int, param: str | None, message: str) -> str | None:
    if "maximum context length" in message:
        return "context_length_exceeded"
    if status == 404 and param == "model":
        return "model_not_found"
    if status == 429:
        return "rate_limit_exceeded"
    return "upstream_error" if status >= 500 else None
