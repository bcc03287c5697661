"""The admin port, health on both ports, and what the metrics say."""

import pytest

from tests.dataplane.conftest import Plane, backend
from tests.fakes.client import chat
from tests.fakes.upstream import DONE, OPENER, answers, streams, text


@pytest.mark.parametrize("admin", [False, True])
@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_health_answers_on_both_ports(plane: Plane, path: str, admin: bool) -> None:
    await plane.route(backend("small", weight=1))
    assert (await plane.ask("GET", path, admin=admin)).status == 200


@pytest.mark.parametrize("path", ["/v1/models", "/v1/chat/completions"])
async def test_clients_are_not_served_on_the_admin_port(plane: Plane, path: str) -> None:
    await plane.route(backend("small", await plane.upstream(), weight=1))
    reply = await plane.ask("POST", path, chat(), admin=True)
    assert (reply.status, reply.error["code"]) == (404, "model_not_found")


async def test_the_admin_port_may_be_at_another_address(plane: Plane) -> None:
    """As in a pod whose own containers ask on loopback, while kubelet and operator ask from outside."""
    plane.write(backend("small", weight=1))
    router = await plane.start(admin_host="127.0.0.2")
    [public], [admin] = (server.sockets for server in router._servers)
    assert (public.getsockname()[0], admin.getsockname()[0]) == ("127.0.0.1", "127.0.0.2")


async def test_the_status_tells_what_is_running(plane: Plane) -> None:
    router = await plane.route(backend("small", "10.0.0.1:8000", weight=1), backend("cold"))
    assert router.live.route is not None
    replica = {"address": "10.0.0.1:8000", "inFlight": 0, "ejected": False, "ejectedSeconds": 0.0}
    counts = {"inFlight": 0, "waiting": 0, "requests": 0, "cold": 0}
    status = await plane.status()
    assert [0 <= b.pop("quietSeconds") < 60 for b in status["backends"]] == [True, True]
    assert status == {
        "namespace": "team",
        "name": "chat",
        "revision": router.live.route.snapshot.revision,
        "generation": 1,
        "ready": True,
        "refusedSnapshot": None,
        "backends": [
            {"name": "small", **counts, "trouble": None, "replicas": [replica]},
            {"name": "cold", **counts, "trouble": "ColdStart", "replicas": []},
        ],
        "clientKeys": None,
    }


async def test_metrics_are_in_prometheus_text_format(plane: Plane) -> None:
    await plane.route(backend("small", weight=1))
    reply = await plane.ask("GET", "/metrics", admin=True)
    assert reply.headers["content-type"].startswith("text/plain; version=")
    assert "# TYPE modelroute_requests_total counter" in reply.body.decode()


async def test_the_snapshot_that_runs_is_a_metric(plane: Plane) -> None:
    router = await plane.route(backend("small", weight=1))
    assert router.live.route is not None
    revision = router.live.route.snapshot.revision
    assert await plane.metric("modelroute_snapshot_info", revision=revision, generation="1") == 1


async def test_a_request_is_counted_by_backend_model_version_and_code(plane: Plane) -> None:
    script = answers(), answers({"error": {}}, 400)
    await plane.route(backend("small", await plane.upstream(*script), weight=1, version="v2"), models=("chat", "code"))
    await plane.chat(model="code")
    await plane.chat(model="chat")
    who = {"backend": "small", "version": "v2"}
    assert await plane.metric("modelroute_requests_total", **who, model="code", code="200") == 1
    assert await plane.metric("modelroute_requests_total", **who, model="chat", code="400") == 1
    assert await plane.metric("modelroute_errors_total", **who, model="chat", type="http_400") == 1
    assert await plane.metric("modelroute_request_duration_seconds_count", **who, model="code") == 1


async def test_tokens_of_a_whole_answer_are_those_of_its_usage(plane: Plane) -> None:
    usage = {"usage": {"prompt_tokens": 30, "total_tokens": 37, "completion_tokens": 7}, "kv": None}
    await plane.route(backend("small", await plane.upstream(answers(usage)), weight=1))
    await plane.chat()
    assert await plane.metric("modelroute_tokens_total", backend="small", kind="prompt") == 30
    assert await plane.metric("modelroute_tokens_total", backend="small", kind="completion") == 7


async def test_tokens_of_a_long_answer_are_those_of_the_usage_at_its_end(plane: Plane) -> None:
    long = {"data": "x" * 3_000_000, "usage": {"prompt_tokens": 30, "completion_tokens": 7}}
    await plane.route(backend("small", await plane.upstream(answers(long)), weight=1))
    await plane.chat()
    assert await plane.metric("modelroute_tokens_total", backend="small", kind="prompt") == 30


async def test_tokens_of_a_stream_are_those_of_its_usage(plane: Plane) -> None:
    tail = b'data: {"choices":[],"usage":{"prompt_tokens":11,"total_tokens":15,"completion_tokens":4}}\n\n'
    await plane.route(backend("small", await plane.upstream(streams(OPENER, text("a"), tail, DONE)), weight=1))
    await plane.chat(stream=True)
    assert await plane.metric("modelroute_tokens_total", backend="small", kind="prompt") == 11
    assert await plane.metric("modelroute_tokens_total", backend="small", kind="completion") == 4


async def test_a_stream_without_usage_has_its_events_with_text_counted(plane: Plane) -> None:
    await plane.route(backend("small", await plane.upstream(streams(OPENER, text("a"), text("b"), DONE)), weight=1))
    await plane.chat(stream=True)
    assert await plane.metric("modelroute_tokens_total", backend="small", kind="completion") == 2
    assert await plane.metric("modelroute_time_to_first_token_seconds_count", backend="small") == 1


async def test_an_opener_is_not_the_first_token(plane: Plane) -> None:
    await plane.route(backend("small", await plane.upstream(streams(OPENER, DONE)), weight=1))
    await plane.chat(stream=True)
    assert await plane.metric("modelroute_time_to_first_token_seconds_count", backend="small") == 0


async def test_what_clients_write_is_never_a_label(plane: Plane) -> None:
    await plane.route(backend("small", await plane.upstream(), weight=1))
    for n in range(20):
        await plane.chat(model=f"planted-{n}", user=f"planted-{n}", headers={"x_planted": f"planted-{n}"})
        await plane.ask("GET", f"/planted-{n}")
    page = (await plane.ask("GET", "/metrics", admin=True)).body.decode()
    assert "planted" not in page
    assert await plane.metric("modelroute_requests_total", backend="-", model="-", code="404") == 40
