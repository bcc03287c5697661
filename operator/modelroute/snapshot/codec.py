"""The one codec of snapshots: ``encode`` for the operator's ConfigMap, ``decode`` for the router's file.

Never reads or writes a file itself.
"""

import hashlib

import msgspec

from modelroute.errors import InvalidSnapshotError
from modelroute.snapshot.types import FORMAT, Snapshot

FILE_NAME = "snapshot.json"
"""The key in the ConfigMap and the file's name in the router's mount."""

_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(Snapshot)


class _Format(msgspec.Struct):
    format: int = FORMAT


def encode(snapshot: Snapshot) -> bytes:
    """JSON of ``snapshot`` with its revision filled in; equal content gives equal bytes."""
    content = _encoder.encode(msgspec.structs.replace(snapshot, revision=""))
    revision = hashlib.sha256(content).hexdigest()[:12]
    return _encoder.encode(msgspec.structs.replace(snapshot, revision=revision))


def decode(data: bytes) -> Snapshot:
    """The snapshot in ``data``; InvalidSnapshotError when it is broken or in a format that is not known."""
    try:
        found = msgspec.json.decode(data, type=_Format).format
        if found != FORMAT:
            raise InvalidSnapshotError(f"snapshot format {found} is not known to this router (it knows {FORMAT})")
        return _decoder.decode(data)
    except msgspec.DecodeError as error:
        raise InvalidSnapshotError(f"snapshot cannot be read: {error}") from None
