"""Clients' keys: what may be in their file, what is said of a bad one, whom a key lets in and how often."""

import hashlib
import hmac
import json
import logging
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from modelroute.router.clients.clientfile import ClientsError, Entry, Hasher, load
from modelroute.router.clients.clients import FREE, Clients, Identity, Lease, model_refusal
from modelroute.router.surface.openai import Refusal

PEPPER = b"pepper-pepper-pepper"
KEY = "mr-planted-0123456789"
HASHED = "hmac-sha256:" + hmac.digest(PEPPER, KEY.encode(), "sha256").hex()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Files:
    """The two files, and the keys in them."""

    def __init__(self, directory: Path) -> None:
        self.keys, self.pepper = directory / "keys.yaml", directory / "pepper"
        self.clock = Clock()
        self.pepper.write_bytes(PEPPER + b"\n")

    def write(self, text: object) -> None:
        self.keys.write_text(text if isinstance(text, str) else json.dumps(text))

    def load(self, text: object) -> tuple[Entry, ...]:
        self.write(text)
        return load(self.keys, self.pepper).entries

    def clients(self, **fields: Any) -> Clients:
        self.write([{"name": "app", "key": KEY, **fields}])
        return Clients(self.keys, self.pepper, self.clock)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def identity(clients: Clients, key: str = KEY) -> Identity:
    found = clients.authenticate({b"authorization": b"Bearer " + key.encode()})
    assert isinstance(found, Identity)
    return found


def lease(clients: Clients, size: int = 40) -> Lease:
    found = clients.enter(identity(clients), size)
    assert isinstance(found, Lease)
    return found


def refusal(clients: Clients, size: int = 40) -> Refusal:
    found = clients.enter(identity(clients), size)
    assert isinstance(found, Refusal)
    return found


@pytest.mark.parametrize("pepper", [b"short", b"x" * 64, b"y" * 65])
def test_a_digest_is_the_hmac_of_rfc_2104(pepper: bytes) -> None:
    assert Hasher(pepper).digest(KEY.encode()) == hmac.new(pepper, KEY.encode(), hashlib.sha256).digest()


def test_an_entry_tells_all_of_a_key(files: Files) -> None:
    text = f"""
    - name: app
      hash: {HASHED}
      user: u-17
      tier: vip
      models: [chat, code]
      limits: {{requestsPerMinute: 60, tokensPerMinute: 1000, maxInFlight: 2}}
    - {{name: other, key: mr-other}}
    """
    app, other = files.load(text)
    assert (app.name, app.user, app.tier, app.models) == ("app", "u-17", "vip", frozenset(("chat", "code")))
    assert app.digest.hex() == HASHED.removeprefix("hmac-sha256:")
    limits = app.limits
    assert (limits.requests_per_minute, limits.tokens_per_minute, limits.max_in_flight) == (60, 1000, 2)
    assert (other.user, other.tier, other.models) == (None, None, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a list"),
        (f"name: {KEY}", "not a list"),
        (f"- {{name: a, key: {KEY}}}\n- *{KEY}\n", "line 2"),
        (f"- {{name: a, key: {KEY}\n", "line"),
        (f"- {KEY}", "entry 1"),
        (f"- {{name: a, {KEY}: x}}", "entry 1"),
        (f"- {{name: a, key: {KEY}, limits: {{{KEY}: 1}}}}", "entry 1"),
        (f"- {{key: {KEY}}}", "entry 1"),
        (f"- {{name: 'a b', key: {KEY}}}", "entry 1"),
        (f"- {{name: a, key: {KEY}, user: 17}}", "user"),
        (f"- {{name: a, key: {KEY}, limits: {{tokensPerMinute: 0}}}}", "tokensPerMinute"),
        (f"- {{name: a, key: {KEY}, hash: '{HASHED}'}}", '"a": needs either'),
        ("- {name: a}", '"a": needs either'),
        (f"- {{name: a, key: '{KEY} {KEY}'}}", '"a": its key'),
        (f"- {{name: a, hash: {KEY}}}", '"a": its hash'),
        (f"- {{name: a, hash: '{HASHED[:-1]}'}}", '"a": its hash'),
        (f"- {{name: a, key: {KEY}}}\n- {{name: a, key: {KEY}2}}", "entry 2"),
        (f"- {{name: a, key: {KEY}}}\n- {{name: b, hash: '{HASHED}'}}", '"b" has the same key as "a"'),
    ],
)
def test_a_bad_file_is_told_of_by_the_entry_and_never_by_a_key(files: Files, text: str, said: str) -> None:
    with pytest.raises(ClientsError) as error:
        files.load(text)
    assert said in str(error.value)
    assert KEY not in str(error.value)


