"""The operator's snapshot and the router's are the same one, or the router says why not."""

import json
from typing import Any

import msgspec
import pytest

from modelroute.errors import InvalidSnapshotError
from modelroute.snapshot.codec import decode, encode
from modelroute.snapshot.types import Backend, Health, Load, Parameters, Snapshot, Timeouts

TIMEOUTS = Timeouts(connect=1.0, first_token_streamed=60.0, first_token_whole=600.0, stream_idle=60.0)
SMALL = Backend(name="small", weight=90, timeouts=TIMEOUTS, endpoints=("10.0.0.1:8000",))
SNAPSHOT = Snapshot(namespace="demo", name="chat", generation=3, models=("chat",), backends=(SMALL,))


def changed(**fields: Any) -> bytes:
    return json.dumps(json.loads(encode(SNAPSHOT)) | fields).encode()


def test_what_is_written_is_read() -> None:
    read = decode(encode(SNAPSHOT))
    assert msgspec.structs.replace(read, revision="") == SNAPSHOT


def test_a_revision_names_the_content() -> None:
    revision = decode(encode(SNAPSHOT)).revision
    assert len(revision) == 12
    assert decode(encode(decode(encode(SNAPSHOT)))).revision == revision
    other = msgspec.structs.replace(SNAPSHOT, backends=(msgspec.structs.replace(SMALL, weight=89),))
    assert decode(encode(other)).revision != revision


def test_defaults_are_not_written_but_the_format_and_the_revision_are() -> None:
    as_by_default = msgspec.structs.replace(SMALL, health=Health(ejection=float("5")), parameters=Parameters())
    written = json.loads(encode(msgspec.structs.replace(SNAPSHOT, backends=(as_by_default,))))
    assert (written["format"], len(written["revision"])) == (2, 12)
    assert written["backends"][0].keys() == {"name", "weight", "timeouts", "endpoints"}
    assert encode(SNAPSHOT) == json.dumps(written, separators=(",", ":")).encode()


def test_a_setting_in_a_part_that_is_else_by_default_is_written_alone() -> None:
    loads = {"10.0.0.1:8000": Load(waiting=2, cache=float("0"))}
    altered = msgspec.structs.replace(SMALL, health=Health(interval=0.0), loads=loads)
    [written] = json.loads(encode(msgspec.structs.replace(SNAPSHOT, backends=(altered,))))["backends"]
    assert (written["health"], written["loads"]) == ({"interval": 0.0}, {"10.0.0.1:8000": {"waiting": 2}})


def test_an_unknown_format_is_refused_even_if_it_cannot_be_read() -> None:
    with pytest.raises(InvalidSnapshotError, match=r"format 3 is not known to this router \(it knows 2\)"):
        decode(b'{"format": 3, "backends": "somewhere else now"}')


def test_fields_of_a_newer_operator_are_passed_over() -> None:
    assert decode(changed(newField={"a": 1})).name == "chat"


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe", b"{}", b'{"format": "1"}', changed(backends=3)])
def test_a_broken_snapshot_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidSnapshotError, match="snapshot cannot be read"):
        decode(data)


def test_half_a_file_is_refused() -> None:
    whole = encode(SNAPSHOT)
    with pytest.raises(InvalidSnapshotError):
        decode(whole[: len(whole) // 2])


def test_types_are_looked_at_once_and_not_for_each_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    before = encode(SNAPSHOT)
    monkeypatch.setattr(msgspec.structs, "fields", None)
    assert encode(SNAPSHOT) == before
