"""The stand-in answers as the real server did: same status, same type, same keys in the same order, same kinds of
values; errors and facts word by word. Recordings: tests/golden/vllm."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from vllm_standin.api import Api
from vllm_standin.engine import Engine
from vllm_standin.settings import parse
from vllm_standin.web import Answer, Stream
from vllm_standin.wire import Request

GOLDEN = Path(__file__).parents[1] / "golden" / "vllm"
RECORDED: list[dict[str, Any]] = json.loads((GOLDEN / "answers.json").read_text())
METRICS: dict[str, dict[str, Any]] = json.loads((GOLDEN / "metrics.json").read_text())
SERVED = ["serve", "tiny-llama", "--served-model-name", "tiny", "tiny-alias", "--max-model-len=2048"]
# What a run makes anew, and what a model without weights cannot know.
FREE = {"id", "created", "content", "text", "tokens"}


def served(*flags: str) -> tuple[Api, Engine]:
    settings, _ = parse([*SERVED, "--enable-prompt-tokens-details", *flags], {"VLLM_SERVER_DEV_MODE": "1"})
    engine = Engine(settings)
    return Api(settings, engine), engine


async def ask(api: Api, method: str, target: str, body: object = None) -> tuple[int, str | None, Any]:
    path, _, query = target.partition("?")
    data = body.encode() if isinstance(body, str) else b"" if body is None else json.dumps(body).encode()
    reply = await api(
        Request(method, path, query, {"content-type": "application/json"}, data, keep_alive=True, chunks_allowed=True)
    )
    if isinstance(reply, Stream):
        events = [event.decode().removeprefix("data: ").strip() async for event in reply.events]
        reply.close()
        return 200, "text/event-stream; charset=utf-8", [e if e == "[DONE]" else json.loads(e) for e in events]
    assert isinstance(reply, Answer)
    text = reply.body.decode()
    return reply.status, reply.content_type, json.loads(text) if reply.content_type == "application/json" else text


def same_kind(value: Any, recorded: Any, at: str = "") -> None:
    if isinstance(recorded, dict):
        assert list(value) == list(recorded), at
        for key, part in recorded.items():
            same_kind(value[key], part, f"{at}.{key}")
    elif isinstance(recorded, list) and not at.endswith(".tokens"):
        assert len(value) == len(recorded), at
        for index, part in enumerate(recorded):
            same_kind(value[index], part, f"{at}.{index}")
    elif at.rpartition(".")[2] in FREE:
        assert type(value) is type(recorded), at
    else:
        assert value == recorded, at


@pytest.mark.parametrize(
    "case", [c for c in RECORDED if c["name"] not in {"error_busy", "error_draining"}], ids=lambda c: c["name"]
)
def test_answers_as_recorded(case: dict[str, Any]) -> None:
    body = json.loads(json.dumps(case["body"]).replace("route * 3000", "route " * 3000))

    async def run() -> tuple[int, str | None, Any]:
        api, engine = served()
        if case["name"] in {"is_sleeping_asleep", "wake_up"}:
            engine.sleep(1)
        return await ask(api, case["method"], case["path"], body)

    status, content_type, answer = asyncio.run(run())
    assert (status, content_type) == (case["status"], case["content_type"])
    same_kind(answer or None, case["answer"])


def test_a_full_queue_is_refused_as_recorded() -> None:
    case = next(c for c in RECORDED if c["name"] == "error_busy")

    async def run() -> tuple[int, str | None, Any]:
        api, engine = served("--max-num-queued-reqs", "1")
        await engine.admit(1, ["x"], "stop")
        return await ask(api, case["method"], case["path"], case["body"])

    assert asyncio.run(run()) == (case["status"], case["content_type"], case["answer"])


def test_a_draining_server_refuses_as_recorded_and_stays_healthy() -> None:
    case = next(c for c in RECORDED if c["name"] == "error_draining")

    async def run() -> list[tuple[int, str | None, Any]]:
        api, engine = served()
        await engine.drain(0)
        return [await ask(api, case["method"], case["path"], case["body"]), await ask(api, "GET", "/health")]

    assert asyncio.run(run()) == [(case["status"], case["content_type"], case["answer"]), (200, None, "")]


def sampled(page: str) -> dict[str, dict[str, Any]]:
    """What a metrics page shows, in the form of metrics.json."""
    kinds: dict[str, str] = {}
    found: dict[str, dict[str, Any]] = {}
    for line in page.splitlines():
        if line.startswith("# TYPE"):
            kinds[line.split()[2]] = line.split()[3]
        elif not line.startswith("#"):
            name, labels, _ = re.fullmatch(r"([\w:]+)\{(.*)\} ([\d.e+-]+)", line).groups()  # type: ignore[union-attr]
            pairs = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            kind = kinds.get(name) or kinds[re.sub("_(bucket|count|sum)$", "", name)]
            entry = found.setdefault(name, {"type": kind, "labels": sorted(pairs)})
            for key in {"le", "reason", "finished_reason", "sleep_state"} & pairs.keys():
                entry.setdefault(key, [])
                entry[key] += [pairs[key]] if pairs[key] not in entry[key] else []
    return found


def test_metrics_have_the_recorded_names_types_labels_and_buckets() -> None:
    async def run() -> str:
        api, _ = served()
        await ask(api, "GET", "/health")
        _, _, page = await ask(api, "GET", "/metrics")
        return str(page)

    assert sampled(asyncio.run(run())) == METRICS


def test_metrics_count_what_was_asked() -> None:
    async def run() -> str:
        api, _ = served()
        await ask(api, "POST", "/v1/completions", {"prompt": "Hello, what is", "max_tokens": 3})
        await ask(api, "POST", "/v1/completions", {"prompt": "Hello"})
        _, _, page = await ask(api, "GET", "/metrics")
        return str(page)

    page = asyncio.run(run())
    both = '{engine="0",model_name="tiny"}'
    assert f"vllm:prompt_tokens_total{both} 5.0" in page
    assert f"vllm:generation_tokens_total{both} 19.0" in page
    assert f"vllm:time_to_first_token_seconds_count{both} 2.0" in page
    assert f"vllm:inter_token_latency_seconds_count{both} 17.0" in page
    assert 'vllm:request_success_total{engine="0",finished_reason="length",model_name="tiny"} 2.0' in page
    assert 'http_requests_total{handler="/v1/completions",method="POST",status="2xx"} 2.0' in page
