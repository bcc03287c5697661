"""Usage that only the router asked for is taken out of a stream, and nothing else is touched or kept waiting."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from modelroute.router.surface.lines import Lines
from modelroute.router.surface.unasked import Unasked

TEXT = b'data: {"choices":[{"delta":{"content":"a"}}],"usage":null}'
USAGE = b'data: {"id":"1","choices":[],"usage":{"prompt_tokens":1}}'
LINES = [
    (TEXT, True),
    (USAGE, False),
    (b'data:{ "usage": {"prompt_tokens": 1}, "choices": [ ]}', False),
    (b'data: {"choices":[{"delta":{"content":"\\"choices\\":[]"}}],"usage":{"prompt_tokens":1}}', True),
    (b'data: {"choices":[],"prompt_filter_results":[]}', True),
    (b'data: {"choices":[],"usage":null}', True),
    (b'data: {"usage":{"prompt_tokens":1}}', True),
    (b'data: {"choices":[],"usage":{', True),
    (b"data: [DONE]", True),
    (b": a comment", True),
    (b"data:", True),
    (b"\xff\x00", True),
    (b"event: x", True),
]
events = st.lists(
    st.tuples(st.lists(st.sampled_from(LINES), min_size=1, max_size=3), st.sampled_from([b"\n", b"\r\n"])), max_size=6
)


def sifted(stream: bytes, cuts: list[int]) -> bytes:
    """What a client gets."""
    lines, unasked = Lines(), Unasked()
    ends = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    pieces = [unasked.feed(lines.feed(stream[start:end])) for start, end in pairwise(ends) if start < end]
    return b"".join(pieces) + unasked.feed(lines.rest())


@given(
    events=events, cuts=st.lists(st.integers(0, 2000), max_size=20), tail=st.sampled_from([b"", TEXT, b"dat", b"\r"])
)
def test_a_client_gets_the_same_wherever_the_stream_is_cut(
    events: list[tuple[list[tuple[bytes, bool]], bytes]], cuts: list[int], tail: bytes
) -> None:
    stream, expected = b"", b""
    for lines, end in events:
        kept = [line for line, stays in lines if stays]
        stream += b"".join(line + end for line, _ in lines) + end
        expected += b"".join(line + end for line in kept) + (end if kept and lines[0][1] else b"")
        expected += end if kept and not lines[0][1] else b""
    assert sifted(stream + tail, cuts) == expected + tail
    assert sifted(stream + tail, list(range(len(stream) + 5))) == expected + tail


def test_a_usage_without_an_end_is_taken_out_too() -> None:
    assert Unasked().feed(USAGE) == b""


def test_a_line_that_is_too_long_is_no_usage() -> None:
    long, end = b'data: {"x":"' + b"x" * 70_000, b'","choices":[],"usage":{}}\n\n'
    assert sifted(long + end, [len(long)]) == long + end
