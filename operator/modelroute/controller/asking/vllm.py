"""What the operator asks of one replica, in vLLM's API: whether it is healthy, a first request, to sleep, to wake up.

Called by ``errands``. Never says what a replica answered: of a refusal no more than its own short message.
"""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from modelroute.controller.asking.client import Answer, Pods
from modelroute.controller.asking.words import plain
from modelroute.errors import ModelRouteError
from modelroute.planning.errands import WarmUp

HEALTH_SECONDS = 5.0
SLEEP_SECONDS = 120.0
"""Tens of GiB go from the GPU to the node's memory."""
_UNKNOWN = (404, 405, 501)
_ANSWERS = (b'"choices"', b'"data"')


class ReplicaError(ModelRouteError):
    """A replica that did not do what it was asked to; the message is a sentence's end, without its address."""


class Timed(NamedTuple):
    """A warm-up that succeeded, in seconds."""

    health: float
    answer: float


class _Form(NamedTuple):
    path: str
    body: dict[str, object]


class _Error(msgspec.Struct):
    message: str = ""


class _Refusal(msgspec.Struct):
    error: _Error | None = None


async def warm_up(pods: Pods, asked: WarmUp) -> Timed:
    """/health, then the request. ReplicaError and UnansweredError say what went wrong.

    A chat first; where chats are not served, or the model has no template for them, a completion, then an embedding.
    """
    url = f"http://{asked.address}"
    health = await pods.get(f"{url}/health", min(HEALTH_SECONDS, asked.timeout))
    if health.status != 200:
        raise ReplicaError(f"/health said {health.status}")
    refusals: list[str] = []
    for form in _forms(asked):
        answer = await pods.post(f"{url}{form.path}", form.body, asked.timeout)
        if answer.status == 200:
            if not any(mark in answer.body for mark in _ANSWERS):
                raise ReplicaError(f"{form.path} said 200, but nothing that is an answer")
            return Timed(health.seconds, answer.seconds)
        if _is_served(answer):
            refusals.append(_refusal(form.path, answer))
        if answer.status not in (400, 404, 405):
            break
    raise ReplicaError(refusals[0] if refusals else _unserved(asked))


async def sleep(pods: Pods, address: str) -> None:
    """Have it put its weights into the node's memory; one that sleeps sleeps on. Errors: see ``warm_up``."""
    path = "/sleep?level=1"
    answer = await pods.post(f"http://{address}{path}", None, SLEEP_SECONDS)
    if answer.status == 404:
        raise ReplicaError(f"{path} is not served; vLLM serves it with VLLM_SERVER_DEV_MODE=1 in its environment")
    if answer.status != 200:
        raise ReplicaError(_refusal(path, answer))


async def wake(pods: Pods, address: str, timeout: float) -> float | None:  # noqa: ASYNC109 - of one request
    """Have it take its weights back; the seconds that this took. One that is awake goes on. Errors: see ``warm_up``.

    None: it knows no such command, so that it cannot sleep either. One that fails to wake is not to be asked: vLLM
    ends by a request that it gets without its weights.
    """
    answer = await pods.post(f"http://{address}/wake_up", None, timeout)
    if answer.status in _UNKNOWN:
        return None
    if answer.status != 200:
        raise ReplicaError(_refusal("/wake_up", answer))
    return answer.seconds


def _forms(asked: WarmUp) -> Iterator[_Form]:
    length = {"model": asked.model, "max_tokens": asked.max_tokens}
    yield _Form("/v1/chat/completions", length | {"messages": [{"role": "user", "content": asked.prompt}]})
    yield _Form("/v1/completions", length | {"prompt": asked.prompt})
    yield _Form("/v1/embeddings", {"model": asked.model, "input": asked.prompt})


def _unserved(asked: WarmUp) -> str:
    paths = ", ".join(form.path for form in _forms(asked))
    return f"it serves none of {paths}; for other models, set warmup.readinessGate to false and no schedules"


def _is_served(answer: Answer) -> bool:
    """Whether the path is there: a 404 in OpenAI's shape is about the model that was asked for."""
    return answer.status not in (404, 405) or bool(_message(answer))


def _refusal(path: str, answer: Answer) -> str:
    said = _message(answer)
    return f"{path} said {answer.status}{f': {said}' if said else ''}"


def _message(answer: Answer) -> str:
    """The message of an error in OpenAI's shape, in plain characters and not for ever; nothing of any other answer."""
    try:
        error = msgspec.json.decode(answer.body, type=_Refusal).error
    except msgspec.DecodeError:  # a ValidationError is one, too
        return ""
    return plain(error.message) if error else ""
