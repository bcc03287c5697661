"""Which of a backend's header lines clients see: limits where they are the client's own, times that are times."""

from typing import Any

import pytest

from tests.dataplane.clientkeys import BEARER, opened
from tests.dataplane.conftest import Plane, backend
from tests.dataplane.faults import asking
from tests.fakes.client import Client
from tests.fakes.upstream import DONE, Received, Script, Wire, answers

NAMES = [f"x-ratelimit-{what}-{of}" for what in ("limit", "remaining", "reset") for of in ("requests", "tokens")]
THEIRS: dict[str, Any] = {name.replace("-", "_"): "77" for name in NAMES}
MORE: dict[str, Any] = {"x_ratelimit_policy": "77", "x_ratelimit_limit_audio": "77", "x_ratelimit_reset": "77"}
PASSED = sorted(f"{name}: 77" for name in NAMES)


async def streamed(_: Received, wire: Wire) -> None:
    wire.head(content_type="text/event-stream", transfer_encoding="chunked", **THEIRS, **MORE)
    wire.chunk(DONE)
    wire.end()


SCRIPTS = {
    "whole": answers(**THEIRS, **MORE),
    "long": answers({"output": "x" * 300_000}, **THEIRS, **MORE),
    "streamed": streamed,
    "error": answers({"error": {"message": "no"}}, 400, **THEIRS, **MORE),
}
each_kind = pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)


async def limits_of(client: Client) -> list[str]:
    """The lines of an answer's head that tell of limits, those that are there twice twice."""
    head = (await client.reader.readuntil(b"\r\n\r\n")).decode()
    return sorted(line for line in head.split("\r\n") if line.startswith("x-ratelimit"))


@each_kind
async def test_who_has_a_key_sees_its_own_limits_and_never_the_backends(plane: Plane, script: Script) -> None:
    await opened(plane, scripts=[script], limits={"requestsPerMinute": 9, "tokensPerMinute": 9000})
    lines = await limits_of(await asking(plane, headers=BEARER, stream=True))
    assert [line.partition(": ")[0] for line in lines] == sorted(NAMES)
    assert not any(line.endswith(" 77") for line in lines)


@each_kind
async def test_a_key_without_limits_shows_none(plane: Plane, script: Script) -> None:
    await opened(plane, scripts=[script])
    assert await limits_of(await asking(plane, headers=BEARER, stream=True)) == []


@each_kind
async def test_without_keys_the_backends_limits_are_shown_once(plane: Plane, script: Script) -> None:
    await plane.route(backend("small", await plane.upstream(script), weight=1))
    assert await limits_of(await asking(plane, stream=True)) == PASSED


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(
    ("value", "shown"),
    [("7", "7"), ("0.5", "0.5"), ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT")]
    + [(value, None) for value in ("soon", "-1", "7, 8", "7 s")],
)
async def test_a_time_to_come_back_is_shown_where_it_is_one(
    plane: Plane, status: int, value: str, shown: str | None
) -> None:
    body = {"error": {"message": "no"}} if status == 400 else None
    await plane.route(backend("small", await plane.upstream(answers(body, status, retry_after=value)), weight=1))
    assert (await plane.chat()).headers.get("retry-after") == shown
