"""Where connections may go: forbidden addresses, names, certificates."""

import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.dataplane.conftest import Plane, backend
from tests.fakes.upstream import Upstream, answers


async def test_an_external_backend_is_not_looked_for_on_this_host(
    plane: Plane, caplog: pytest.LogCaptureFixture
) -> None:
    up = await plane.upstream()
    await plane.route(backend("big", f"localhost:{up.port}", weight=1, external=True))
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


async def test_the_last_address_of_a_name_is_kept_when_it_cannot_be_resolved(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        if not known:
            raise socket.gaierror(-3, "try again")
        return [known.pop()]

    known = ["127.0.0.1"]
    up = await plane.upstream(answers(connection="close"))
    await plane.route(backend("big", f"api.example.com:{up.port}", weight=1))
    monkeypatch.setattr("modelroute.router.dial.resolve", resolve)
    assert [(await plane.chat()).status for _ in range(2)] == [200, 200]
    assert up.connections == 2


async def test_another_address_of_a_name_is_tried(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]  # nobody listens at the first

    up = await plane.upstream()
    await plane.route(backend("big", f"api.example.com:{up.port}", weight=1))
    monkeypatch.setattr("modelroute.router.dial.resolve", resolve)
    assert (await plane.chat()).status == 200


async def test_where_this_machine_is_allowed_other_odd_addresses_are_not(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["0.0.0.0"]

    up = await plane.upstream()
    await plane.route(backend("big", f"name.test:{up.port}", weight=1, external=True, loopback_allowed=True))
    monkeypatch.setattr("modelroute.router.dial.resolve", resolve)
    assert (await plane.chat()).status == 502
    assert up.received == []


async def test_a_name_without_an_address_is_a_502(plane: Plane) -> None:
    await plane.route(backend("big", "nothing.invalid:80", weight=1))
    assert (await plane.chat()).status == 502


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of its own issuer, for api.example.com, with its key."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=api.example.com", "-addext", "subjectAltName=DNS:api.example.com", "-keyout", "-", "-out", "-"],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_bytes(made.stdout)
    return path


async def secure(plane: Plane, certificate: Path) -> Upstream:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    up = await plane.upstream()
    up.deafen()
    await up.listen(context)
    return up


async def test_a_certificate_that_is_trusted_and_names_the_backend_is_taken(
    plane: Plane, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    up = await secure(plane, certificate)
    await plane.route(backend("big", up, weight=1, tls=True, host="api.example.com"))
    assert [(await plane.chat()).status for _ in range(2)] == [200, 200]
    assert [r.connection for r in up.received] == [1, 1]


@pytest.mark.parametrize(("trusted", "name"), [(False, "api.example.com"), (True, "other.example.com")])
async def test_a_certificate_that_is_not_right_is_refused(
    plane: Plane, certificate: Path, monkeypatch: pytest.MonkeyPatch, trusted: bool, name: str
) -> None:
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    up = await secure(plane, certificate)
    await plane.route(backend("big", up, weight=1, tls=True, host=name))
    assert (await plane.chat()).status == 502
    assert up.received == []
