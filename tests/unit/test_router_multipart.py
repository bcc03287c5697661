"""Forms with audio: the model is found and put in, whatever could be read in two ways is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelroute.router.surface.body import Ask, read
from modelroute.router.surface.multipart import FormError, boundary_of, fields_of
from modelroute.router.surface.openai import Kind
from modelroute.router.surface.pairs import BadBodyError
from modelroute.router.surface.rewrite import rewritten
from modelroute.router.surface.texts import text_of
from modelroute.snapshot.types import Backend, Parameters, Timeouts

TYPE = b"multipart/form-data; boundary=xyz"
FILE = b'Content-Disposition: form-data; name="file"; filename="a; name=\\"model\\".wav"\r\nContent-Type: audio/wav'
TIMES = Timeouts(1, 1, 1, 1)


def field(name: str) -> bytes:
    return f'Content-Disposition: form-data; name="{name}"'.encode()


def form(*parts: tuple[bytes, bytes], end: bytes = b"--\r\n") -> bytes:
    return b"".join(b"--xyz\r\n%b\r\n\r\n%b\r\n" % part for part in parts) + b"--xyz" + end


def audio(*more: tuple[bytes, bytes], model: bytes = b"chat") -> Ask:
    body = form((FILE, b"RIFF\r\n--xy\r\n\0"), (field("model"), model), *more)
    return read(Kind.TRANSCRIPTIONS, body, TYPE)


def test_a_form_is_sent_on_as_it_is_but_for_the_model() -> None:
    asked = audio((field("language"), b"de"))
    assert (asked.model, asked.stream, asked.content_type, text_of(asked)) == ("chat", False, TYPE, "")
    assert rewritten(asked, Backend("b", 1, TIMES)) is asked.body
    named = Backend("b", 1, TIMES, model="whisper", parameters=Parameters(max_max_tokens=5))
    assert rewritten(asked, named) == asked.body.replace(b"\r\n\r\nchat\r\n", b"\r\n\r\nwhisper\r\n")


@pytest.mark.parametrize(("value", "stream"), [(b"true", True), (b"True", True), (b"1", True), (b"false", False)])
def test_a_form_may_ask_for_a_stream(value: bytes, stream: bool) -> None:
    assert audio((field("stream"), value)).stream is stream


@pytest.mark.parametrize(
    "content_type",
    [
        b"",
        b"application/json",
        b"multipart/form-data",
        b"multipart/form-data; boundary=",
        b"multipart/mixed; boundary=a",
        b"multipart/form-data; boundary=a; boundary=b",
        b'multipart/form-data; boundary="a',
        b"multipart/form-data; boundary=" + b"a" * 71,
    ],
    ids=repr,
)
def test_what_is_no_form_is_refused(content_type: bytes) -> None:
    assert boundary_of(content_type) is None
    with pytest.raises(BadBodyError, match="multipart/form-data"):
        read(Kind.TRANSLATIONS, form((FILE, b"x"), (field("model"), b"m")), content_type)


def test_a_boundary_may_be_quoted() -> None:
    assert boundary_of(b'Multipart/Form-Data;boundary="a:b"') == b"a:b"


MODEL = (field("model"), b"chat")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "begin"),
        (b"preamble\r\n" + form(MODEL), "begin"),
        (form(MODEL, MODEL), "twice"),
        (form((field("file"), b"x")), "model is missing"),
        (form(MODEL), "file is missing"),
        (form(MODEL, end=b""), "what follows"),
        (form(MODEL, end=b"--trailing"), "what follows"),
        (form(MODEL, end=b"--\r\n--xyz\r\n"), "what follows"),
        (form(MODEL)[:-12], "no end"),
        (b"--xyz\r\nX: " + b"x" * 5000 + b"\r\n\r\n\r\n--xyz--", "no head"),
        (form((b"Content-Type: text/plain", b"x")), "one Content-Disposition"),
        (form((field("a") + b"\r\n" + field("b"), b"x")), "one Content-Disposition"),
        (form((b'Content-Disposition: form-data; name="a"; name="model"', b"x")), "one name"),
        (form((b'Content-Disposition: form-data; name="mo\\del"', b"x")), "one name"),
        (form((b"Content-Disposition: attachment; name=model", b"x")), "one name"),
        (form((field("a") + b"\r\n--xyz", b"x")), "one name"),
        (form(*[(field(f"f{n}"), b"x") for n in range(65)]), "more than 64"),
        (form((FILE, b"x"), (field("model"), b"\xff")), "UTF-8"),
        (form((FILE, b"x"), (field("model"), b"")), "model is missing"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_form_that_could_be_read_in_two_ways_is_refused(body: bytes, told: str) -> None:
    with pytest.raises(BadBodyError, match=told):
        read(Kind.TRANSCRIPTIONS, body, TYPE)


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Disposition: form-data; name=\"x\"; name*=utf-8''model",
        b"Content-Disposition: form-data; name*=utf-8''model; name=x",
        b'Content-Disposition: form-data; name="x"; filename="a\\\\"; b="; name=model; c="',
        b"Content-Disposition: form-data; name=<model>",
        b'Content-Disposition: form-data; name="x"\r\n ;name="model"',
        b'Content-Disposition: form-data; name="x"\r\nContent-Disposition : form-data; name="model"',
        b'X: a\nContent-Disposition: form-data; name="model"\r\nContent-Disposition: form-data; name="x"',
        b'\r\nContent-Disposition: form-data; name="x"',
    ],
    ids=repr,
)
def test_a_head_in_which_another_parser_finds_another_name_is_refused(head: bytes) -> None:
    with pytest.raises(FormError, match="one name"):
        fields_of(form((head, b"dear")), b"xyz")


@pytest.mark.parametrize(
    "head",
    [
        b"content-disposition: form-data; name=model",
        b"Content-Disposition: form-data; filename*=utf-8''a%20b.wav; filename=a.wav; name=\"model\"",
        b'Content-Disposition: form-data; name="model"; filename="C:\\\\a.wav"',
        'Content-Disposition: form-data; name="model"; filename="\u00e4.wav"\r\nContent-Type:'.encode(),
    ],
    ids=repr,
)
def test_a_head_may_be_written_in_all_ways_that_have_one_meaning(head: bytes) -> None:
    assert list(fields_of(form((head, b"x")), b"xyz")) == ["model"]


def test_a_list_may_have_many_values() -> None:
    assert audio((field("timestamp_granularities[]"), b"word"), (field("timestamp_granularities[]"), b"segment"))


@given(
    pieces=st.lists(st.sampled_from([b"--xyz", b"--", b"\r\n", b"\r\n\r\n", field("model"), b"a", b'"', b";", b"\\"]))
)
def test_any_bytes_are_a_form_or_refused(pieces: list[bytes]) -> None:
    body = b"--xyz\r\n" + b"".join(pieces)
    try:
        found = fields_of(body, b"xyz")
    except FormError:
        return
    assert all(0 < start <= end < len(body) for start, end in found.values())
