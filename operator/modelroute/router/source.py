"""Where snapshots come from: a file that is looked at again and again, for a mounted ConfigMap tells of no change.

Made by the command line, polled by ``app``. Never keeps a snapshot: a bad one is an error, and the caller keeps the
last good one.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from modelroute.errors import InvalidSnapshotError
from modelroute.snapshot.types import Snapshot


class Source(Protocol):
    """Where snapshots come from."""

    def poll(self) -> Snapshot | None:
        """The snapshot if it is another one than at the last call, else None; ModelRouteError, once, if it is bad."""


class FileSource:
    """A file with a snapshot in it, in any notation that ``decode`` reads; ``decode`` raises ModelRouteError.

    ``written_by_hand``: it is taken up when two looks found it the same. Half a manifest may be a whole one that lacks
    a rule; a mounted ConfigMap changes in one step.
    """

    def __init__(self, path: Path, decode: Callable[[bytes], Snapshot], *, written_by_hand: bool = False) -> None:
        self._path = path
        self._decode = decode
        self._by_hand = written_by_hand
        self._seen: tuple[int, ...] | None = None
        self._met: tuple[int, ...] = ()

    def poll(self) -> Snapshot | None:
        """See ``Source``."""
        try:
            # A mounted ConfigMap changes by a link to another directory, so the file behind the links is looked at.
            stat = self._path.stat()
            found = self._signature(stat)
            if found == self._seen:
                return None
            if self._by_hand and self._seen is not None and found != self._met:
                self._met = found
                return None
            with self._path.open("rb") as file:
                self._seen = self._signature(os.fstat(file.fileno()))
                data = file.read()
        except OSError as error:
            if self._seen == ():
                return None
            self._seen = ()
            raise InvalidSnapshotError(f"{self._path} cannot be read: {error.strerror}") from error
        return self._decode(data)

    @staticmethod
    def _signature(stat: os.stat_result) -> tuple[int, ...]:
        return stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size
