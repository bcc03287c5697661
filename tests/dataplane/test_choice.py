"""What the router lets a policy know of a request, seen by who answers it."""

from typing import Any

import pytest

from modelroute.snapshot.types import Canary, Fallback, Parameters, Rule, When
from tests.dataplane.conftest import Plane, backend
from tests.fakes.client import Reply, chat, http
from tests.fakes.upstream import answers


async def two(plane: Plane, **more: Any) -> None:
    """A route to ``small`` whose other backend is ``big``."""
    small, big = await plane.upstream(), await plane.upstream()
    await plane.route(backend("small", small, weight=1), backend("big", big), **more)


async def asks_as(plane: Plane, *names: str) -> Reply:
    """The answer to a request with a header of that name for each of ``names``."""
    client = await plane.connect()
    lines = "".join(f"X-Who: {name}\r\n" for name in names).encode()
    client.send(http("POST", "/v1/chat/completions", chat(), x_who="here").replace(b"x-who: here\r\n", lines))
    return await client.reply()


@pytest.mark.parametrize(("content", "chosen"), [("x" * 10, "small"), ("x" * 11, "big"), ("\u00e9" * 10, "small")])
async def test_rules_count_the_characters_that_the_user_wrote(plane: Plane, content: str, chosen: str) -> None:
    await two(plane, rules=(Rule("long", When(min_chars=11), ("big",)),))
    assert (await plane.chat(content)).backend == chosen


async def test_rules_look_at_prompts_and_inputs_too(plane: Plane) -> None:
    await two(plane, rules=(Rule("code", When(any_keyword=("def ",)), ("big",)),))
    prompt = b'{"model":"chat","prompt":["hi","def f()"]}'
    assert (await plane.ask("POST", "/v1/completions", prompt)).backend == "big"
    assert (await plane.ask("POST", "/v1/embeddings", prompt.replace(b"prompt", b"input"))).backend == "big"


async def test_messages_that_a_rule_cannot_look_at_are_refused(plane: Plane) -> None:
    await two(plane, rules=(Rule("long", When(min_chars=11), ("big",)),))
    reply = await plane.ask("POST", "/v1/chat/completions", b'{"model":"chat","messages":["hi"]}')
    assert (reply.status, reply.error["param"], reply.backend) == (400, "messages", "-")


async def test_rules_look_at_headers(plane: Plane) -> None:
    await two(plane, rules=(Rule("private", When(headers={"x-data": "secret"}), ("big",)),))
    assert (await plane.chat(headers={"X_Data": "secret"})).backend == "big"
    assert (await plane.chat(headers={"X_Data": "other"})).backend == "small"


async def test_the_user_is_the_trusted_header_else_the_body(plane: Plane) -> None:
    await two(plane, canary=Canary("big", 0, allow=("u-1",)), user_header="x-user")
    assert (await plane.chat(headers={"x_user": "u-1"}, user="u-2")).reason == "canary allow list"
    assert (await plane.chat(headers={"x_user": "u-2"}, user="u-1")).backend == "small"
    assert (await plane.chat(user="u-1")).backend == "big"


@pytest.mark.parametrize(("name", "chosen"), [("zo\u00eb".encode(), "big"), (b"zo\xeb", "big"), (b"zo\xc3", "small")])
async def test_a_user_is_the_same_in_header_and_body(plane: Plane, name: bytes, chosen: str) -> None:
    await two(plane, canary=Canary("big", 0, allow=("zo\u00eb",)), user_header="x-user")
    assert (await plane.chat(user="zo\u00eb")).backend == "big"
    client = await plane.connect()
    client.send(http("POST", "/v1/chat/completions", chat(), x_user="NAME").replace(b"NAME", name))
    assert (await client.reply()).backend == chosen


async def test_an_empty_user_is_none(plane: Plane) -> None:
    await two(plane, canary=Canary("big", 100))
    assert (await plane.chat(user="")).reason == "canary by chance"


