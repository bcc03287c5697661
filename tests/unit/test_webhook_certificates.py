"""The webhooks' certificates, by a clock that the test moves: renewed in time, and trusted at every moment."""

import base64
import itertools
import ssl
from collections.abc import Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from modelroute.controller.webhooks.certificates import (
    AUTHORITY_DAYS,
    RETIRE_SECONDS,
    SERVING_DAYS,
    SETTLE_SECONDS,
    Held,
    data,
    made,
    read,
    renewed,
)

NAMES = ("modelroute-webhook.home.svc", "localhost")
DAY = 86400.0
BORN = 1_800_000_000.0
FIRST = made(NAMES, BORN)


def at(days: float, held: Held = FIRST, told: bytes | None = None) -> Held:
    """What is held so long after the beginning; the API server was told of all that is trusted, unless said so."""
    return renewed(held, NAMES, BORN + days * DAY, held.bundle if told is None else told)


def rotated() -> Held:
    """A second authority was made; the certificate is still of the first."""
    served = at(AUTHORITY_DAYS / 2 - 10)
    return at(AUTHORITY_DAYS / 2 + 1, served)


def trusted(held: Held, bundle: bytes) -> bool:
    """Whether who trusts ``bundle`` takes what is served, its time apart."""
    authorities = x509.load_pem_x509_certificates(bundle)
    return any(held.serving.issuer == a.subject for a in authorities)


class TestMade:
    def test_it_is_for_the_names_that_it_is_called_by(self) -> None:
        found = FIRST.serving.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert found.get_values_for_type(x509.DNSName) == list(NAMES)

    def test_a_clock_that_is_a_little_behind_takes_it(self) -> None:
        assert FIRST.serving.not_valid_before_utc.timestamp() == BORN - 300

    def test_a_server_can_load_it(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        file = tmp_path_factory.mktemp("pem") / "pair"
        file.write_bytes(FIRST.chain)
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(file)

    def test_its_authority_can_sign_no_other_authority(self) -> None:
        found = FIRST.authorities[0].extensions.get_extension_for_class(x509.BasicConstraints).value
        assert (found.ca, found.path_length) == (True, 0)

    def test_no_key_is_in_its_words(self) -> None:
        assert "PrivateKey" not in repr(FIRST)


class TestRenewed:
    @pytest.mark.parametrize("days", [0.0, 1.0, SERVING_DAYS / 2 - 1])
    def test_nothing_is_done_before_it_is_due(self, days: float) -> None:
        assert at(days) is FIRST

    def test_o17_a_certificate_is_renewed_before_two_thirds_of_its_life(self) -> None:
        found = at(SERVING_DAYS * 2 / 3 - 1)
        assert found.serving != FIRST.serving
        assert found.bundle == FIRST.bundle

    def test_what_was_missed_is_made_up_for(self) -> None:
        found = at(SERVING_DAYS + 7)
        assert found.serving.not_valid_after_utc.timestamp() > BORN + 2 * SERVING_DAYS * DAY

    def test_another_name_is_covered_at_once(self) -> None:
        found = renewed(FIRST, ("other.svc",), BORN, b"")
        assert found.serving != FIRST.serving

    def test_o17_an_authority_is_told_of_before_it_signs(self) -> None:
        found = rotated()
        assert len(found.authorities) == 2
        assert trusted(found, FIRST.bundle)

    @pytest.mark.parametrize("seconds", [0.0, SETTLE_SECONDS - 1])
    def test_it_does_not_sign_before_every_api_server_can_know_it(self, seconds: float) -> None:
        found = rotated()
        assert at(AUTHORITY_DAYS / 2 + 1 + seconds / DAY, found) is found

    def test_it_does_not_sign_while_the_configurations_do_not_hold_it(self) -> None:
        found = rotated()
        assert at(AUTHORITY_DAYS / 2 + 2, found, told=FIRST.bundle) is found

    def test_then_it_signs_and_both_are_trusted(self) -> None:
        found = at(AUTHORITY_DAYS / 2 + 1 + (SETTLE_SECONDS + 1) / DAY, rotated())
        assert found.serving.issuer == found.authorities[0].subject
        assert len(found.authorities) == 2

    def test_the_old_one_goes_when_nothing_of_it_is_served_any_more(self) -> None:
        signed = at(AUTHORITY_DAYS / 2 + 2, rotated())
        assert at(AUTHORITY_DAYS / 2 + 2 + (RETIRE_SECONDS - 1) / DAY, signed) is signed
        assert len(at(AUTHORITY_DAYS / 2 + 2 + RETIRE_SECONDS / DAY, signed).authorities) == 1

    def test_after_years_of_absence_all_is_made_anew(self) -> None:
        found = at(AUTHORITY_DAYS + 1)
        assert found.authorities != FIRST.authorities
        assert trusted(found, found.bundle)

    def test_o17_over_six_years_what_is_served_is_valid_and_trusted_at_every_look(self) -> None:
        held, told = FIRST, FIRST.bundle
        for now, following in looks():
            held = renewed(held, NAMES, now, told)
            # The API server trusts what it was last told, until this look ends, and then the new bundle.
            assert trusted(held, told)
            told = held.bundle
            assert held.serving.not_valid_after_utc.timestamp() > following
            assert all(a.not_valid_after_utc.timestamp() > following for a in held.authorities)
        assert held.authorities != FIRST.authorities


def looks() -> Iterator[tuple[float, float]]:
    """Each time at which one looks, with the next."""
    step = 2 * DAY
    yield from itertools.pairwise(BORN + n * step for n in range(int(6 * 365 * DAY / step)))


class TestStored:
    def test_what_is_written_is_read(self) -> None:
        found = read(data(FIRST))
        assert found is not None
        assert data(found) == data(FIRST)

    def test_two_authorities_are_read_in_their_order(self) -> None:
        found = read(data(rotated()))
        assert found is not None
        assert len(found.authorities) == 2

    @pytest.mark.parametrize(
        "change",
        [
            {"tls.key": ""},
            {"tls.crt": "!"},
            {"ca.crt": base64.b64encode(b"-----BEGIN CERTIFICATE-----").decode()},
            {"tls.key": data(FIRST)["ca.key"]},
            {"ca.key": data(FIRST)["tls.key"]},
            {"ca.crt": data(made(NAMES, BORN))["ca.crt"]},
        ],
        ids=["no key", "not base64", "not PEM", "another's key", "another's authority key", "unsigned"],
    )
    def test_what_does_not_fit_together_is_no_certificate(self, change: dict[str, str]) -> None:
        assert read(data(FIRST) | change) is None

    def test_what_is_not_whole_is_none(self) -> None:
        assert read({}) is None

    def test_keys_are_of_a_kind_that_every_client_takes(self) -> None:
        assert isinstance(FIRST.serving_key.curve, ec.SECP256R1)