def test_without_a_pepper_keys_in_plain_text_can_be_used_and_hashes_cannot(files: Files) -> None:
    files.pepper.unlink()
    assert [e.name for e in files.load([{"name": "a", "key": KEY}])] == ["a"]
    with pytest.raises(ClientsError, match="pepper"):
        files.load([{"name": "a", "hash": HASHED}])


def test_a_pepper_that_can_be_guessed_is_refused(files: Files) -> None:
    files.pepper.write_text("salt")
    with pytest.raises(ClientsError, match="16 bytes"):
        files.load([])


@pytest.mark.parametrize(
    "headers",
    [
        {b"authorization": f"Bearer {KEY}".encode()},
        {b"authorization": f"bearer  {KEY} ".encode()},
        {b"x-api-key": KEY.encode()},
        {b"x-api-key": KEY.encode(), b"authorization": b"Basic abc"},
    ],
)
def test_a_key_is_found_where_clients_put_it(files: Files, headers: dict[bytes, bytes]) -> None:
    found = files.clients(user="u").authenticate(headers)
    assert isinstance(found, Identity)
    assert (found.name, found.user) == ("app", "u")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"authorization": b""},
        {b"authorization": KEY.encode()},
        {b"authorization": b"Bearer "},
        {b"authorization": f"Bearer {KEY[:-1]}".encode()},
        {b"authorization": f"Bearer {KEY}, Bearer {KEY}".encode()},
        {b"authorization": b"Bearer wrong", b"x-api-key": KEY.encode()},
        {b"authorization": b"Bearer " + b"x" * 30_000},
        {b"x-api-key": KEY.upper().encode()},
        {b"x-api-key": HASHED.encode()},
    ],
)
def test_all_else_is_a_401(files: Files, headers: dict[bytes, bytes]) -> None:
    found = files.clients().authenticate(headers)
    assert isinstance(found, Refusal)
    assert (found.status, found.type, found.code) == (401, "authentication_error", "invalid_api_key")
    assert ("www-authenticate", "Bearer") in found.headers


