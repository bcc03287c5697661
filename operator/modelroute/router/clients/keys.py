"""The keys of backends and of clients, from files where their Secrets are mounted, read again when they change.

Owned by ``live``; polled by ``app``. Never shows a key: what it logs names the file.
"""

import logging
from pathlib import Path

from modelroute.router.clients.clients import Clients
from modelroute.snapshot.types import Auth

log = logging.getLogger(__name__)

_Signature = tuple[int, int, int] | None


class Key:
    """One key. ``value`` is empty while the file is missing or unusable; ``known`` are it and the one before it."""

    __slots__ = ("_newest", "_path", "_seen", "header", "known", "value")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: _Signature | bool = False
        self.value = self._newest = b""
        self.known: tuple[bytes, ...] = ()
        self.header = b""
        self.poll()

    def poll(self) -> None:
        """Read the file again if it is another one than before."""
        seen: _Signature
        try:
            stat = self._path.stat()
            seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        except OSError:
            seen = None
        if seen == self._seen:
            return
        self._seen = seen
        self.value, problem = self._read()
        if self.value and self.value != self._newest:
            # The longer one first: the other may be a part of it.
            self.known = tuple(sorted(filter(None, (self._newest, self.value)), key=len, reverse=True))
            self._newest = self.value
        self.header = b"authorization: Bearer %b\r\n" % self.value if self.value else b""
        if problem:
            log.warning("key file %s %s; its backend is not called", self._path, problem)

    def _read(self) -> tuple[bytes, str]:
        try:
            value = self._path.read_bytes().strip()
        except OSError as error:
            return b"", f"cannot be read ({error.strerror})"
        if not value:
            return b"", "is empty"
        if not all(0x21 <= byte <= 0x7E for byte in value):
            return b"", "holds characters that no key has"
        return value, ""


class Keys:
    """All keys that snapshots have named."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._by_file: dict[str, Key] = {}
        self._clients: dict[Auth, Clients] = {}

    def of(self, file: str) -> Key:
        """The key of a backend in ``file``, relative to the directory; ValueError when it points out of it."""
        path = self._path(file)
        key = self._by_file.get(file)
        if key is None:
            key = self._by_file[file] = Key(path)
        return key

    def clients(self, auth: Auth | None) -> Clients | None:
        """The keys of clients in the files that ``auth`` names; ValueError when one points out of the directory."""
        if auth is None:
            return None
        keys, pepper = self._path(auth.keys_file), self._path(auth.pepper_file)
        clients = self._clients.get(auth)
        if clients is None:
            clients = self._clients[auth] = Clients(keys, pepper)
        return clients

    def _path(self, file: str) -> Path:
        path = Path(file)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f'secret file "{file}" is not below the secrets directory')
        return self._directory / path

    def poll(self) -> None:
        """Look at all files again."""
        for key in self._by_file.values():
            key.poll()
        for clients in self._clients.values():
            clients.poll()
