"""Where connections may go: forbidden addresses, names, certificates."""

import socket
import ssl
from pathlib import Path
from typing import NamedTuple

import pytest

from modelroute.snapshot.types import Fallback
from tests.dataplane.conftest import Plane, backend
from tests.dataplane.faults import QUICK
from tests.fakes.certificates import Authority, self_signed
from tests.fakes.upstream import Upstream, answers


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]"])
async def test_an_external_backend_is_not_looked_for_on_this_host(
    plane: Plane, caplog: pytest.LogCaptureFixture, host: str
) -> None:
    up = await plane.upstream()
    await plane.route(backend("big", f"{host}:{up.port}", weight=1, external=True))
    reply = await plane.chat()
    assert (reply.status, reply.error["code"]) == (502, "upstream_error")
    assert up.connections == 0
    assert "not allowed" in caplog.text


async def test_without_a_cluster_it_may_be_on_this_host(plane: Plane) -> None:
    up = await plane.upstream()
    await plane.route(backend("big", f"localhost:{up.port}", weight=1, external=True, loopback_allowed=True))
    assert (await plane.chat()).status == 200


async def test_the_host_header_is_the_backends_name(plane: Plane) -> None:
    up = await plane.upstream()
    await plane.route(backend("big", up, weight=1, host="api.example.com"))
    await plane.chat()
    assert up.received[0].headers["host"] == f"api.example.com:{up.port}"


async def test_a_redirect_is_not_followed(plane: Plane) -> None:
    other = await plane.upstream()
    away = f"http://{other.address}/v1/chat/completions"
    await plane.route(backend("big", await plane.upstream(answers(b"", 307, location=away)), weight=1))
    reply = await plane.chat()
    assert reply.status == 502
    assert "location" not in reply.headers
    assert other.connections == 0


async def test_another_address_of_a_name_is_tried(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]  # nobody listens at the first

    up = await plane.upstream()
    await plane.route(backend("big", f"api.example.com:{up.port}", weight=1))
    monkeypatch.setattr("modelroute.router.replicas.names.resolve", resolve)
    assert (await plane.chat()).status == 200


async def test_where_this_machine_is_allowed_other_odd_addresses_are_not(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["0.0.0.0"]

    up = await plane.upstream()
    await plane.route(backend("big", f"name.test:{up.port}", weight=1, external=True, loopback_allowed=True))
    monkeypatch.setattr("modelroute.router.replicas.names.resolve", resolve)
    assert (await plane.chat()).status == 502
    assert up.received == []


async def test_a_name_without_an_address_is_a_502(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("modelroute.router.replicas.names.resolve", resolve)
    await plane.route(backend("big", "nothing.invalid:80", weight=1))
    assert (await plane.chat()).status == 502


NAME = "api.example.com"


class Made(NamedTuple):
    """Certificates, by what is wrong with them; ``root`` is whom the router trusts."""

    root: Path
    good: Path
    common: Path  # names the backend in the old way, as its subject's common name
    wrong: dict[str, Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    path = tmp_path_factory.mktemp("tls")
    trusted, other = Authority(path / "trusted"), Authority(path / "other", "Other")
    wrong = {
        "Expired": trusted.issue(NAME, days=-1),
        "WrongName": trusted.issue("other.example.com"),
        "SelfSigned": self_signed(path, NAME),
        "UnknownAuthority": other.issue(NAME),
    }
    return Made(trusted.root, trusted.issue(NAME), trusted.issue(NAME, alternative=False), wrong)


async def secure(plane: Plane, certificate: Path) -> Upstream:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    up = await plane.upstream()
    up.deafen()
    await up.listen(context)
    return up


async def test_a_certificate_that_is_trusted_and_names_the_backend_is_taken(
    plane: Plane, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(made.root))
    up = await secure(plane, made.good)
    await plane.route(backend("big", up, weight=1, tls=True, host=NAME))
    assert [(await plane.chat()).status for _ in range(2)] == [200, 200]
    assert [r.connection for r in up.received] == [1, 1]


@pytest.mark.parametrize("wrong", ["Expired", "WrongName", "SelfSigned", "UnknownAuthority"])
async def test_r19_a_certificate_that_is_not_right_is_refused_and_told_of(
    plane: Plane, made: Made, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, wrong: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(made.root))
    plane.secret("big/key", "sk-planted")
    up = await secure(plane, made.wrong[wrong])
    await plane.route(backend("big", up, weight=1, tls=True, host=NAME, secret_file="big/key"))
    replies = [await plane.chat() for _ in range(2)]
    assert [(r.status, r.error["code"]) for r in replies] == [(502, "upstream_error")] * 2
    assert up.received == []
    assert wrong not in str(replies[0].headers) + replies[0].body.decode()
    assert caplog.text.count(f"is refused ({wrong})") == 1  # and not for each request
    labels = {"backend": "big", "reason": wrong}
    assert await plane.metric("modelroute_certificates_refused_total", **labels) >= 2


@pytest.mark.parametrize("covered", [True, False])
async def test_r19_a_certificate_that_is_refused_is_looked_at_once(
    plane: Plane, made: Made, monkeypatch: pytest.MonkeyPatch, covered: bool
) -> None:
    """The same one would come again, however often it is asked for."""
    monkeypatch.setenv("SSL_CERT_FILE", str(made.root))
    big = backend("big", await secure(plane, made.wrong["Expired"]), weight=1, tls=True, host=NAME)
    fallbacks = (Fallback("other", ("ConnectFailure",)),) if covered else ()
    await plane.route(big, backend("other", await plane.upstream()), fallbacks=fallbacks, retry=QUICK)
    reply = await plane.chat()
    assert (reply.status, reply.headers["x-modelroute-attempts"]) == ((200, "2") if covered else (502, "1"))
    assert await plane.metric("modelroute_certificates_refused_total", backend="big") == 1


async def test_a_common_name_is_not_the_backends(
    plane: Plane, made: Made, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(made.root))
    up = await secure(plane, made.common)
    await plane.route(backend("big", up, weight=1, tls=True, host=NAME))
    assert (await plane.chat()).status == 502
    assert "is refused (WrongName)" in caplog.text
    assert up.received == []
