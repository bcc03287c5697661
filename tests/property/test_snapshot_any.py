"""Any snapshot goes from the operator to the router unchanged, under a revision that names its content alone."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from modelroute.api.types import ALL_FAILURES, FailureKind
from modelroute.errors import InvalidSnapshotError
from modelroute.snapshot.codec import decode, encode
from modelroute.snapshot.types import (
    Auth,
    Backend,
    Canary,
    ColdStart,
    Fallback,
    Health,
    Limits,
    Load,
    Parameters,
    Retry,
    Rule,
    Snapshot,
    Start,
    Timeouts,
    When,
)

TEXT = st.text(max_size=12)
TEXTS = st.lists(TEXT, max_size=3).map(tuple)
SECONDS = st.floats(0, 1e6, allow_nan=False)
FAILURES: st.SearchStrategy[tuple[FailureKind, ...]] = st.lists(st.sampled_from(ALL_FAILURES)).map(tuple)
TIMEOUTS = st.builds(Timeouts, SECONDS, SECONDS, SECONDS, SECONDS, st.none() | SECONDS)
PARAMETERS = st.builds(
    Parameters,
    system_prompt=st.none() | TEXT,
    max_max_tokens=st.none() | st.integers(1, 2**31),
    max_temperature=SECONDS,
)
BACKENDS = st.builds(
    Backend,
    name=TEXT,
    weight=st.integers(0, 10**6),
    timeouts=TIMEOUTS,
    endpoints=TEXTS,
    parameters=PARAMETERS,
    limits=st.builds(Limits, st.none() | st.integers(1), st.integers(99, 101), SECONDS),
    health=st.builds(Health, interval=st.sampled_from([0.0, 10.0]), path=st.sampled_from(["", "/health"])),
    cold_start=st.builds(ColdStart, policy=st.sampled_from(["Hold", "Fallback"])),
    start=st.builds(Start, st.none() | SECONDS),
    loads=st.dictionaries(TEXT, st.builds(Load, st.integers(0, 3)), max_size=2),
    data_policy=st.sampled_from(["Internal", "External"]),
)
WHENS = st.builds(When, any_keyword=TEXTS, headers=st.dictionaries(TEXT, TEXT, max_size=3), tiers=TEXTS)
SNAPSHOTS = st.builds(
    Snapshot,
    namespace=TEXT,
    name=TEXT,
    generation=st.integers(0, 2**31),
    models=TEXTS,
    backends=st.lists(BACKENDS, max_size=2).map(tuple),
    rules=st.lists(st.builds(Rule, TEXT, WHENS, TEXTS, TEXTS, st.booleans()), max_size=2).map(tuple),
    canary=st.none() | st.builds(Canary, TEXT, st.integers(0, 100)),
    fallbacks=st.lists(st.builds(Fallback, TEXT, FAILURES), max_size=2).map(tuple),
    retry=st.builds(Retry, attempts=st.integers(1, 10)),
    total=st.none() | SECONDS,
    auth=st.none() | st.builds(Auth, TEXT, TEXT),
    revision=TEXT,
)


@given(SNAPSHOTS)
def test_what_is_written_is_read(snapshot: Snapshot) -> None:
    read = decode(encode(snapshot))
    assert replace(read, revision="") == replace(snapshot, revision="")
    assert encode(read) == encode(snapshot)


@given(SNAPSHOTS, SNAPSHOTS)
def test_one_revision_is_one_content(one: Snapshot, other: Snapshot) -> None:
    same = replace(one, revision="") == replace(other, revision="")
    assert (decode(encode(one)).revision == decode(encode(other)).revision) == same


@given(SNAPSHOTS, st.data())
def test_a_file_that_was_cut_is_refused(snapshot: Snapshot, data: st.DataObject) -> None:
    whole = encode(snapshot)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    try:
        decode(cut)
    except InvalidSnapshotError:
        return
    raise AssertionError(cut)
