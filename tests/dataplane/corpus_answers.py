"""Answers that no backend should give, and what a client must see of each. Used by ``test_answers``.

Bytes as they come on the wire. What is expected is an error of the router's own shape, or the answer as it stands, or a
stream that says that it broke; never a 500 of the router's, never silence.
"""

from dataclasses import dataclass

JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"
OPENER = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
TEXT = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}\n\n'
DONE = b"data: [DONE]\n\n"
GOOD = b'{"choices":[]}'
DEEP = 5000


@dataclass(frozen=True)
class Error:
    """An error with a status, whole and in the shape that clients know. ``says``: part of its message."""

    status: int
    says: str = ""


@dataclass(frozen=True)
class Whole:
    """A 200 with just this body."""

    body: bytes


@dataclass(frozen=True)
class Broken:
    """A stream that has begun with this and ends with one event that is an error, and nothing after it."""

    begins: bytes
    says: str = ""


class Cut:
    """An answer that is no stream has begun; its connection ends before its body does."""


@dataclass(frozen=True)
class Case:
    """``sends`` on each connection, which then stays open if ``stays``."""

    name: str
    sends: bytes
    sees: Error | Whole | Broken | Cut
    stream: bool = False
    stays: bool = False


def sized(body: bytes, length: int | None = None, head: bytes = JSON) -> bytes:
    return head + b"content-length: %d\r\n\r\n" % (len(body) if length is None else length) + body


def chunks(*pieces: bytes, head: bytes = JSON, end: bytes = b"0\r\n\r\n") -> bytes:
    return head + CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces) + end


