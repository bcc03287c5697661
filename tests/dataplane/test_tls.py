"""Serving TLS: what is spoken, renewal in place, and handshakes that fail."""

import asyncio
import contextlib
import shutil
import socket
import ssl
from pathlib import Path

import pytest

from modelroute.cli.main import main
from modelroute.errors import ModelRouteError
from modelroute.router.http import tls
from tests.dataplane.conftest import Plane, backend
from tests.fakes.certificates import self_signed
from tests.fakes.client import Client, chat, http
from tests.fakes.upstream import streams

NAME = "router.test"


def made(directory: Path) -> ssl.SSLContext:
    """What trusts a pair that is put into ``directory``."""
    both = self_signed(directory, NAME)
    for file in ("tls.crt", "tls.key"):
        shutil.copy(both, directory / file)
    return ssl.create_default_context(cafile=str(both))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, ssl.SSLContext, ssl.SSLContext]:
    """Two pairs for one name, and what trusts the one and the other."""
    old, new = tmp_path_factory.mktemp("old"), tmp_path_factory.mktemp("new")
    return old, new, made(old), made(new)


@pytest.fixture
def mounted(tmp_path: Path, pairs: tuple[Path, Path, ssl.SSLContext, ssl.SSLContext]) -> Path:
    """Where the first pair is mounted."""
    shutil.copytree(pairs[0], tmp_path / "mounted")
    return tmp_path / "mounted"


@pytest.fixture
def trusting(pairs: tuple[Path, Path, ssl.SSLContext, ssl.SSLContext]) -> ssl.SSLContext:
    return pairs[2]


async def secure(plane: Plane, context: ssl.SSLContext) -> Client:
    assert plane.router is not None
    opened = asyncio.open_connection("127.0.0.1", plane.router.port, ssl=context, server_hostname=NAME)
    client = Client(*await opened)
    plane.defer(client.close)
    return client


async def test_clients_are_served_over_tls_and_the_admin_port_stays_plain(
    plane: Plane, mounted: Path, trusting: ssl.SSLContext
) -> None:
    plane.write(backend("small", await plane.upstream(streams()), weight=1))
    await plane.start(tls_dir=mounted)
    client = await secure(plane, trusting)
    for _ in range(2):
        client.send(http("POST", "/v1/chat/completions", chat(stream=True)))
        assert b"[DONE]" in (await client.reply()).body
    assert (await plane.ask("GET", "/healthz", admin=True)).status == 200
    spoken = client.writer.get_extra_info("ssl_object")
    assert spoken.version() in {"TLSv1.2", "TLSv1.3"}


async def test_a_client_that_is_refused_gets_to_read_why(plane: Plane, mounted: Path, trusting: ssl.SSLContext) -> None:
    unhandled: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    plane.write(backend("small", weight=1))
    await plane.start(tls_dir=mounted)
    client = await secure(plane, trusting)
    client.send(b"nonsense\r\n\r\n" + b"x" * 1_000_000)
    assert (await client.reply()).status == 400
    assert await client.ended()
    assert unhandled == []


async def test_a_renewed_pair_is_taken_up_and_open_connections_stay(
    plane: Plane, mounted: Path, pairs: tuple[Path, Path, ssl.SSLContext, ssl.SSLContext]
) -> None:
    _, renewed, trusts_old, trusts_new = pairs
    plane.write(backend("small", weight=1))
    router = await plane.start(tls_dir=mounted)
    stays = await secure(plane, trusts_old)
    shutil.copy(renewed / "tls.crt", mounted / "tls.crt")  # half of it
    router.poll()
    (await secure(plane, trusts_old)).send(http("GET", "/healthz"))
    shutil.copy(renewed / "tls.key", mounted / "tls.key")
    router.poll()
    for client in (await secure(plane, trusts_new), stays):
        client.send(http("GET", "/healthz"))
        assert (await client.reply()).status == 200
    with pytest.raises(ssl.SSLCertVerificationError):
        await secure(plane, trusts_old)


@pytest.mark.parametrize("bad", ["gone", "empty", "no PEM", "another's key"])
async def test_a_bad_pair_leaves_the_last_good_one_and_is_told_once(
    plane: Plane, mounted: Path, pairs: tuple[Path, Path, ssl.SSLContext, ssl.SSLContext],
    caplog: pytest.LogCaptureFixture, bad: str,
) -> None:  # fmt: skip
    plane.write(backend("small", weight=1))
    router = await plane.start(tls_dir=mounted)
    key = mounted / "tls.key"
    if bad == "gone":
        key.unlink()
    elif bad == "another's key":
        shutil.copy(pairs[1] / "tls.key", key)
    else:
        key.write_text("" if bad == "empty" else "no PEM")
    for _ in range(3):
        router.poll()
    (await secure(plane, pairs[2])).send(http("GET", "/healthz"))
    assert len([r for r in caplog.records if "refused" in r.message]) == 1
    assert "PRIVATE" not in caplog.text
    assert await plane.metric("modelroute_certificate_refused_total") == 1


async def test_without_a_good_pair_it_does_not_start(plane: Plane, tmp_path: Path) -> None:
    plane.write(backend("small", weight=1))
    with pytest.raises(ModelRouteError, match=r"the certificate in .* cannot be used"):
        await plane.start(tls_dir=tmp_path)


def test_the_command_says_what_is_wrong_with_the_certificate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ["--snapshot", "none", "--secrets", "none", "--tls", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["modelroute", "router", *flags])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "cannot be used: No such file" in capsys.readouterr().err


async def test_handshakes_that_fail_cost_nothing(
    plane: Plane,
    mounted: Path,
    trusting: ssl.SSLContext,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tls, "HANDSHAKE_SECONDS", 1.0)
    unhandled: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    plane.write(backend("small", weight=1))
    router = await plane.start(tls_dir=mounted)
    before = len(caplog.records)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await secure(plane, old)
    greeting = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
    for sent in (http("GET", "/healthz"), b"", greeting, b"\0" * 500, greeting + b"\xff" * 600):
        client = await Client.connect(router.port)
        client.send(sent)
        with contextlib.suppress(ConnectionError):
            assert len(await client.reader.read()) < 100  # an alert at most
        client.close()
    monkeypatch.setattr(tls, "HANDSHAKE_SECONDS", 60.0)
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", router.port)):
            pass
    good = await secure(plane, trusting)
    good.send(http("GET", "/healthz"))
    assert (await good.reply()).status == 200
    assert (unhandled, caplog.records[before:]) == ([], [])


async def test_r22_handshakes_that_stay_silent_end_and_do_not_shut_others_out(
    plane: Plane, mounted: Path, trusting: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "HANDSHAKE_SECONDS", 3.0)
    plane.write(backend("small", weight=1))
    router = await plane.start(tls_dir=mounted)
    mute = [await plane.connect(router.port) for _ in range(200)]
    good = await secure(plane, trusting)
    good.send(http("GET", "/healthz"))
    assert (await good.reply()).status == 200
    assert [await client.ended() for client in mute] == [True] * 200
