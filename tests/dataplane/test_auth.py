"""Clients' keys on real sockets: who is let in, as whom, to what, how often; and that a key is seen nowhere."""

import logging
from typing import Any

import pytest

from modelroute.snapshot.types import Auth, Canary, Rule, When
from tests.dataplane.clientkeys import BEARER, BODY, KEY, OTHER, get, keys, locked, opened
from tests.dataplane.conftest import Plane, backend
from tests.fakes.client import Reply, http
from tests.fakes.upstream import Upstream, answers, resets

PLANTED = "sk-backend-0123456789"


class TestLetIn:
    @pytest.mark.parametrize("headers", [BEARER, {"x-api-key": KEY}])
    async def test_with_a_key(self, plane: Plane, headers: dict[str, str]) -> None:
        up = await opened(plane)
        assert (await plane.chat(headers=headers)).status == 200
        # The client's key never reaches a backend.
        assert KEY not in str(up.received[0])
        assert not up.received[0].headers.keys() & {"authorization", "x-api-key"}

    @pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer mr-wrong"}, {"authorization": KEY}])
    async def test_nobody_else(self, plane: Plane, headers: dict[str, str]) -> None:
        up = await opened(plane)
        for reply in (
            await plane.chat(headers=headers),
            await get(plane, "/v1/models", headers),
            await get(plane, "/v1/models/chat", headers),
        ):
            assert reply.status == 401
            assert (reply.error["type"], reply.error["code"]) == ("authentication_error", "invalid_api_key")
            assert reply.headers["www-authenticate"] == "Bearer"
        assert up.received == []
        labels = {"backend": "-", "model": "-", "type": "invalid_api_key"}
        assert await plane.metric("modelroute_errors_total", **labels) == 3

    async def test_a_client_of_anthropics_api_is_told_in_its_own_way(self, plane: Plane) -> None:
        await opened(plane)
        reply = await plane.ask("POST", "/v1/messages", BODY, x_api_key="mr-wrong")
        assert (reply.status, reply.json["type"], reply.error["type"]) == (401, "error", "authentication_error")

    async def test_health_needs_no_key(self, plane: Plane) -> None:
        await opened(plane)
        asked = (("/healthz", False), ("/readyz", False), ("/metrics", True), ("/status", True))
        assert [(await plane.ask("GET", path, admin=admin)).status for path, admin in asked] == [200] * 4

    @pytest.mark.parametrize("framing", ["content-length: 10000000", "transfer-encoding: chunked"])
    async def test_the_answer_to_a_stranger_comes_before_a_large_body(self, plane: Plane, framing: str) -> None:
        await opened(plane)
        client = await plane.connect()
        client.send(f"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n".encode())
        reply = await client.reply()
        assert (reply.status, reply.headers["connection"]) == (401, "close")

    async def test_a_stranger_is_not_told_what_is_wrong_with_the_body(self, plane: Plane) -> None:
        await opened(plane)
        reply = await plane.ask("POST", "/v1/chat/completions", b'{"model": "nope", "model": [[[')
        assert reply.status == 401

    async def test_a_connection_goes_on_after_a_401(self, plane: Plane) -> None:
        await opened(plane)
        client = await plane.connect()
        client.send(http("POST", "/v1/chat/completions", BODY) + http("POST", "/v1/chat/completions", BODY, **BEARER))
        assert [(await client.reply()).status for _ in range(2)] == [401, 200]

    async def test_a_route_that_comes_to_want_keys_wants_one_of_a_request_that_is_being_read(
        self, plane: Plane
    ) -> None:
        up = await plane.upstream()
        await plane.route(backend("small", up, weight=1))
        client = await plane.connect()
        request = http("POST", "/v1/chat/completions", BODY)
        client.send(request[:-5])
        await plane.chat()
        keys(plane)
        await locked(plane, backend("small", up, weight=1))
        client.send(request[-5:])
        assert (await client.reply()).status == 401


class TestFiles:
    async def test_a_change_is_taken_up(self, plane: Plane) -> None:
        await opened(plane)
        plane.secret("auth/keys.yaml", "- {name: app, key: mr-new}")
        assert plane.router is not None
        plane.router.poll()
        assert (await plane.chat(headers={"x-api-key": "mr-new"})).status == 200
        assert (await plane.chat(headers=BEARER)).status == 401

    async def test_no_file_lets_nobody_in(self, plane: Plane) -> None:
        await locked(plane, backend("small", await plane.upstream(), weight=1))
        reply = await plane.chat(headers=BEARER)
        assert (reply.status, reply.error["type"], reply.headers["retry-after"]) == (503, "overloaded_error", "5")
        keys(plane)
        assert plane.router is not None
        plane.router.poll()
        assert (await plane.chat(headers=BEARER)).status == 200

    @pytest.mark.parametrize("change", ["- {name: app, key: [", None])
    async def test_a_file_that_is_broken_or_gone_changes_nothing(self, plane: Plane, change: str | None) -> None:
        await opened(plane)
        if change is None:
            (plane.secrets / "auth/keys.yaml").unlink()
        else:
            plane.secret("auth/keys.yaml", change)
        assert plane.router is not None
        plane.router.poll()
        assert (await plane.chat(headers=BEARER)).status == 200
        assert (await plane.chat()).status == 401
        told = (await plane.status())["clientKeys"]
        assert told["inForce"] == await plane.metric("modelroute_client_keys") == 2
        assert "keys.yaml" in told["refused"] or "not YAML" in told["refused"]
        assert await plane.metric("modelroute_client_keys_refused") == 1

    async def test_a_file_outside_the_secrets_is_refused_with_its_snapshot(self, plane: Plane) -> None:
        await opened(plane)
        await plane.route(auth=Auth("../keys.yaml", "auth/pepper"))
        assert "below the secrets directory" in (await plane.status())["refusedSnapshot"]