def events(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return chunks(*pieces, head=EVENTS, end=end)


def status(line: bytes, body: bytes = b"{}") -> bytes:
    return sized(body, head=b"HTTP/1.1 %b\r\n" % line)


BAD = Error(502)

_HEADS = [
    Case("nothing", b"", BAD),
    Case("no HTTP", b"hello there\r\n\r\n", BAD),
    Case("a body without a head", b'{"choices":[]}', BAD),
    Case("a banner of SSH", b"SSH-2.0-OpenSSH_9.2\r\n", BAD),
    Case("an alert of TLS", b"\x15\x03\x01\x00\x02\x02\x28", BAD),
    Case("frames of HTTP/2", b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + b"\x00" * 18, BAD),
    Case("a request", b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", BAD),
    Case("another version", GOOD.join([b"HTTP/3.0 200 OK\r\ncontent-length: 14\r\n\r\n", b""]), BAD),
    Case("a status line alone", b"HTTP/1.1 200 OK\r\n", BAD),
    Case("a head without an end", JSON + b"x: y", BAD),
    Case("a status of four digits", status(b"2000 OK"), BAD),
    Case("a status of two digits", status(b"20 OK"), BAD),
    Case("a status that is no number", status(b"abc OK"), BAD),
    Case("status 0", status(b"000 No"), BAD),
    Case("status 600", status(b"600 No"), BAD),
    Case("status 999", status(b"999 No"), BAD),
    Case("a switch of protocols", b"HTTP/1.1 101 Switching\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n", BAD),
    Case("a head of 70 KB", JSON + b"x: " + b"y" * 70_000 + b"\r\n\r\n", BAD),
    Case("20,000 headers", JSON + b"x: y\r\n" * 20_000 + b"\r\n", BAD),
    Case("a header without a colon", JSON + b"nonsense\r\n\r\n", BAD),
    Case("a blank before a colon", sized(GOOD, head=JSON + b"x : y\r\n"), BAD),
    Case("a NUL in a header", sized(GOOD, head=JSON + b"x: a\0b\r\n"), BAD),
    Case("a bare CR in a header", sized(GOOD, head=JSON + b"x: a\rset-cookie: b\r\n"), BAD),
    Case("two lengths", sized(GOOD, head=JSON + b"content-length: 3\r\n"), BAD),
    Case("a negative length", JSON + b"content-length: -5\r\n\r\n" + GOOD, BAD),
    Case("a length in hex", JSON + b"content-length: 0x0e\r\n\r\n" + GOOD, BAD),
    Case("a length that overflows", JSON + b"content-length: 99999999999999999999\r\n\r\n" + GOOD, BAD),
    Case("a length and chunks", JSON + b"content-length: 14\r\n" + CHUNKED + b"e\r\n%b\r\n0\r\n\r\n" % GOOD, BAD),
    Case(
        "a redirect to metadata",
        b"HTTP/1.1 307 No\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n",
        BAD,
    ),
    Case("not modified", b"HTTP/1.1 304 Not Modified\r\n\r\n", BAD),
    Case("no content", b"HTTP/1.1 204 No Content\r\n\r\n", BAD),
    Case("a part of the content", status(b"206 Partial Content", GOOD), BAD),
    Case("a flood of announcements", b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000 + sized(GOOD), BAD),
    Case("announcements without end", b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" * 50, BAD),
]

_BODIES = [
    Case("a few announcements", b"HTTP/1.1 100 Continue\r\n\r\n" * 20 + sized(GOOD), Whole(GOOD)),
    Case("less than its length", sized(GOOD, 100), BAD),
    Case("more than its length", sized(GOOD + b"more", len(GOOD)), Whole(GOOD), stays=True),
    Case("a second answer", sized(GOOD) + sized(b'{"choices":[1]}'), Whole(GOOD), stays=True),
    Case("half a second answer", sized(GOOD) + b"HTTP/1.1 200", Whole(GOOD), stays=True),
    Case("an empty body", sized(b""), BAD),
    Case("empty chunks", chunks(), BAD),
    Case("no length", JSON + b"\r\n" + GOOD, Whole(GOOD)),
    Case("chunks without an end", chunks(GOOD, end=b""), BAD),
    Case("a chunk's size that is no number", JSON + CHUNKED + b"zz\r\n" + GOOD, BAD),
    Case("a negative chunk", JSON + CHUNKED + b"-e\r\n" + GOOD, BAD),
    Case("a chunk's size that overflows", JSON + CHUNKED + b"f" * 20 + b"\r\n" + GOOD, BAD),
    Case("a chunk that is longer than it says", JSON + CHUNKED + b"3\r\n%b\r\n0\r\n\r\n" % GOOD, BAD),
    Case("an extension of a chunk", JSON + CHUNKED + b"e;a=b\r\n%b\r\n0\r\n\r\n" % GOOD, Whole(GOOD)),
    Case("trailers", chunks(GOOD, end=b"0\r\nset-cookie: a=b\r\n\r\n"), Whole(GOOD)),
    Case("a length in the trailers", chunks(GOOD, end=b"0\r\ncontent-length: 1\r\n\r\n"), BAD),
    Case("NULs", sized(b'{"choices":["\0"]}'), BAD),
    Case("a page", sized(b"<html>busy</html>"), BAD),
    Case("half of JSON", sized(b'{"choices":'), BAD),
    Case("no UTF-8", sized(b'{"choices":["\xff\xfe"]}'), Whole(b'{"choices":["\xff\xfe"]}')),
    Case("deep JSON", sized(b'{"error":' * DEEP), Whole(b'{"error":' * DEEP)),
    Case(
        "negative usage",
        sized(b'{"usage":{"prompt_tokens":-7,"completion_tokens":-1}}'),
        Whole(b'{"usage":{"prompt_tokens":-7,"completion_tokens":-1}}'),
    ),
    Case(
        "usage beyond all bounds",
        sized(b'{"usage":{"prompt_tokens":%d}}' % 10**40),
        Whole(b'{"usage":{"prompt_tokens":%d}}' % 10**40),
    ),
    Case("usage that is no object", sized(b'{"usage":["prompt_tokens",{}]}'), Whole(b'{"usage":["prompt_tokens",{}]}')),
    Case("a long body that breaks", sized(b'{"x":"' + b"x" * 400_000, 10**6), Cut()),
    Case("a long body that is no JSON", sized(b"<p>" * 100_000), Error(502)),
    Case("a long error in a 200", sized(b'{"error":{"message":"' + b"x" * 300_000 + b'"}}'), Error(502)),
    Case("no object", sized(b"null"), Error(502)),
    Case("a list", sized(b"[]"), Error(502)),
    Case("a packed answer", sized(b"{}", head=JSON + b"content-encoding: gzip\r\n"), BAD),
    Case("two codings", chunks(b"{}", head=JSON + CHUNKED[:-2]), BAD),
    Case("a coding on top", b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", BAD),
    Case("chunks in HTTP/1.0", chunks(b"{}", head=b"HTTP/1.0 200 OK\r\n"), BAD),
    Case("HTTP/2.0 in text", sized(b"{}", head=b"HTTP/2.0 200 OK\r\n"), BAD),
    Case("a trailer without end", chunks(b"{}", end=b"0\r\nx: " + b"y" * 500_000), BAD),
    Case("escapes", sized(b'{"error":"at \\u0031\\u0030.0.0.7 \\/ sk-a\\u0062cdefgh123"}'), Error(502, "at *** / ***")),
    Case("a name of many dots", status(b"400 No", b'{"error":{"message":"%b"}}' % (b"a." * 100_000)), Error(400)),
    Case("an error in a 200", sized(b'{"error":{"message":"no room"}}'), Error(502, "no room")),
    Case("an error in words in a 200", sized(b'{"error":"no room"}'), Error(502, "no room")),
    Case("an error with a status", sized(b'{"error":{"message":"no room","code":503}}'), Error(503, "no room")),
    Case(
        "an error with a silly code in a 200",
        sized(b'{"error":{"message":"no room","code":-1e9}}'),
        Error(502, "no room"),
    ),
    Case("an error of another type in a 200", sized(b'{"error":{"message":{"a":1},"type":[],"code":{}}}'), BAD),
]

_ERRORS = [
    Case("a page", status(b"400 Bad Request", b"<html>nginx/1.2</html>"), Error(400)),
    Case("an empty error", status(b"404 Not Found", b""), Error(404)),
    Case("half an error", sized(b'{"error":{"mess', 100, head=b"HTTP/1.1 400 No\r\n"), BAD),
    Case("an error that is no UTF-8", status(b"400 No", b'{"error":{"message":"\xff"}}'), Error(400)),
    Case("an error with NULs", status(b"400 No", b'{"error":{"message":"a\\u0000b"}}'), Error(400, "a\0b")),
    Case("a deep error", status(b"400 No", b'{"error":' + b"[" * DEEP), Error(400)),
    Case("an error of 1 MB", status(b"400 No", b'{"error":{"message":"' + b"x" * 2**20 + b'"}}'), Error(400)),
    Case("an error of numbers", status(b"400 No", b'{"error":{"message":1,"type":2,"param":3,"code":4}}'), Error(400)),
    Case("an error in a list", status(b"422 No", b'[{"error":{"message":"m"}}]'), Error(422)),
    Case("an error of FastAPI's", status(b"422 No", b'{"detail":[{"loc":["body"],"msg":"m"}]}'), Error(422, "loc")),
    Case(
        "a key in an error", status(b"401 No", b'{"error":{"message":"bad key sk-secret"}}'), Error(401, "credentials")
    ),
    Case("status 418", status(b"418 Teapot"), Error(418)),
    Case("a Retry-After that is none", status(b"429 No\r\nretry-after: soon\r\nx-ratelimit-reset: \xff"), Error(429)),
    Case("a Retry-After before now", status(b"503 No\r\nretry-after: -9999999999999999999"), Error(503)),
    Case("a 503 that ends without a length", b"HTTP/1.1 503 No\r\n\r\n" + b"no", Error(503)),
]

_STREAMS = [
    Case(
        "an error at first",
        events(b'data: {"error":{"message":"no room","code":503}}\n\n', DONE),
        Error(503, "no room"),
        True,
    ),
    Case(
        "an error in two pieces at first",
        events(b'data: {"err', b'or":"no room"}\n\n', DONE),
        Error(502, "no room"),
        True,
    ),
    Case(
        "a named error at first",
        events(b'event: error\r\ndata: {"type":"error","message":"no room"}\r\n\r\n'),
        Error(502, "no room"),
        True,
    ),
    Case(
        "an error in the midst, and the end",
        events(OPENER, TEXT, b'data: {"error":{"message":"m"}}\n\n', DONE),
        Whole(OPENER + TEXT + b'data: {"error":{"message":"m"}}\n\n' + DONE),
        True,
    ),
    Case(
        "an error in the midst",
        events(OPENER, b'data: {"error":{"message":"own words"}}\n\n'),
        Broken(OPENER, "own words"),
        True,
    ),
    Case("an empty stream", events(), BAD, True),
    Case("an end alone", events(DONE), Whole(DONE), True),
    Case("no end", events(OPENER, TEXT), Broken(OPENER + TEXT), True),
    Case("no end of the chunks", events(OPENER, TEXT, end=b""), Broken(OPENER + TEXT), True),
    Case("comments alone", events(b": wait\n\n", b": wait\n\n"), Broken(b": wait\n\n: wait\n\n"), True),
    Case("blank lines alone", events(b"\n" * 100_000), Broken(b"\n" * 100_000), True),
    Case("half an event", events(OPENER, b'data: {"choices":[{"del'), Broken(OPENER), True),
    Case("half a usage", events(OPENER, b'data: {"choices":[],"us'), Broken(OPENER), True),
    Case("a broken chunk", events(OPENER, TEXT, end=b"zz\r\n"), BAD, True),
    Case("less than its length", sized(OPENER + TEXT, 10_000, head=EVENTS), Broken(OPENER + TEXT), True),
    Case(
        "an end within a text",
        events(OPENER, b'data: {"choices":[{"delta":{"content":"data: [DONE]"}}]}\n\n'),
        Broken(OPENER),
        True,
    ),
    Case("data after the end", events(OPENER, DONE, TEXT), Whole(OPENER + DONE + TEXT), True),
    Case(
        "a line of 1 MB",
        events(OPENER, b"data: " + b"x" * 2**20, b"\n\n", DONE),
        Whole(OPENER + b"data: " + b"x" * 2**20 + b"\n\n" + DONE),
        True,
    ),
    Case("a line of 1 MB at first", events(b"x" * 2**20, DONE), Broken(b"x" * 2**20), True),
    Case(
        "NULs and no UTF-8", events(OPENER, b"data: \0\xff\n\n", DONE), Whole(OPENER + b"data: \0\xff\n\n" + DONE), True
    ),
    Case("a byte order mark", events(b"\xef\xbb\xbf" + OPENER, DONE), Whole(b"\xef\xbb\xbf" + OPENER + DONE), True),
    Case(
        "lines that end in CRLF",
        events(*(e.replace(b"\n", b"\r\n") for e in (OPENER, USAGE, DONE))),
        Whole((OPENER + DONE).replace(b"\n", b"\r\n")),
        True,
    ),
    Case("usage that nobody asked for", events(OPENER, TEXT, USAGE, DONE), Whole(OPENER + TEXT + DONE), True),
    Case("usage byte by byte", events(*(bytes([b]) for b in OPENER + USAGE + DONE)), Whole(OPENER + DONE), True),
    Case("usage alone", events(USAGE, DONE), Whole(DONE), True),
    Case("negative usage", events(OPENER, USAGE.replace(b":3", b":-3"), DONE), Whole(OPENER + DONE), True),
    Case(
        "deep usage",
        events(OPENER, b'data: {"choices":[],"usage":{"a":' + b"[" * DEEP + b"\n\n", DONE),
        Whole(OPENER + b'data: {"choices":[],"usage":{"a":' + b"[" * DEEP + b"\n\n" + DONE),
        True,
    ),
    Case(
        "usage in a list",
        events(OPENER, b'data: [{"choices":[],"usage":{}}]\n\n', DONE),
        Whole(OPENER + b'data: [{"choices":[],"usage":{}}]\n\n' + DONE),
        True,
    ),
    Case("a whole answer to who wants a stream", sized(GOOD), Whole(GOOD), True),
    Case(
        "a type in capitals",
        chunks(OPENER, TEXT, head=EVENTS.replace(b"text/event", b"Text/EVENT")),
        Broken(OPENER + TEXT),
        True,
    ),
    Case(
        "an error as a stream",
        chunks(b'data: {"error":{"message":"m"}}\n\n', head=b"HTTP/1.1 400 No\r\ncontent-type: text/event-stream\r\n"),
        Error(400),
        True,
    ),
    Case("a stream to who wants none", events(OPENER, TEXT, DONE), Whole(OPENER + TEXT + DONE)),
    Case("silence", b"", Error(504), True, stays=True),
    Case("silence after the head", EVENTS + CHUNKED, Error(504), True, stays=True),
    Case("silence in a body", sized(b"{", 100), Error(504), stays=True),
    Case("silence in a chunk", events(OPENER, end=b"ff\r\ndata"), Broken(OPENER, "stopped coming"), True, stays=True),
    Case(
        "silence after a comment", events(b": x\n\n", end=b""), Broken(b": x\n\n", "stopped coming"), True, stays=True
    ),
]

CASES = [*_HEADS, *_BODIES, *_ERRORS, *_STREAMS]
