"""Whatever is in a manifest, a person gets a ModelRoute or one error; durations and addresses mean what they say."""

import ipaddress
import re
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from modelroute.api.addresses import FORBIDDEN_URL
from modelroute.api.parse import parse
from modelroute.api.scalars import DURATION, seconds
from modelroute.errors import InvalidManifestError
from tests.fakes.manifests import GOOD, hosted, manifest

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["5s", "small", "2Gi"])
KEYS = st.text(max_size=8) | st.integers() | st.sampled_from(["name", "vllm", "weight", "model", "when", "a b", "x`y"])
JSON = st.recursive(
    SCALARS, lambda below: st.lists(below, max_size=3) | st.dictionaries(KEYS, below, max_size=3), max_leaves=8
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in ``value``, where something else may be put."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [place for key in keys for place in [(value, key), *places(value[key])]]


def verdict(given: Any) -> str:
    """The path of the field that is refused, or "taken"."""
    try:
        parse(given)
    except InvalidManifestError as error:
        return error.path
    return "taken"


@given(JSON)
def test_any_json_is_refused_in_one_way(value: Any) -> None:
    assert verdict(value)


@given(JSON)
def test_any_spec_is_refused_in_one_way(spec: Any) -> None:
    assert verdict(manifest() | {"spec": spec})


@given(st.sampled_from(sorted(GOOD)), st.data(), JSON, st.none() | KEYS)
def test_a_good_manifest_with_anything_in_it(name: str, data: st.DataObject, value: Any, key: Any) -> None:
    changed = manifest(**GOOD[name])
    container, at = data.draw(st.sampled_from(places(changed)))
    container[at if key is None or isinstance(container, list) else key] = value
    assert verdict(changed)


BACKENDS = ("a", "b", "c")
NAMED = st.lists(st.sampled_from(BACKENDS), max_size=3, unique=True)
KINDS = st.fixed_dictionaries(
    {}, optional={"dataPolicy": st.sampled_from(["Internal", "External"]), "weight": st.integers(1, 2)}
)


@given(st.lists(st.tuples(st.booleans(), KINDS), min_size=3, max_size=3), NAMED, NAMED, st.booleans())
def test_a_rule_that_is_taken_leaves_a_way_and_opens_none(
    kinds: list[tuple[bool, dict[str, Any]]], prefer: list[str], exclude: list[str], closed: bool
) -> None:
    hosting: Any = {True: {"external": {"baseURL": "https://a.example"}}, False: {"vllm": {"model": "m"}}}
    backends = [{"name": n} | hosting[own] | more for n, (own, more) in zip(BACKENDS, kinds, strict=True)]
    asked = {"name": "r", "when": {"minChars": 1}, "prefer": prefer, "exclude": exclude, "failClosed": closed}
    outside = {b["name"] for b in backends if b.get("dataPolicy", "External" if "external" in b else "") == "External"}
    kept_away = set(exclude) | (outside if closed else set())
    good = (prefer or exclude or closed) and not kept_away & set(prefer) and kept_away != set(BACKENDS)
    assert (verdict(manifest(backends=backends, rules=[asked])) == "taken") == bool(good)


UNITS = {"h": 3600_000, "m": 60_000, "s": 1000, "ms": 1}


@given(st.lists(st.tuples(st.integers(0, 99_999), st.sampled_from(sorted(UNITS))), min_size=1, max_size=4))
def test_a_duration_is_the_sum_of_its_parts(parts: list[tuple[int, str]]) -> None:
    text = "".join(f"{number}{unit}" for number, unit in parts)
    assert re.search(DURATION, text)
    assert round(seconds(text) * 1000) == sum(number * UNITS[unit] for number, unit in parts)


def disguises(address: ipaddress.IPv4Address) -> list[str]:
    """The other ways in which resolvers take an address: fewer parts, octal, hexadecimal, a dot at the end."""
    a, b, c, d = address.packed
    whole = int(address)
    return [
        f"{a}.{b}.{c}.{d}.",
        str(whole),
        hex(whole),
        f"0{whole:o}",
        f"{a}.{whole & 0xFFFFFF}",
        f"{a}.{b}.{whole & 0xFFFF}",
        f"0{a:o}.{b}.{c}.{d}",
        f"{a}.{b}.{c}.0{d:o}",
        f"0X{a:x}.{b}.0x{c:x}.{d}",
    ]


def is_forbidden(host: str) -> bool:
    return re.search(FORBIDDEN_URL, f"https://{host}:443/v1") is not None


@given(st.ip_addresses(v=4))
@example(ipaddress.IPv4Address("127.0.0.1"))
@example(ipaddress.IPv4Address("169.254.169.254"))
@example(ipaddress.IPv4Address("0.0.0.0"))
@example(ipaddress.IPv4Address("255.255.255.255"))
@example(ipaddress.IPv4Address("100.100.100.200"))
def test_no_address_is_forbidden_but_this_machine_and_what_no_api_has(address: ipaddress.IPv4Address) -> None:
    this_network = address in ipaddress.ip_network("0.0.0.0/8")
    metadata = str(address) in ("100.100.100.200", "168.63.129.16", "192.0.0.192")
    nowhere = address.is_loopback or address.is_link_local or address.is_multicast or address.is_reserved
    assert is_forbidden(str(address)) == (this_network or nowhere or metadata)


@given(st.ip_addresses(v=4, network="127.0.0.0/8") | st.ip_addresses(v=4, network="169.254.0.0/16"), st.data())
def test_no_disguise_hides_a_forbidden_address(address: ipaddress.IPv4Address, data: st.DataObject) -> None:
    disguise = data.draw(st.sampled_from(disguises(address)))
    assert is_forbidden(disguise)
    assert is_forbidden(disguise.upper())


@given(st.from_regex(r"[a-z]{2,9}(-[a-z0-9]{1,5})?(\.[a-z]{2,9}){1,3}", fullmatch=True))
def test_a_public_name_is_taken(host: str) -> None:
    internal = host == "metadata.google.internal" or host.endswith((".localhost", ".metadata.google.internal"))
    assert is_forbidden(host) == internal
    if not internal:
        assert parse(manifest(**hosted(f"https://{host}/v1")))
