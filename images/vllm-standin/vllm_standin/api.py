"""The paths that are served, each a function from a request to an answer.

`server` hands this application to every connection. Paths and shapes are vLLM's; in the role `openai` only those that
a hosted API has too, and `/health` for a pod's probes. It keeps no state of its own: that is the engine's.
"""

import base64
import hmac
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

from vllm_standin import answers, asks, bodies, dialects, errors
from vllm_standin.asks import Ask, Fields
from vllm_standin.engine import Engine, Flight
from vllm_standin.errors import ApiError
from vllm_standin.metrics import CONTENT_TYPE
from vllm_standin.settings import Settings
from vllm_standin.web import Answer, Stream
from vllm_standin.wire import Request

Writer = bodies.Writer | dialects.ResponseWriter | dialects.MessageWriter
Handler = Callable[[Request], Awaitable[Answer | Stream]]
_JSON = "application/json"
_FORM_PATHS = {"/v1/audio/transcriptions", "/v1/audio/translations"}
_MESSAGES = "/v1/messages"


class Api:
    """The application of one server."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self._settings = settings
        self._engine = engine
        self._routes = self._table()

    async def __call__(self, request: Request) -> Answer | Stream:
        """Answer one request; every refusal is an answer too."""
        methods = self._routes.get(request.path, {})
        try:
            self._check_key(request)
            if not methods:
                raise errors.not_found(request.method, request.path)
            if request.method not in methods:
                raise errors.wrong_method(request.method, request.path)
            if self._wants_json(request) and not request.headers.get("content-type", "").startswith(_JSON):
                raise errors.not_json()
            reply = await methods[request.method](request)
        except ApiError as error:
            reply = self._refusal(error, request.path)
            if request.method not in methods and methods:
                reply.headers["allow"] = ", ".join(methods)
        handler = request.path if request.method in methods else "none"
        status = reply.status if isinstance(reply, Answer) else 200
        self._engine.metrics.http[handler, request.method, f"{status // 100}xx"] += 1
        return reply

    def _table(self) -> dict[str, dict[str, Handler]]:
        routes: dict[str, dict[str, Handler]] = {"/health": {"GET": self._empty}, "/v1/models": {"GET": self._models}}
        if self._settings.embed:
            routes["/v1/embeddings"] = {"POST": self._embeddings}
            routes["/v1/rerank"] = {"POST": self._rerank}
            routes["/v1/score"] = {"POST": self._score}
        else:
            routes["/v1/chat/completions"] = {"POST": self._chat}
            routes["/v1/completions"] = {"POST": self._completion}
            routes["/v1/responses"] = {"POST": self._response}
            routes[_MESSAGES] = {"POST": self._message}
            routes |= {path: {"POST": self._transcription} for path in _FORM_PATHS}
        if self._settings.openai:
            return routes
        routes["/ping"] = {"GET": self._empty, "POST": self._empty}
        routes["/version"] = {"GET": self._version}
        routes["/load"] = {"GET": self._load}
        routes["/metrics"] = {"GET": self._metrics}
        routes["/tokenize"] = {"POST": self._tokenize}
        if self._settings.dev_mode:
            routes["/sleep"] = {"POST": self._sleep}
            routes["/wake_up"] = {"POST": self._wake}
            routes["/is_sleeping"] = {"GET": self._is_sleeping}
        return routes

    def _wants_json(self, request: Request) -> bool:
        sent = request.path.startswith("/v1/") or request.path == "/tokenize"
        return sent and request.method == "POST" and request.path not in _FORM_PATHS

    def _check_key(self, request: Request) -> None:
        keys = self._settings.api_keys
        if not keys or not request.path.startswith("/v1/"):
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        right = [hmac.compare_digest(given.strip().encode(), key.encode()) for key in keys]
        if scheme.lower() != "bearer" or not any(right):
            raise errors.unauthorized()

    def _refusal(self, error: ApiError, path: str) -> Answer:
        status, body = error.shaped(openai=self._settings.openai)
        reply = _json(dialects.message_error(body) if path == _MESSAGES else body, status)
        if status == 429:
            reply.headers["retry-after"] = "1"
        return reply

    async def _empty(self, _: Request) -> Answer:
        return Answer(200)

    async def _version(self, _: Request) -> Answer:
        return _json({"version": bodies.VERSION})

    async def _load(self, _: Request) -> Answer:
        return _json({"server_load": self._engine.in_flight()})

    async def _models(self, _: Request) -> Answer:
        return _json(bodies.models(self._settings))

    async def _metrics(self, _: Request) -> Answer:
        page = self._engine.metrics.render(self._engine.gauges(), self._engine.sleep_level)
        return Answer(200, page.encode(), CONTENT_TYPE)

    async def _chat(self, request: Request) -> Answer | Stream:
        ask = asks.chat(asks.fields(request.body), self._settings)
        return await self._say(ask, bodies.Writer(ask, self._settings, chat=True))

    async def _completion(self, request: Request) -> Answer | Stream:
        ask = asks.completion(asks.fields(request.body), self._settings)
        return await self._say(ask, bodies.Writer(ask, self._settings, chat=False))

    async def _response(self, request: Request) -> Answer | Stream:
        ask = asks.chat(dialects.response_chat(asks.fields(request.body)), self._settings)
        return await self._say(ask, dialects.ResponseWriter(ask, self._settings))

    async def _message(self, request: Request) -> Answer | Stream:
        ask = asks.chat(dialects.message_chat(asks.fields(request.body)), self._settings)
        return await self._say(ask, dialects.MessageWriter(ask, self._settings))

    async def _say(self, ask: Ask, writer: Writer) -> Answer | Stream:
        flight = await self._engine.admit(ask.prompt_tokens, ask.answer, ask.finish)
        if ask.stream:
            return Stream(_events(flight, writer), flight.close)
        await _finished(flight)
        return _json(writer.whole())

    async def _transcription(self, request: Request) -> Answer:
        form = asks.form(request.headers.get("content-type", ""), request.body)
        asks.check_model({"model": form.get("model", b"").decode(errors="replace")}, self._settings)
        if "file" not in form:
            raise errors.bad_field("file", "missing", "Field required", None)
        said = answers.answer(self._settings.answer, self._settings.name, f"{len(form['file'])} bytes of sound")
        await _finished(await self._engine.admit(1, said, "stop"))
        return _json({"text": "".join(said), "usage": {"type": "duration", "seconds": 1}})

    async def _embeddings(self, request: Request) -> Answer:
        body = asks.fields(request.body)
        texts = asks.inputs(body, self._settings)
        tokens = await self._pooled(texts)
        as_text = body.get("encoding_format") == "base64"
        vectors = [_packed(v) if as_text else v for v in map(answers.embedding, texts)]
        return _json(bodies.embeddings(self._settings, vectors, tokens))

    async def _rerank(self, request: Request) -> Answer:
        body = asks.fields(request.body)
        query, documents = asks.texts(body, "query")[:1], asks.texts(body, "documents")
        scores = await self._compared(body, query, documents)
        return _json(bodies.reranked(self._settings, documents, body.get("top_n"), scores))

    async def _score(self, request: Request) -> Answer:
        body = asks.fields(request.body)
        ones, others = asks.texts(body, "text_1"), asks.texts(body, "text_2")
        return _json(bodies.scores(self._settings, await self._compared(body, ones, others)))

    async def _compared(self, body: Fields, ones: list[str], others: list[str]) -> tuple[list[float], int]:
        """How near each of `others` is to its partner, or to the only one, and the tokens of all that was read."""
        asks.check_model(body, self._settings)
        if len(ones) not in {1, len(others)}:
            raise errors.bad_value("Input lengths must be either 1:1, 1:N or N:N", None)
        pairs = list(zip(ones * len(others) if len(ones) == 1 else ones, others, strict=True))
        tokens = await self._pooled([text for pair in pairs for text in pair])
        return [answers.nearness(one, other) for one, other in pairs], tokens

    async def _pooled(self, texts: list[str]) -> int:
        """Read texts through; returns their tokens."""
        lengths = [len(answers.pieces(text)) for text in texts]
        if max(lengths) > self._settings.max_model_len:
            raise errors.context_overflow(self._settings.max_model_len, max(lengths))
        await _finished(await self._engine.admit(sum(lengths), [""], "stop"))
        return sum(lengths)

    async def _tokenize(self, request: Request) -> Answer:
        body = asks.fields(request.body)
        self._engine.check_open()
        asks.check_model(body, self._settings)
        if "messages" in body:
            tokens = ["<bos>"]
            for role, text in asks.messages(body):
                tokens += [f"<{role}>", *answers.pieces(text), "<eos>"]
            tokens.append("<assistant>")
        else:
            tokens = answers.pieces(asks.prompt(body))
        limit = self._settings.max_model_len
        ids = answers.token_ids(tokens)
        return _json({"count": len(ids), "max_model_len": limit, "tokens": ids, "token_strs": None})

    async def _sleep(self, request: Request) -> Answer:
        level = parse_qs(request.query).get("level", ["1"])[0]
        if level not in {"1", "2"}:
            raise errors.bad_value("level must be 1 or 2.", "level", level)
        self._engine.sleep(int(level))
        return _json({"status": "sleeping", "level": int(level)})

    async def _wake(self, _: Request) -> Answer:
        await self._engine.wake()
        return _json({"status": "awake", "tags": None})

    async def _is_sleeping(self, _: Request) -> Answer:
        return _json({"is_sleeping": self._engine.sleep_level > 0})


async def _finished(flight: Flight) -> None:
    """Until the last token is made."""
    try:
        async for _ in flight.tokens():
            pass
    finally:
        flight.close()


async def _events(flight: Flight, writer: Writer) -> AsyncGenerator[bytes, None]:
    async for token in flight.tokens():
        if flight.made == 1:
            for event in writer.opening():
                yield event
        for event in writer.token(token, flight.made):
            yield event
    for event in writer.closing():
        yield event


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _json(body: dict[str, Any], status: int = 200) -> Answer:
    return Answer(status, bodies.encode(body), _JSON)
