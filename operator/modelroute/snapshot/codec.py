"""The one codec of snapshots: ``encode`` for the operator's ConfigMap, ``decode`` for the router's file.

Never reads or writes a file itself.
"""

import functools
import hashlib
from typing import Any

import msgspec

from modelroute.errors import InvalidSnapshotError
from modelroute.snapshot.types import FORMAT, Part, Snapshot

FILE_NAME = "snapshot.json"
"""The key in the ConfigMap and the file's name in the router's mount."""

_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(Snapshot)


class _Format(msgspec.Struct):
    format: int = FORMAT


def encode(snapshot: Snapshot) -> bytes:
    """JSON of ``snapshot`` with its revision filled in; equal content gives equal bytes.

    What a part has by default is left out, for a ConfigMap has a bound.
    """
    bare = _bare(msgspec.structs.replace(snapshot, revision=""))
    revision = hashlib.sha256(_encoder.encode(bare)).hexdigest()[:12]
    return _encoder.encode(msgspec.structs.replace(bare, revision=revision))


def decode(data: bytes) -> Snapshot:
    """The snapshot in ``data``; InvalidSnapshotError when it is broken or in a format that is not known."""
    try:
        found = msgspec.json.decode(data, type=_Format).format
        if found != FORMAT:
            raise InvalidSnapshotError(f"snapshot format {found} is not known to this router (it knows {FORMAT})")
        return _decoder.decode(data)
    except msgspec.DecodeError as error:
        raise InvalidSnapshotError(f"snapshot cannot be read: {error}") from None


@functools.cache  # msgspec looks at a type's annotations anew at each call, which took most of an encode
def _fields(kind: type[Part]) -> tuple[tuple[str, Any], ...]:
    """Each field's name and default."""
    return tuple((f.name, f.default) for f in msgspec.structs.fields(kind))


def _bare(value: Any) -> Any:
    """``value`` with the defaults themselves in the place of what equals them: msgspec leaves out no other object."""
    if isinstance(value, Part):
        given = ((name, default, getattr(value, name)) for name, default in _fields(type(value)))
        return type(value)(**{name: _bare(own) for name, default, own in given if own != default})
    if isinstance(value, tuple):
        return tuple(_bare(item) for item in value)
    if isinstance(value, dict):
        return {key: _bare(item) for key, item in value.items()}
    return value
