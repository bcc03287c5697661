"""The command that makes API keys: a router knows them by what it prints, and nothing else shows them."""

import stat
import sys
from pathlib import Path

import pytest

from modelroute.cli import main
from modelroute.router.clients.clients import Clients, Identity


def made(monkeypatch: pytest.MonkeyPatch, directory: Path, *flags: str) -> None:
    pepper = str(directory / "auth" / "pepper")
    monkeypatch.setattr(sys, "argv", ["modelroute", "key", "--pepper", pepper, *flags])
    main.main()


def test_a_router_lets_in_who_has_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = []
    flags = ("--user", "u", "--tier", "vip", "--model", "a", "--model", "b", "--tokens-per-minute", "60")
    for name, more in (("one", flags), ("two", ())):
        made(monkeypatch, tmp_path, "--name", name, *more)
        shown = capsys.readouterr()
        keys.append(shown.err.split()[-1])
        assert keys[-1] not in shown.out
        with (tmp_path / "keys.yaml").open("a") as file:
            file.write(shown.out)
    clients = Clients(tmp_path / "keys.yaml", tmp_path / "auth" / "pepper")
    one, two = (clients.authenticate({b"x-api-key": key.encode()}) for key in keys)
    assert isinstance(one, Identity)
    assert isinstance(two, Identity)
    assert (one.name, one.user, one.tier, one.models) == ("one", "u", "vip", frozenset("ab"))
    assert one.allowance.limited
    assert (two.name, two.user, two.allowance.limited) == ("two", None, False)
    assert keys[0].startswith("mr-")
    assert min(map(len, keys)) > 40


def test_a_pepper_that_is_made_is_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(monkeypatch, tmp_path, "--name", "app")
    pepper = tmp_path / "auth" / "pepper"
    assert stat.S_IMODE(pepper.stat().st_mode) == 0o600
    assert len(pepper.read_text().strip()) == 64


@pytest.mark.parametrize(
    ("flags", "said"), [(("--name", "a b"), "name"), (("--name", "a", "--max-in-flight", "0"), "maxInFlight")]
)
def test_what_a_router_would_refuse_is_not_made(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flags: tuple[str, ...],
    said: str,
) -> None:
    with pytest.raises(SystemExit) as end:
        made(monkeypatch, tmp_path, *flags)
    shown = capsys.readouterr()
    assert (end.value.code, shown.out) == (2, "")
    assert said in shown.err


@pytest.mark.parametrize("spoil", [lambda p: p.write_text("short"), lambda p: p.mkdir()])
def test_a_pepper_of_no_use_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], spoil: object
) -> None:
    (tmp_path / "auth").mkdir()
    assert callable(spoil)
    spoil(tmp_path / "auth" / "pepper")
    with pytest.raises(SystemExit):
        made(monkeypatch, tmp_path, "--name", "app")
    assert "pepper" in capsys.readouterr().err
