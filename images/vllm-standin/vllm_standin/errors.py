"""Every refusal the stand-in can give, in vLLM's shape and in OpenAI's.

`asks` and `api` raise these; `api` turns one into an answer in the shape of the server's role. The vLLM side is held
to recorded answers by tests; the OpenAI side follows that API's published error objects. No message repeats a key.
"""

from typing import Any


class ApiError(Exception):
    """A refusal: its status and body as vLLM gives it, and as OpenAI would."""

    def __init__(self, status: int, vllm: dict[str, Any], openai: dict[str, Any], openai_status: int = 0) -> None:
        super().__init__(status)
        self._vllm = (status, vllm)
        self._openai = (openai_status or status, {"error": openai})

    def shaped(self, *, openai: bool) -> tuple[int, dict[str, Any]]:
        """The status and the JSON body for a server in this role."""
        return self._openai if openai else self._vllm


def _vllm(code: int, kind: str, message: str, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _openai(
    message: str, param: str | None = None, code: str | None = None, kind: str = "invalid_request_error"
) -> dict[str, Any]:
    return {"message": message, "type": kind, "param": param, "code": code}


def not_found(method: str, path: str) -> ApiError:
    """A path that nothing serves."""
    return ApiError(404, {"detail": "Not Found"}, _openai(f"Invalid URL ({method} {path})"))


def wrong_method(method: str, path: str) -> ApiError:
    """A path that is served, but not by this method."""
    message = f"Not allowed to {method} on {path}"
    return ApiError(405, {"detail": "Method Not Allowed"}, _openai(message, code="method_not_supported"))


def unauthorized() -> ApiError:
    """No key, or a wrong one."""
    message = "Incorrect API key provided. Check the key that this server was started with."
    return ApiError(401, {"error": "Unauthorized"}, _openai(message, code="invalid_api_key"))


def bad_json(position: int, reason: str) -> ApiError:
    """A body that is no JSON."""
    what = {"type": "json_invalid", "loc": f"body.{position}", "msg": "JSON decode error", "input": "<dict of 0 items>"}
    message = f"1 validation error:\n  {what | {'ctx': {'error': reason}}}"
    openai = _openai("We could not parse the JSON body of your request.")
    return ApiError(400, _vllm(400, "Bad Request", message, f"body.{position}"), openai)


def not_json() -> ApiError:
    """A body that does not say it is JSON."""
    message = "1 validation error:\n  Unsupported Media Type: Only 'application/json' is allowed"
    return ApiError(400, _vllm(400, "Bad Request", message), _openai("The content-type must be application/json."))


def bad_encoding() -> ApiError:
    """A body that is not UTF-8, or nested too deeply to be read."""
    openai = _openai("We could not parse the JSON body of your request.")
    return ApiError(400, {"detail": "There was an error parsing the body"}, openai)


def bad_field(field: str, kind: str, reason: str, given: object) -> ApiError:
    """A field that is missing (kind `missing`) or of the wrong type."""
    loc = f"body.{field}" if field else "body"
    shown = f"<{type(given).__name__} of {len(given)} items>" if isinstance(given, dict | list) else str(given)
    what = {"type": kind, "loc": loc, "msg": reason, "input": shown}
    code = "missing_required_parameter" if kind == "missing" else "invalid_type"
    message = f"Missing required parameter: '{field}'." if kind == "missing" else f"Invalid '{field}': {reason}."
    error = _vllm(400, "Bad Request", f"1 validation error:\n  {what}", loc)
    return ApiError(400, error, _openai(message, field or None, code))


def bad_value(message: str, param: str | None, value: object = None) -> ApiError:
    """A field of the right type whose value cannot be used; `param` None when no single field is at fault."""
    about = f" (parameter={param})" if value is None else f" (parameter={param}, value={value})"
    text = message + (about if param else "")
    return ApiError(400, _vllm(400, "BadRequestError", text, param), _openai(message, param, "invalid_value"))


def context_overflow(limit: int, tokens: int) -> ApiError:
    """A prompt longer than the context; vLLM counts no further than one above the limit."""
    message = (
        f"This model's maximum context length is {limit} tokens. However, your prompt contains at least {limit + 1} "
        "input tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input "
        f"prompt. (parameter=input_tokens, value={limit + 1})"
    )
    openai = (
        f"This model's maximum context length is {limit} tokens. However, your messages resulted in {tokens} tokens. "
        "Please reduce the length of the messages."
    )
    return ApiError(
        400,
        _vllm(400, "BadRequestError", message, "input_tokens"),
        _openai(openai, "messages", "context_length_exceeded"),
    )


def too_many_tokens(param: str, asked: int, limit: int) -> ApiError:
    """More output asked for than the whole context holds."""
    message = f"{param}={asked} cannot be greater than max_model_len={limit}. Please request fewer output tokens."
    return bad_value(message, param, asked)


def unknown_model(name: str, served: tuple[str, ...]) -> ApiError:
    """A model that is not served under this name."""
    message = f"The model `{name}` does not exist. Valid aliases: {', '.join(served)}."
    openai = _openai(f"The model `{name}` does not exist or you do not have access to it.", code="model_not_found")
    return ApiError(404, _vllm(404, "NotFoundError", message, "model"), openai)


def busy() -> ApiError:
    """The queue is full: 503 from vLLM, 429 from a hosted API."""
    message = (
        "The engine is currently busy and cannot accept new requests. "
        "Please try again later or on a different instance."
    )
    openai = _openai("Rate limit reached for requests.", code="rate_limit_exceeded", kind="requests")
    return ApiError(503, _vllm(503, "Service Unavailable", message), openai, openai_status=429)


def draining() -> ApiError:
    """What a server that was told to stop says to new requests."""
    message = "cannot schedule new futures after shutdown"
    openai = _openai("The server had an error while processing your request.", kind="server_error")
    return ApiError(500, _vllm(500, "InternalServerError", message), openai)
