"""Certificates for tests, made by the openssl program: good ones, and ones that are wrong in one way each."""

import subprocess
from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _openssl(*arguments: str) -> None:
    subprocess.run(("openssl", *arguments), check=True, capture_output=True)


def self_signed(directory: Path, name: str) -> Path:
    """A certificate of its own issuer, with its key, in one file."""
    made = directory / f"self-{name}.pem"
    names = f"subjectAltName=DNS:{name}"
    _openssl("req", "-x509", *_KEY, "-days", "2", "-subj", f"/CN={name}", "-addext", names, "-keyout", str(made),
             "-out", f"{made}.crt")  # fmt: skip
    made.write_bytes(made.read_bytes() + Path(f"{made}.crt").read_bytes())
    return made


class Authority:
    """An issuer of certificates; ``root`` is what trusts them."""

    def __init__(self, directory: Path, name: str = "Authority") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._key = directory / "root.key"
        self.root = directory / "root.pem"
        _openssl("req", "-x509", *_KEY, "-days", "2", "-subj", f"/CN={name}", "-keyout", str(self._key), "-out",
                 str(self.root))  # fmt: skip

    def issue(self, name: str, days: int = 2, *, alternative: bool = True) -> Path:
        """A certificate for ``name``, with its key, in one file; with -1 day its time was over yesterday.

        Not ``alternative``: the name is the subject's common name alone, as it was done long ago.
        """
        made = self._directory / f"{name}{days}{alternative}.pem"
        request, certificate = made.with_suffix(".csr"), made.with_suffix(".crt")
        names = ("-addext", f"subjectAltName=DNS:{name}") if alternative else ()
        _openssl("req", *_KEY, "-subj", f"/CN={name}", *names, "-keyout", str(made), "-out", str(request))
        _openssl("x509", "-req", "-in", str(request), "-CA", str(self.root), "-CAkey", str(self._key), "-days",
                 str(days), "-copy_extensions", "copy", "-out", str(certificate))  # fmt: skip
        made.write_bytes(made.read_bytes() + certificate.read_bytes())
        return made
