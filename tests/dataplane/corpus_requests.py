"""Requests as nobody should send them, and as somebody may: bytes, and the status that must come. Used by test_corpus.

REFUSED: one answer, then the end; what follows is never looked at. LAST: an answer, then the end. SERVED: the
connection goes on. BAD is a plain 400.
"""

BAD = 400
GET = b"GET /healthz HTTP/1.1\r\nHost: r\r\n"
POST = b"POST /v1/chat/completions HTTP/1.1\r\n"
HEAD = POST + b"Host: r\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
JSON = b'{"model":"chat","messages":[{}]}'
LENGTH = b"Content-Length: %d\r\n" % len(JSON)
SIZE = b"%x" % len(JSON)
END = b"0\r\n\r\n"


def line(start: bytes) -> bytes:
    """A request by its first line."""
    return start + b"\r\nHost: r\r\n\r\n"


def field(header: bytes) -> bytes:
    """A request without a body and with this line in its head."""
    return GET + header + b"\r\n\r\n"


def framed(*headers: bytes, body: bytes = JSON) -> bytes:
    """A chat request with these lines in its head."""
    return HEAD + b"".join(h + b"\r\n" for h in headers) + b"\r\n" + body


def chunks(size: bytes, after: bytes = b"\r\n", end: bytes = END) -> bytes:
    """A chat request in one chunk."""
    return CHUNKED + size + b"\r\n" + JSON + after + end