async def test_an_answer_tells_of_its_model_and_that_it_is_a_canarys(plane: Plane) -> None:
    small = backend("small", await plane.upstream(), weight=1)
    big = backend("big", await plane.upstream(), model="qwen-72b")
    await plane.route(small, big, canary=Canary("big", 0, allow=("u-1",)))
    told = [(await plane.chat(user=user)).headers for user in ("u-1", "u-2")]
    assert [t["x-modelroute-model"] for t in told] == ["qwen-72b", "chat"]
    assert [t.get("x-modelroute-canary") for t in told] == ["true", None]


@pytest.mark.parametrize("trusted", ["user_header", "tier_header"])
async def test_two_of_a_header_that_tells_who_asks_are_refused(plane: Plane, trusted: str) -> None:
    await two(plane, **{trusted: "x-who"})
    reply = await asks_as(plane, "ann", "bob")
    assert (reply.status, reply.backend) == (400, "-")
    assert "x-who" in reply.error["message"]


@pytest.mark.parametrize(
    ("given", "trusted"), [(("ann",), "x-who"), (("ann", "bob"), None), (("ann", "bob"), "x-else")]
)
async def test_one_of_them_or_two_that_tell_nothing_are_taken(
    plane: Plane, given: tuple[str, ...], trusted: str | None
) -> None:
    await two(plane, user_header=trusted, tier_header=trusted)
    assert (await asks_as(plane, *given)).status == 200


async def test_a_user_header_that_is_not_trusted_means_nothing(plane: Plane) -> None:
    await two(plane, canary=Canary("big", 0, allow=("u-1",)))
    assert (await plane.chat(headers={"x_user": "u-1"})).backend == "small"


async def test_a_backend_without_a_replica_is_stood_in_for(plane: Plane) -> None:
    fallbacks = (Fallback("big", ("ColdStart",)),)
    await plane.route(backend("small", weight=1), backend("big", await plane.upstream()), fallbacks=fallbacks)
    reply = await plane.chat()
    assert (reply.backend, reply.reason) == ("big", "fallback ColdStart")


async def test_a_parameter_that_only_the_fallback_refuses_is_told_to_the_client(plane: Plane) -> None:
    failing = await plane.upstream(answers({}, 500))
    big = backend("big", await plane.upstream(), parameters=Parameters(max_max_tokens=5))
    await plane.route(backend("small", failing, weight=1), big, fallbacks=(Fallback("big", ("ServerError",)),))
    reply = await plane.chat(max_tokens="many")
    assert (reply.status, reply.error["param"], reply.headers["x-modelroute-attempts"]) == (400, "max_tokens", "1")


async def test_each_backend_gets_the_body_that_is_meant_for_it(plane: Plane) -> None:
    failing, other = await plane.upstream(answers({}, 500)), await plane.upstream()
    small = backend("small", failing, weight=1, model="qwen", parameters=Parameters(system_prompt="Be brief."))
    big = backend("big", other, model="gpt", parameters=Parameters(default_temperature=0.5))
    await plane.route(small, big, fallbacks=(Fallback("big", ("ServerError",)),))
    await plane.chat()
    assert [m["role"] for m in failing.received[0].json["messages"]] == ["system", "user"]
    user = {"role": "user", "content": "hi"}
    assert other.received[0].json == {"model": "gpt", "messages": [user], "temperature": 0.5}
    assert failing.received[0].headers["x-request-id"] == other.received[0].headers["x-request-id"]


async def test_an_error_that_is_too_long_to_hold_is_told_in_our_words(plane: Plane) -> None:
    long = answers(b'{"error":{"message":"' + b"x" * 500_000 + b'"}}', 400)
    await plane.route(backend("small", await plane.upstream(long), weight=1))
    reply = await plane.chat()
    assert (reply.status, reply.error["message"]) == (400, 'backend "small" answered 400')
