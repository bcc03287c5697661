"""The file of clients' keys where it is hostile, or means less than it seems to say."""

import threading
from pathlib import Path

import pytest

from modelroute.router.clients import clients as module
from modelroute.router.clients.clientfile import ClientsError, Entry, Known, load
from modelroute.router.clients.clients import Clients

PEPPER = b"pepper-pepper-pepper"
KEY = "mr-planted-0123456789"


class Files:
    """The two files."""

    def __init__(self, directory: Path) -> None:
        self.keys, self.pepper = directory / "keys.yaml", directory / "pepper"
        self.pepper.write_bytes(PEPPER)

    def load(self, text: str) -> tuple[Entry, ...]:
        self.keys.write_text(text)
        return load(self.keys, self.pepper).entries


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.mark.parametrize("level", ["[", "- ", "{a: ", "? ", "[{a: "], ids=repr)
def test_what_is_nested_without_end_is_refused_and_ends_nobody(files: Files, level: str) -> None:
    with pytest.raises(ClientsError, match="line 1: is nested deeper than 16 levels"):
        files.load(level * 60_000)


def test_what_is_closed_again_does_not_count_as_deep(files: Files) -> None:
    assert len(files.load("".join(f"- {{name: n{n}, key: k{n}, models: [], limits: {{}}}}\n" for n in range(20)))) == 20


def test_an_entry_of_aliases_that_grow_is_refused_before_it_does(files: Files) -> None:
    merged = "".join(f"- &a{n + 1} {{<<: [{', '.join([f'*a{n}'] * 9)}], b{n}: x}}\n" for n in range(12))
    with pytest.raises(ClientsError, match="entry 1: has a field that is none of"):
        files.load(f"- &a0 {{a: x}}\n{merged}")


def test_an_alias_may_say_what_was_said_before(files: Files) -> None:
    first, second = files.load("- {name: a, key: ka, models: &m [chat]}\n- {name: b, key: kb, models: *m}\n")
    assert first.models == second.models == frozenset(("chat",))


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ("models: ", "models"),
        ("models: null", "models"),
        ("limits: ", "limits"),
        ("limits: {maxInFlight: }", "maxInFlight"),
        ("tier: ", "tier"),
    ],
)
def test_a_field_that_was_left_empty_does_not_mean_all(files: Files, more: str, field: str) -> None:
    with pytest.raises(ClientsError, match=f"entry 2: {field} is empty"):
        files.load(f"- {{name: a, key: ka}}\n- {{name: b, key: {KEY}, {more}}}\n")


def test_a_null_in_json_does_not_mean_all(files: Files) -> None:
    with pytest.raises(ClientsError, match="entry 1: models is empty"):
        files.load('[{"name": "a", "key": "ka", "models": null}]')


@pytest.mark.parametrize(
    "entry",
    [
        "{name: a, key: ka, models: [chat], models: [code]}",
        "{name: a, key: ka, limits: {maxInFlight: 1, maxInFlight: 9}}",
        '{"name": "a", "key": "ka", "models": ["chat"], "models": ["code"]}',
        '{"name": "a", "key": "ka", "mod\\u0065ls": ["chat"], "models": ["code"]}',
        '{"name": "a", "key": "ka", "limits": {"maxInFlight": 1, "maxInFlight": 9}}',
    ],
)
def test_a_field_that_is_given_twice_is_refused(files: Files, entry: str) -> None:
    with pytest.raises(ClientsError, match="entry 1: has a field twice"):
        files.load(f"[{entry}]")


@pytest.mark.parametrize(
    ("field", "value"), [("user", "\\ud800"), ("tier", "a\\udfff"), ("name", "\\ud800"), ("name", "a\\n")], ids=repr
)
def test_text_that_would_break_what_is_written_of_it_is_refused(files: Files, field: str, value: str) -> None:
    fields = {"name": "a", "key": "ka", field: value}
    with pytest.raises(ClientsError, match=f"entry 1: .* at `[$].{field}`"):
        files.load("[{" + ", ".join(f'"{name}": "{text}"' for name, text in fields.items()) + "}]")


def test_no_file_of_more_than_8_kib_is_waited_for(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    files.load("[]")
    clients = Clients(files.keys, files.pepper)
    returned = threading.Event()
    waited: list[bool] = []

    def slow(keys: Path, pepper: Path) -> Known:
        waited.append(not returned.wait(10))
        return load(keys, pepper)

    monkeypatch.setattr(module, "load", slow)
    files.keys.write_text("[]" + " " * 8190)
    clients.poll()
    returned.set()
    while not waited:
        clients.poll()
    assert waited == [False]
