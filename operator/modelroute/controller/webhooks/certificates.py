"""The webhooks' own certificate authority: what is kept in the Secret, when it is renewed, whom the API server trusts.

Called by ``keeper``. Time is an argument, and nothing is read or written here; keys are made by chance, as they must.
An authority is told about before anything is signed by it, and trusted until nothing signed by it is served: so the API
server always trusts what it meets, whichever of the replicas answers.
"""

import base64
import binascii
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_DAYS, SERVING_DAYS = 730, 90
RENEW_AT = 0.5
"""The part of its life after which a certificate is renewed; before two thirds, so that a failing renewal has time."""
SETTLE_SECONDS = 600.0
"""From when an authority was told of until it signs: every API server has taken up the configuration by then."""
RETIRE_SECONDS = 86400.0
"""From when the last certificate of an authority was replaced until it is trusted no more."""
_SKEW = 300.0
"""Clocks of API servers may be behind ours by so much."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the Secret holds."""

    authorities: tuple[x509.Certificate, ...]  # the newest first
    authority_key: ec.EllipticCurvePrivateKey = field(repr=False)  # of the newest
    serving: x509.Certificate
    serving_key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def bundle(self) -> bytes:
        """Whom the API server is to trust, as PEM."""
        return b"".join(_pem(authority) for authority in self.authorities)

    @property
    def chain(self) -> bytes:
        """What a server loads: the certificate and its key, as PEM."""
        return _pem(self.serving) + _private(self.serving_key)


def made(names: Sequence[str], now: float) -> Held:
    """An authority and a first certificate for a server of these DNS ``names``. ``now`` is in Unix seconds."""
    authority, key = _authority(now)
    serving, serving_key = _serving(authority, key, names, now)
    return Held((authority,), key, serving, serving_key)


def renewed(held: Held, names: Sequence[str], now: float, told: bytes) -> Held:
    """``held`` with what is due at ``now`` done; the same when nothing is. ``told``: the bundle that is in force.

    One step at a time; each may be followed by another later.
    """
    newest = held.authorities[0]
    if now >= _end(newest):  # nobody was here for years
        return made(names, now)
    if now >= _due(newest):
        authority, key = _authority(now)
        return replace(held, authorities=(authority, *held.authorities), authority_key=key)
    if _is_stale(held, names, now) and _may_sign(held, now, told):
        serving, key = _serving(newest, held.authority_key, names, now)
        return replace(held, serving=serving, serving_key=key)
    if len(held.authorities) > 1 and _is_of(held.serving, newest) and now >= _begin(held.serving) + RETIRE_SECONDS:
        return replace(held, authorities=(newest,))
    return held


def _is_stale(held: Held, names: Sequence[str], now: float) -> bool:
    """Whether another certificate should be served."""
    covered = held.serving.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    other = sorted(covered.get_values_for_type(x509.DNSName)) != sorted(names)
    return other or now >= _due(held.serving) or not _is_of(held.serving, held.authorities[0])


def _may_sign(held: Held, now: float, told: bytes) -> bool:
    """Whether every API server trusts the newest authority."""
    settled = now >= _begin(held.authorities[0]) + SETTLE_SECONDS
    return len(held.authorities) == 1 or (settled and told == held.bundle)


# --- the Secret -------------------------------------------------------------------------------------------------------


def data(held: Held) -> dict[str, str]:
    """The Secret's data."""
    files = {
        "ca.crt": held.bundle,
        "ca.key": _private(held.authority_key),
        "tls.crt": _pem(held.serving),
        "tls.key": _private(held.serving_key),
    }
    return {name: base64.b64encode(content).decode() for name, content in files.items()}


def read(stored: Mapping[str, str]) -> Held | None:
    """What ``data`` wrote; None where it is not whole, or does not fit together."""
    try:
        files = {name: base64.b64decode(content, validate=True) for name, content in stored.items()}
        authorities = tuple(x509.load_pem_x509_certificates(files["ca.crt"]))
        keys = [serialization.load_pem_private_key(files[name], None) for name in ("ca.key", "tls.key")]
        serving = x509.load_pem_x509_certificate(files["tls.crt"])
        serving.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (KeyError, ValueError, TypeError, binascii.Error, x509.ExtensionNotFound):
        return None
    authority_key, serving_key = keys
    if not isinstance(authority_key, ec.EllipticCurvePrivateKey) or not isinstance(
        serving_key, ec.EllipticCurvePrivateKey
    ):
        return None
    held = Held(authorities, authority_key, serving, serving_key)
    return held if _fits(held) else None


def _fits(held: Held) -> bool:
    pairs = ((held.authorities[0], held.authority_key), (held.serving, held.serving_key))
    signed = any(_is_of(held.serving, authority) for authority in held.authorities)
    return signed and all(certificate.public_key() == key.public_key() for certificate, key in pairs)


# --- certificates -----------------------------------------------------------------------------------------------------


def _authority(now: float) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    # Two authorities have two names, so that a certificate says by which one it is.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"modelroute webhooks {int(now)}")])
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        _lasting(now, AUTHORITY_DAYS)
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return builder.sign(key, hashes.SHA256()), key


def _serving(
    authority: x509.Certificate, authority_key: ec.EllipticCurvePrivateKey, names: Sequence[str], now: float
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    builder = (
        _lasting(now, SERVING_DAYS)
        .subject_name(x509.Name([]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(signer, critical=False)
    )
    return builder.sign(authority_key, hashes.SHA256()), key


def _lasting(now: float, days: int) -> x509.CertificateBuilder:
    begin = dt.datetime.fromtimestamp(int(now), dt.UTC) - dt.timedelta(seconds=_SKEW)
    builder = x509.CertificateBuilder().serial_number(x509.random_serial_number())
    return builder.not_valid_before(begin).not_valid_after(begin + dt.timedelta(days=days))


def _is_of(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _begin(certificate: x509.Certificate) -> float:
    """When it was made."""
    return certificate.not_valid_before_utc.timestamp() + _SKEW


def _end(certificate: x509.Certificate) -> float:
    return certificate.not_valid_after_utc.timestamp()


def _due(certificate: x509.Certificate) -> float:
    """When it is to be renewed."""
    return _begin(certificate) + RENEW_AT * (_end(certificate) - _begin(certificate))


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