REFUSED: dict[str, tuple[bytes, int]] = {
    # The first line.
    "a line feed alone ends the first line": (b"GET /healthz HTTP/1.1\nHost: r\r\n\r\n", BAD),
    "a carriage return alone ends the first line": (b"GET /healthz HTTP/1.1\rHost: r\r\n\r\n", BAD),
    "two carriage returns": (b"GET /healthz HTTP/1.1\r\r\nHost: r\r\n\r\n", BAD),
    "a space before the method": (line(b" GET /healthz HTTP/1.1"), BAD),
    "tabs in the first line": (line(b"GET\t/healthz\tHTTP/1.1"), BAD),
    "a space behind the version": (line(b"GET /healthz HTTP/1.1 "), BAD),
    "a space in the target": (line(b"GET /heal thz HTTP/1.1"), BAD),
    "no target": (line(b"GET HTTP/1.1"), BAD),
    "a method in lower case": (line(b"get /healthz HTTP/1.1"), BAD),
    "a method that is none": (line(b"FETCH /healthz HTTP/1.1"), BAD),
    "a method that goes on": (line(b"GETT /healthz HTTP/1.1"), BAD),
    "NUL in the target": (line(b"GET /healthz\0 HTTP/1.1"), BAD),
    "a control character in the target": (line(b"GET /healthz\x01 HTTP/1.1"), BAD),
    "a byte above ASCII in the target": (line(b"GET /healthz\xff HTTP/1.1"), BAD),
    "DEL in the query": (line(b"GET /healthz?\x7f HTTP/1.1"), BAD),
    "a fragment": (line(b"GET /healthz#x HTTP/1.1"), BAD),
    "absolute form": (line(b"GET http://r/healthz HTTP/1.1"), BAD),
    "absolute form of another scheme": (line(b"GET gopher://r/healthz HTTP/1.1"), BAD),
    "authority form": (line(b"CONNECT r:443 HTTP/1.1"), BAD),
    "asterisk form": (line(b"OPTIONS * HTTP/1.1"), BAD),
    "HTTP/0.9 by name": (line(b"GET /healthz HTTP/0.9"), 505),
    "HTTP/0.9 as it was": (b"GET /healthz\r\n\r\n", 505),
    "HTTP/2.0": (line(b"GET /healthz HTTP/2.0"), 505),
    "HTTP/1.2": (line(b"GET /healthz HTTP/1.2"), BAD),
    "HTTP/3.0": (line(b"GET /healthz HTTP/3.0"), BAD),
    "HTTP/1.10": (line(b"GET /healthz HTTP/1.10"), BAD),
    "HTTP/01.1": (line(b"GET /healthz HTTP/01.1"), BAD),
    "HTTP/1": (line(b"GET /healthz HTTP/1"), BAD),
    "http in lower case": (line(b"GET /healthz http/1.1"), BAD),
    "another protocol": (line(b"GET /healthz ICE/1.1"), BAD),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BAD),
    "a greeting of TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", BAD),
    "a line of the PROXY protocol": (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n" + line(b"GET /healthz HTTP/1.1"), BAD),
    "an answer": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", BAD),
    "no HTTP": (b"hello\r\n\r\n", BAD),
    "NULs": (b"\0" * 64, BAD),
    "a target without end": (b"GET /" + b"y" * 300_000, 431),
    "empty lines without end": (b"\r\n" * 150_000, BAD),
    # Fields.
    "a line feed alone ends a field": (b"GET /healthz HTTP/1.1\r\nHost: r\nX: y\r\n\r\n", BAD),
    "a line feed alone ends the head": (b"GET /healthz HTTP/1.1\r\nHost: r\r\n\n", BAD),
    "a carriage return alone in a value": (field(b"X: a\rb"), BAD),
    "a carriage return alone hides a field": (field(b"X: a\rContent-Length: 5"), BAD),
    "a folded value": (field(b"X: a\r\n b"), BAD),
    "a value folded by a tab": (field(b"X: a\r\n\tb"), BAD),
    "a first field that is folded": (b"GET /healthz HTTP/1.1\r\n Host: r\r\n\r\n", BAD),
    "a space before the colon": (field(b"X : a"), BAD),
    "a tab before the colon": (field(b"X\t: a"), BAD),
    "a space in a name": (field(b"X Y: a"), BAD),
    "no name": (field(b": a"), BAD),
    "no colon": (field(b"Xa"), BAD),
    "a delimiter in a name": (field(b"X(: a"), BAD),
    "NUL in a name": (field(b"X\0: a"), BAD),
    "a byte above ASCII in a name": (field(b"X\xff: a"), BAD),
    "NUL in a value": (field(b"X: a\0b"), BAD),
    "a control character in a value": (field(b"X: a\x01b"), BAD),
    "DEL in a value": (field(b"X: a\x7fb"), BAD),
    "a value without end": (GET + b"X: " + b"y" * 300_000, 431),
    "a name without end": (GET + b"y" * 300_000, 431),
    "too many fields": (GET + b"X: y\r\n" * 100 + b"\r\n", 431),
    "fields that are too large together": (GET + b"X: %b\r\n" % (b"y" * 1000) * 40 + b"\r\n", 431),
    # Host, and what may come once.
    "no Host": (b"GET /healthz HTTP/1.1\r\n\r\n", BAD),
    "an empty Host": (b"GET /healthz HTTP/1.1\r\nHost:\r\n\r\n", BAD),
    "the same Host twice": (GET + b"Host: r\r\n\r\n", BAD),
    "two Hosts": (GET + b"host: elsewhere\r\n\r\n", BAD),
    "two Hosts in one": (b"GET /healthz HTTP/1.1\r\nHost: r, elsewhere\r\n\r\n", BAD),
    "two Hosts in HTTP/1.0": (b"GET /healthz HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", BAD),
    "a Host with a space": (b"GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n", BAD),
    "a Host with a user": (b"GET /healthz HTTP/1.1\r\nHost: a@b\r\n\r\n", BAD),
    "a Host with a path": (b"GET /healthz HTTP/1.1\r\nHost: a/b\r\n\r\n", BAD),
    "a Host with a port that is none": (b"GET /healthz HTTP/1.1\r\nHost: a:80x\r\n\r\n", BAD),
    "two keys": (framed(LENGTH[:-2], b"Authorization: Bearer a", b"authorization: Bearer b"), BAD),
    "two types": (framed(LENGTH[:-2], b"Content-Type: text/plain", b"Content-Type: application/json"), BAD),
    "an expectation of another kind": (framed(LENGTH[:-2], b"Expect: the best"), 417),
    # The length.
    "two lengths": (framed(LENGTH[:-2], b"Content-Length: 6"), BAD),
    "the same length twice": (framed(LENGTH[:-2], LENGTH[:-2]), BAD),
    "a list of lengths": (framed(b"Content-Length: 32, 32"), BAD),
    "a length with a sign": (framed(b"Content-Length: +32"), BAD),
    "a negative length": (framed(b"Content-Length: -1"), BAD),
    "a length of minus nothing": (framed(b"Content-Length: -0"), BAD),
    "a length in hexadecimal": (framed(b"Content-Length: 0x20"), BAD),
    "a length with a point": (framed(b"Content-Length: 32.0"), BAD),
    "a length with a space in it": (framed(b"Content-Length: 3 2"), BAD),
    "a length with a form feed behind it": (framed(b"Content-Length: 32\x0c"), BAD),
    "a length with more behind it": (framed(b"Content-Length: 32;"), BAD),
    "an empty length": (framed(b"Content-Length:"), BAD),
    "a length past 64 bits": (framed(b"Content-Length: 18446744073709551648"), BAD),
    "a length past the limit": (framed(b"Content-Length: 16777217"), 413),
    "a length in other digits": (framed(b"Content-Length: \xd9\xa3\xd9\xa2"), BAD),
    # The coding.
    "a length before a coding": (framed(LENGTH[:-2], b"Transfer-Encoding: chunked", body=END), BAD),
    "a length behind a coding": (framed(b"Transfer-Encoding: chunked", LENGTH[:-2], body=END), BAD),
    "a length of 0 and a coding": (framed(b"Content-Length: 0", b"Transfer-Encoding: chunked", body=END), BAD),
    "a coding in HTTP/1.0": (CHUNKED.replace(b"1.1", b"1.0") + END, BAD),
    "chunked twice": (framed(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=END), BAD),
    "chunked twice in one": (framed(b"Transfer-Encoding: chunked, chunked", body=END), BAD),
    "chunked before another": (framed(b"Transfer-Encoding: chunked, identity", body=END), BAD),
    "gzip before chunked": (framed(b"Transfer-Encoding: gzip, chunked", body=END), BAD),
    "gzip and chunked apart": (framed(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked", body=END), BAD),
    "identity": (framed(b"Transfer-Encoding: identity"), BAD),
    "an empty coding": (framed(b"Transfer-Encoding:"), BAD),
    "an empty coding and a length": (framed(b"Transfer-Encoding:", LENGTH[:-2]), BAD),
    "an empty element before chunked": (framed(b"Transfer-Encoding: ,chunked", body=END), BAD),
    "a coding with a parameter": (framed(b"Transfer-Encoding: chunked;q=1", body=END), BAD),
    "a quoted coding": (framed(b'Transfer-Encoding: "chunked"', body=END), BAD),
    "a coding behind a vertical tab": (framed(b"Transfer-Encoding: \x0bchunked", body=END), BAD),
    "a folded coding": (framed(b"Transfer-Encoding:\r\n chunked", body=END), BAD),
    "a space before a coding's colon": (framed(b"Transfer-Encoding : chunked", body=END), BAD),
    "a coding that only begins with chunked": (framed(b"Transfer-Encoding: chunkedx", body=END), BAD),
    # Chunks.
    "a space behind a size": (chunks(SIZE + b" "), BAD),
    "a space before a size": (chunks(b" " + SIZE), BAD),
    "a tab behind a size": (chunks(SIZE + b"\t"), BAD),
    "a size with 0x": (chunks(b"0x" + SIZE), BAD),
    "a size with a sign": (chunks(b"+" + SIZE), BAD),
    "a negative size": (chunks(b"-" + SIZE), BAD),
    "a size with an underscore": (chunks(b"0_" + SIZE), BAD),
    "no size": (chunks(b""), BAD),
    "a size that is none": (chunks(b"zz"), BAD),
    "a size past 64 bits": (chunks(b"10000000000000020"), BAD),
    "a size that is too small": (chunks(b"1f"), BAD),
    "a line feed alone behind a size": (CHUNKED + SIZE + b"\n" + JSON + b"\r\n" + END, BAD),
    "a carriage return alone behind a size": (CHUNKED + SIZE + b"\r" + JSON + b"\r\n" + END, BAD),
    "a line feed alone behind a chunk": (chunks(SIZE, b"\n"), BAD),
    "nothing behind a chunk": (chunks(SIZE, b""), BAD),
    "a line feed alone behind the last size": (chunks(SIZE, end=b"0\n\r\n"), BAD),
    "a line feed alone behind the last chunk": (chunks(SIZE, end=b"0\r\n\n"), BAD),
    "an extension without a name": (chunks(SIZE + b";"), BAD),
    "a line feed alone in an extension": (CHUNKED + SIZE + b";a\n" + JSON + b"\r\n" + END, BAD),
    "a carriage return alone in an extension": (chunks(SIZE + b";a\rb"), BAD),
    "NUL in an extension": (chunks(SIZE + b";a\0"), BAD),
    "an extension without end": (CHUNKED + SIZE + b";" + b"a" * 900_000, BAD),
    "a size of zeros without end": (CHUNKED + b"0" * 900_000, BAD),
    "trailers without end": (chunks(SIZE, end=b"0\r\nX: " + b"y" * 900_000), BAD),
    "too many trailers": (chunks(SIZE, end=b"0\r\n" + b"X: y\r\n" * 200 + b"\r\n"), 431),
    "a length in a trailer": (chunks(SIZE, end=b"0\r\nContent-Length: 9\r\n\r\n"), BAD),
    "a coding in a trailer": (chunks(SIZE, end=b"0\r\nTransfer-Encoding: chunked\r\n\r\n"), BAD),
    "a folded trailer": (chunks(SIZE, end=b"0\r\nX: y\r\n z\r\n\r\n"), BAD),
    "a request where trailers are": (chunks(SIZE, end=b"0\r\nGET /healthz HTTP/1.1\r\n\r\n"), BAD),
    "more than the limit in chunks": (CHUNKED + (b"100000\r\n" + b"y" * 0x100000 + b"\r\n") * 17, 413),
}

LAST: dict[str, tuple[bytes, int]] = {
    "HTTP/1.0": (b"GET /healthz HTTP/1.0\r\n\r\n", 200),
    "HTTP/1.0 that would stay": (b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200),
    "a wish to close": (field(b"Connection: close"), 200),
    "a wish to close among others": (field(b"Connection: keep-alive, close"), 200),
    "an upgrade": (field(b"Connection: Upgrade\r\nUpgrade: websocket"), 200),
    "an upgrade with a body": (framed(LENGTH[:-2], b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c"), 200),
    "an upgrade with a body in chunks": (
        chunks(SIZE).replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 1),
        200,
    ),
    "an upgrade with no length": (framed(b"Connection: Upgrade", b"Upgrade: h2c", body=b""), 400),
}  # fmt: skip

SERVED: dict[str, tuple[bytes, int]] = {
    "a plain one": (framed(LENGTH[:-2]), 200),
    "a few empty lines before it": (b"\r\n\r\n" + framed(LENGTH[:-2]), 200),
    "an upgrade that Connection does not name": (field(b"Upgrade: websocket"), 200),
    "names in any case": (framed(b"cOnTeNt-LeNgTh: 32"), 200),
    "white space around a value": (framed(b"Content-Length: \t 32 \t "), 200),
    "a length with zeros before it": (framed(b"Content-Length: 0032"), 200),
    "a coding in any case": (HEAD + b"Transfer-Encoding: ChUnKeD\r\n\r\n20\r\n" + JSON + b"\r\n" + END, 200),
    "chunks": (chunks(SIZE), 200),
    "a size in capitals, with zeros before it": (CHUNKED + b"001F\r\n" + JSON[:-1] + b"\r\n1\r\n}\r\n000\r\n\r\n", 200),
    "a chunk for each byte": (CHUNKED + b"".join(b"1\r\n%c\r\n" % byte for byte in JSON) + END, 200),
    "extensions": (chunks(SIZE + b';a=b;c="d;e"'), 200),
    "trailers": (chunks(SIZE, end=b"0\r\nX: y\r\nHost: elsewhere\r\nAuthorization: Bearer z\r\n\r\n"), 200),
    "a body that nobody wants": (GET + b"Content-Length: 3\r\n\r\nabc", 200),
    "chunks that nobody wants": (GET + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n" + END, 200),
    "no body where one is needed": (framed(body=b""), 400),
    "a length that Connection names": (framed(LENGTH[:-2], b"Connection: content-length"), 200),
    "a length and a coding by other names": (
        framed(LENGTH[:-2], b"Content_Length: 9", b"Transfer_Encoding: chunked", b"X-Transfer-Encoding: chunked"), 200,
    ),
    "an empty value": (framed(LENGTH[:-2], b"X:"), 200),
    "bytes above ASCII in a value": (framed(LENGTH[:-2], b"X: \xc3\xa4\xff"), 200),
    "a Host with a port": (b"GET /healthz HTTP/1.1\r\nHost: r:8000\r\n\r\n", 200),
    "a Host that is an address": (b"GET /healthz HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n", 200),
    "a method that is not taken": (line(b"TRACE /healthz HTTP/1.1"), 405),
    "a path that is not there, with a body": (HEAD.replace(b"/v1", b"/v9") + LENGTH + b"\r\n" + JSON, 404),
}  # fmt: skip
