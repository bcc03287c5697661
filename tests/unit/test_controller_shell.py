"""The edges of the operator's process: its admin port, its logs, its credentials, the requests that it makes."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import kubernetes.aio.client
import pytest
from aiohttp import ClientSession, web

from modelroute.controller import admin
from modelroute.controller.kube.calls import ApiError, NotLeadingError
from modelroute.controller.kube.cluster import Cluster, credentials
from modelroute.controller.kube.fencing import Fence
from modelroute.controller.kube.kinds import CONFIG_MAP, LEASE
from modelroute.controller.logs import OneLine, Seldom
from modelroute.errors import ModelRouteError

META = {"namespace": "a", "name": "c", "uid": "u"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def asked(path: str, unwell: str = "", unready: str = "") -> tuple[int, str]:
    """What the admin port answers when this is wrong."""

    async def main() -> tuple[int, str]:
        port = free_port()
        runner = await admin.start(port, lambda: unwell, lambda: unready)
        async with ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
            found = answer.status, await answer.text()
        await runner.cleanup()
        return found

    return asyncio.run(main())


def test_a_working_operator_is_alive() -> None:
    assert asked("/healthz", unready="not yet") == (200, "ok\n")


def test_what_ails_it_is_said_to_the_kubelet() -> None:
    assert asked("/healthz", unwell="deaf") == (503, "deaf\n")


def test_an_operator_that_could_lead_is_ready() -> None:
    assert asked("/readyz", unwell="deaf") == (200, "ok\n")
    assert asked("/readyz", unready="not yet") == (503, "not yet\n")


def test_metrics_are_served() -> None:
    status, text = asked("/metrics")
    assert (status, "modelroute_queue_length" in text) == (200, True)


def line(message: str, *, route: str | None = None, error: Exception | None = None) -> str:
    info = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("x", logging.WARNING, "f.py", 1, message, (), info)
    record.created = 0
    if route:
        record.route = route
    return OneLine().format(record)


def test_a_log_record_is_one_line_with_its_route() -> None:
    assert line("made it", route="team-a/chat") == (
        'time=1970-01-01T00:00:00Z level=warning route=team-a/chat msg="made it"'
    )


def test_a_traceback_stays_on_the_line() -> None:
    assert "\n" not in line("two\nlines", error=ValueError("x\ny"))


def told(seldom: Seldom, name: str, text: str, at: float) -> bool:
    record = logging.LogRecord(name, logging.ERROR, "f.py", 1, text, (), None)
    record.created = at
    return bool(seldom.filter(record))


def test_what_kopf_says_again_and_again_is_told_once_a_minute() -> None:
    seldom, text = Seldom(), "Request attempt #{} failed; will retry: GET /api/v1/pods?resourceVersion={}"
    tries = [told(seldom, "kopf.x", text.format(n, n + 700), at=10.0 * n) for n in range(13)]
    assert [n for n, was_told in enumerate(tries) if was_told] == [0, 6, 12]
    assert told(seldom, "kopf.x", text.format(1, 1).replace("pods", "services"), at=121)


def test_what_the_operator_says_is_told_each_time() -> None:
    seldom = Seldom()
    assert all(told(seldom, "modelroute.controller.app", "starting over", at=1) for _ in range(3))


def test_without_a_cluster_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(ModelRouteError, match=r"no cluster to work with: .*; set KUBECONFIG, or run in a pod"):
        asyncio.run(credentials())


def request(
    answer: Callable[[web.Request], Awaitable[web.Response]] | None,
    call: Callable[[Cluster], Any],
    fence: Fence | None = None,
) -> Any:
    """What ``call`` gets from an API server that answers so; None: there is none."""

    async def main() -> Any:
        port = free_port()
        app = web.Application()
        runner = web.AppRunner(app)
        if answer:
            app.router.add_route("*", "/{path:.*}", answer)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", port).start()
        cluster = Cluster(kubernetes.aio.client.Configuration(host=f"http://127.0.0.1:{port}"), fence)
        try:
            return await call(cluster)
        finally:
            await cluster.close()
            await runner.cleanup()

    return asyncio.run(main())


def find(cluster: Cluster) -> Any:
    return cluster.find(CONFIG_MAP, "a", "c")


def test_it_says_who_asks() -> None:
    agents: list[str] = []

    async def answer(asking: web.Request) -> web.Response:
        agents.append(asking.headers["User-Agent"])
        return web.json_response({"metadata": {"name": "c"}})

    assert request(answer, find)["kind"] == "ConfigMap"
    assert agents[0].startswith("modelroute-operator/")


def test_a_refusal_keeps_the_servers_words_and_its_wish() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"message": "slow down"}, status=429, headers={"Retry-After": "7"})

    with pytest.raises(ApiError, match="cannot get ConfigMap/c: slow down") as refused:
        request(answer, find)
    assert (refused.value.status, refused.value.retry_after, refused.value.lasting) == (429, 7, False)


def test_an_answer_that_is_not_the_api_servers_is_told_by_its_code() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=502, text="<html>")

    with pytest.raises(ApiError, match="the API server said 502"):
        request(answer, find)


def test_an_answer_that_is_no_json_is_an_error_of_the_request() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="<html>")

    with pytest.raises(ApiError, match="cannot get ConfigMap/c"):
        request(answer, find)


def test_a_server_that_is_not_there_is_an_error_that_passes() -> None:
    with pytest.raises(ApiError, match="cannot get ConfigMap/c") as refused:
        request(None, find)
    assert (refused.value.status, refused.value.lasting) == (0, False)


def test_only_the_keys_of_a_secret_are_kept() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"metadata": {"name": "s"}, "data": {"token": "c2VjcmV0"}})

    assert request(answer, lambda cluster: cluster.secret_keys("a", "s")) == {"token"}


def test_a_secret_that_is_not_there_has_no_keys_at_all() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"message": "not found"}, status=404)

    assert request(answer, lambda cluster: cluster.secret_keys("a", "s")) is None


@pytest.mark.parametrize(
    ("answered", "left"),
    [
        ({"kind": "Status", "metadata": {}, "status": "Success"}, False),
        ({"metadata": META}, False),  # some kinds answer with what was there
        ({"metadata": META | {"deletionTimestamp": "2026-05-01T08:00:00Z"}}, True),
    ],
    ids=["gone", "gone, as it was", "held by a finalizer"],
)
def test_what_is_left_of_an_object_that_is_deleted(answered: dict[str, Any], left: bool) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(answered)

    found = request(answer, lambda cluster: cluster.delete({"kind": "ConfigMap", "metadata": META}))
    assert found == (answered if left else None)


WRITES: dict[str, Callable[[Cluster], Any]] = {
    "apply": lambda cluster: cluster.apply({"kind": "ConfigMap", "metadata": META}),
    "reset": lambda cluster: cluster.reset({"kind": "ConfigMap"}, {"kind": "ConfigMap", "metadata": META}),
    "delete": lambda cluster: cluster.delete({"kind": "ConfigMap", "metadata": META}),
    "write_status": lambda cluster: cluster.write_status({"metadata": META}, {}),
    "annotate_pod": lambda cluster: cluster.annotate_pod({"metadata": META}, {}),
    "publish": lambda cluster: cluster.publish("a", {}),
    "create": lambda cluster: cluster.create(CONFIG_MAP, {"metadata": META}),
    "set_pod_condition": lambda cluster: cluster.set_pod_condition({"metadata": META}, {}),
    "merge": lambda cluster: cluster.merge(CONFIG_MAP, "a", "c", {}),
    "edit": lambda cluster: cluster.edit(CONFIG_MAP, "a", "c", []),
    "replace": lambda cluster: cluster.replace(CONFIG_MAP, {"metadata": META}),
}


async def well(_: web.Request) -> web.Response:
    return web.json_response({"metadata": META})


async def never(_: web.Request) -> web.Response:
    pytest.fail("it was asked")


@pytest.mark.parametrize("write", WRITES)
def test_o06_nothing_is_written_while_it_does_not_lead(write: str) -> None:
    with pytest.raises(NotLeadingError, match="this operator does not lead"):
        request(never, WRITES[write], Fence())


@pytest.mark.parametrize("write", WRITES)
def test_a_leader_writes(write: str) -> None:
    fence = Fence()
    fence.extend(float("inf"))
    request(well, WRITES[write], fence)


def test_all_that_a_cluster_does_is_a_read_or_tried_here() -> None:
    reads = {"find", "select", "secret_keys", "has_claim", "serves_routes", "close", "configuration"}
    assert {name for name in vars(Cluster) if not name.startswith("_")} == reads | set(WRITES)


def test_whether_it_leads_or_not_it_reads_and_writes_the_lease() -> None:
    assert request(well, find, Fence())
    assert request(well, lambda cluster: cluster.replace(LEASE, {"metadata": META}), Fence())


def test_no_request_is_looked_up_in_the_environments_proxies() -> None:
    async def main() -> bool:
        cluster = Cluster(kubernetes.aio.client.Configuration(host="http://127.0.0.1:1"))
        session = cluster._client.rest_client._create_pool_manager()
        await session.close()
        return bool(session.trust_env)

    assert asyncio.run(main()) is False