class TestModels:
    async def route(self, plane: Plane, models: list[str]) -> Upstream:
        up = await plane.upstream()
        keys(plane, models=models)
        await locked(plane, backend("small", up, weight=1), models=("chat", "code", "secret"))
        return up

    async def test_a_key_may_use_its_models_alone(self, plane: Plane) -> None:
        up = await self.route(plane, ["chat", "code"])
        assert (await plane.chat(headers=BEARER, model="code")).status == 200
        reply = await plane.chat(headers=BEARER, model="secret")
        assert (reply.status, reply.error["type"], reply.error["param"]) == (403, "permission_error", "model")
        assert len(up.received) == 1

    @pytest.mark.parametrize(
        ("models", "seen"), [(["code", "chat"], ["chat", "code"]), (["gone"], []), (["chat"], ["chat"])]
    )
    async def test_a_key_sees_its_models_alone(self, plane: Plane, models: list[str], seen: list[str]) -> None:
        await self.route(plane, models)
        listed = (await get(plane, "/v1/models", BEARER)).json
        assert (listed["object"], [card["id"] for card in listed["data"]]) == ("list", seen)
        for name in ("chat", "code", "secret"):
            reply = await get(plane, f"/v1/models/{name}", BEARER)
            assert reply.status == (200 if name in seen else 404)
        others = await plane.ask("GET", "/v1/models", x_api_key=OTHER)
        assert len(others.json["data"]) == 3

    async def test_an_unknown_model_is_no_way_to_learn_of_others(self, plane: Plane) -> None:
        await self.route(plane, ["chat"])
        for reply in (
            await plane.chat(headers=BEARER, model="nope"),
            await get(plane, "/v1/models/secret", BEARER),
        ):
            assert reply.error["code"] == "model_not_found"
            assert "code" not in reply.error["message"]


class TestIdentity:
    """Whoever is user u-17 gets the canary, whoever is of tier vip the big backend."""

    async def answered(self, plane: Plane, fields: dict[str, Any], headers: dict[str, str], **more: Any) -> Reply:
        keys(plane, **fields)
        names = ("base", "canary", "big")
        backends = [backend(name, await plane.upstream(), weight=int(name == "base")) for name in names]
        await locked(
            plane,
            *backends,
            canary=Canary("canary", 0, allow=("u-17",)),
            rules=(Rule("vip", When(tiers=("vip",)), prefer=("big",)),),
            **more,
        )
        return await plane.chat(headers={**BEARER, **headers}, user="u-17")

    @pytest.mark.parametrize(
        ("fields", "chosen"),
        [({}, "base"), ({"user": "u-1"}, "base"), ({"user": "u-17"}, "canary"), ({"tier": "vip"}, "big")],
    )
    async def test_it_is_the_keys_and_never_the_bodys(self, plane: Plane, fields: dict[str, Any], chosen: str) -> None:
        reply = await self.answered(plane, fields, {"x-user-id": "u-17", "x-user-tier": "vip"})
        assert reply.backend == chosen

    @pytest.mark.parametrize(
        ("headers", "chosen"), [({"x-user-id": "u-17"}, "canary"), ({"x-user-tier": "vip"}, "big"), ({}, "base")]
    )
    async def test_a_header_that_the_route_trusts_comes_first(
        self, plane: Plane, headers: dict[str, str], chosen: str
    ) -> None:
        trusted = {"user_header": "x-user-id", "tier_header": "x-user-tier"}
        reply = await self.answered(plane, {"user": "u-1", "tier": "low"}, headers, **trusted)
        assert reply.backend == chosen


@pytest.mark.parametrize("key", [KEY, "mr-planted-wrong-0123"])
async def test_a_key_is_in_no_answer_log_metric_or_status(
    plane: Plane, caplog: pytest.LogCaptureFixture, key: str
) -> None:
    caplog.set_level(logging.DEBUG)
    keys(plane)
    plane.secret("small/key", PLANTED)
    up = await plane.upstream(answers(), answers({"error": {"message": PLANTED}}, 500), resets, answers())
    await locked(plane, backend("small", up, weight=1, external=True, loopback_allowed=True, secret_file="small/key"))
    shown: list[Reply] = []
    for headers in ({"authorization": f"Bearer {key}"}, {"x-api-key": key}, {"authorization": key}):
        for stream in (False, True):
            shown.append(await plane.chat(headers=headers, stream=stream))  # noqa: PERF401
        shown.append(await get(plane, "/v1/models", headers))
    plane.secret("auth/keys.yaml", f"- {{name: app, key: {KEY}, {key}: {key}}}\n- [{key}")
    assert plane.router is not None
    plane.router.poll()
    shown += [await plane.ask("GET", path, admin=True) for path in ("/metrics", "/status")]
    text = caplog.text + plane.file.read_text() + "".join(str(r.headers) + r.body.decode() for r in shown)
    assert key not in text
    assert PLANTED not in text
    assert key not in str(up.received)
