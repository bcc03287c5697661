"""The keys of backends, read from files where their Secrets are mounted, and read again when they change.

Owned by ``live``; polled by ``app``. Never shows a key: what it logs names the file.
"""

import logging
from pathlib import Path

log = logging.getLogger(__name__)

_Signature = tuple[int, int, int] | None


class Key:
    """One key. ``value`` is empty while the file is missing or unusable."""

    __slots__ = ("_path", "_seen", "header", "value")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: _Signature | bool = False
        self.value = b""
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

    def of(self, file: str) -> Key:
        """The key in ``file``, relative to the directory; ValueError when it points out of it."""
        path = Path(file)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f'secret file "{file}" is not below the secrets directory')
        key = self._by_file.get(file)
        if key is None:
            key = self._by_file[file] = Key(self._directory / path)
        return key

    def poll(self) -> None:
        """Look at all files again."""
        for key in self._by_file.values():
            key.poll()