class TestChanges:
    def test_with_no_file_yet_nobody_is_let_in(self, files: Files, caplog: pytest.LogCaptureFixture) -> None:
        clients = Clients(files.keys, files.pepper)
        found = clients.authenticate({b"x-api-key": KEY.encode()})
        assert isinstance(found, Refusal)
        assert (found.status, found.type) == (503, "overloaded_error")
        assert "nobody is let in" in caplog.text

    def test_a_bad_file_leaves_the_last_good_one_and_is_told_of_once(
        self, files: Files, caplog: pytest.LogCaptureFixture
    ) -> None:
        clients = files.clients()
        files.write(f"- {{name: app, key: {KEY}\n")
        for _ in range(3):
            clients.poll()
        assert identity(clients).name == "app"
        assert len([r for r in caplog.records if r.levelno == logging.ERROR]) == 1
        assert KEY not in caplog.text

    def test_a_key_that_is_taken_out_lets_nobody_in_any_more(self, files: Files) -> None:
        clients = files.clients()
        files.write("[]")
        clients.poll()
        assert isinstance(clients.authenticate({b"x-api-key": KEY.encode()}), Refusal)

    def test_another_pepper_makes_another_key_of_a_hash(self, files: Files) -> None:
        files.write([{"name": "app", "hash": HASHED}])
        clients = Clients(files.keys, files.pepper)
        files.pepper.write_bytes(PEPPER[::-1])
        clients.poll()
        assert isinstance(clients.authenticate({b"x-api-key": KEY.encode()}), Refusal)

    def test_what_was_used_up_stays_used_up(self, files: Files) -> None:
        clients = files.clients(limits={"requestsPerMinute": 2})
        lease(clients)
        files.write([{"name": "app", "key": KEY, "limits": {"requestsPerMinute": 3}, "tier": "vip"}])
        clients.poll()
        assert identity(clients).tier == "vip"
        for _ in range(2):
            lease(clients)
        assert refusal(clients).status == 429

    def test_a_large_file_is_read_while_requests_go_on(self, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
        clients, go_on = files.clients(), threading.Event()
        files.write([{"name": f"n{i}", "key": f"k-{i}", "user": "u" * 20} for i in range(2000)])
        monkeypatch.setattr("modelroute.router.clients.clients.load", lambda *paths: go_on.wait(20) and load(*paths))
        clients.poll()
        assert identity(clients).name == "app"
        go_on.set()
        until = time.monotonic() + 20
        while isinstance(clients.authenticate({b"x-api-key": b"k-1999"}), Refusal):
            assert time.monotonic() < until
            clients.poll()


class TestLimits:
    def test_who_has_none_is_counted_nowhere(self, files: Files) -> None:
        assert lease(files.clients()) is FREE
        assert FREE.headers() == b""

    def test_requests_run_out_and_come_back(self, files: Files) -> None:
        clients = files.clients(limits={"requestsPerMinute": 3})
        for _ in range(3):
            lease(clients).settle(0)
        found = refusal(clients)
        assert (found.status, found.type, found.code) == (429, "rate_limit_error", "rate_limit_exceeded")
        told = dict(found.headers)
        assert told["retry-after"] == "20"
        assert (told["x-ratelimit-limit-requests"], told["x-ratelimit-remaining-requests"]) == ("3", "0")
        assert told["x-ratelimit-reset-requests"] == "60s"
        files.clock.now += 20
        lease(clients)

    def test_tokens_are_reserved_by_the_body_and_settled_by_what_it_took(self, files: Files) -> None:
        clients = files.clients(limits={"tokensPerMinute": 100})
        first = lease(clients, size=240)
        assert b"remaining-tokens: 40\r\n" in first.headers()
        assert refusal(clients, size=240).status == 429
        first.settle(10)
        first.settle(10)
        assert b"remaining-tokens: 90\r\n" in first.headers()

    @pytest.mark.parametrize(("tokens", "left"), [(None, 40), (0, 100), (60, 40), (100, 0)])
    def test_what_nobody_can_tell_costs_what_was_reserved(self, files: Files, tokens: int | None, left: int) -> None:
        taken = lease(files.clients(limits={"tokensPerMinute": 100}), size=240)
        taken.settle(tokens)
        assert b"remaining-tokens: %d\r\n" % left in taken.headers()

    def test_what_took_more_than_there_was_is_waited_for(self, files: Files) -> None:
        clients = files.clients(limits={"tokensPerMinute": 60})
        lease(clients).settle(120)
        assert dict(refusal(clients).headers)["retry-after"] == "70"

    def test_a_body_that_is_larger_than_the_limit_can_pass_when_nothing_else_does(self, files: Files) -> None:
        clients = files.clients(limits={"tokensPerMinute": 100})
        lease(clients, size=10**7)
        assert refusal(clients).status == 429
        files.clock.now += 60
        lease(clients, size=10**7)

    def test_who_has_used_all_of_it_is_not_let_in_for_being_small(self, files: Files) -> None:
        clients = files.clients(limits={"tokensPerMinute": 100})
        lease(clients).settle(100)
        assert refusal(clients, size=0).status == 429

    def test_so_many_run_at_once_and_each_gives_its_place_back_once(self, files: Files) -> None:
        clients = files.clients(limits={"maxInFlight": 2})
        first, _ = lease(clients), lease(clients)
        assert dict(refusal(clients).headers)["retry-after"] == "1"
        for _ in range(2):
            first.settle(None)
        lease(clients)
        assert refusal(clients).status == 429


@pytest.mark.parametrize(
    ("models", "model", "status"),
    [(None, "chat", 0), (["chat"], "chat", 0), (["chat"], "code", 403), ([], "chat", 403), (["chat"], "else", 404)],
)
def test_a_key_may_use_the_models_it_names(files: Files, models: list[str] | None, model: str, status: int) -> None:
    clients = files.clients(**({} if models is None else {"models": models}))
    found = model_refusal(identity(clients), model, ("chat", "code"))
    assert (found.status if found else 0) == status
    assert found is None or "code" not in found.message
