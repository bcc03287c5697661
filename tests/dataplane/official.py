"""The official OpenAI clients for Python, Node and Go behind one function: what was asked for, and what came of it.

Node's and Go's are programs in `clients/`, which speak as `_Asks` does here.
"""

import asyncio
import contextlib
import json
import subprocess
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import openai
from openai.types.chat import ChatCompletionMessageParam

CLIENTS = Path(__file__).parent / "clients"
LANGUAGES = ("python", "node", "go")
MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]


@dataclass
class Found:
    """What a client made of the answer; ``raised`` is the error that it gave its user, with strings for None."""

    said: str = ""
    usage: list[int] = field(default_factory=list)
    raised: dict[str, Any] | None = None


class _Asks:
    def __init__(self, client: openai.AsyncOpenAI, found: Found) -> None:
        self.client, self.found = client, found

    async def chat(self, model: str = "chat") -> None:
        answer = await self.client.chat.completions.create(model=model, messages=MESSAGES)
        self.found.said = answer.choices[0].message.content or ""
        assert answer.usage
        self.found.usage.append(answer.usage.total_tokens)

    async def unknown(self) -> None:
        await self.chat("chatt")

    async def stream(self, *, leave: bool = False, **more: Any) -> None:
        chunks = await self.client.chat.completions.create(model="chat", messages=MESSAGES, stream=True, **more)
        async with contextlib.aclosing(chunks):
            async for chunk in chunks:
                self.found.said += (chunk.choices[0].delta.content or "") if chunk.choices else ""
                self.found.usage += [chunk.usage.total_tokens] if chunk.usage else []
                if leave and self.found.said:
                    return

    async def streamUsage(self) -> None:  # noqa: N802 - the name that all three know
        await self.stream(stream_options={"include_usage": True})

    async def leave(self) -> None:
        await self.stream(leave=True)

    async def completions(self) -> None:
        answer = await self.client.completions.create(model="chat", prompt="hi")
        self.found.said = answer.choices[0].text
        assert answer.usage
        self.found.usage.append(answer.usage.total_tokens)

    async def embeddings(self) -> None:
        answer = await self.client.embeddings.create(model="chat", input="hi")
        self.found.said = json.dumps(answer.data[0].embedding)
        self.found.usage.append(answer.usage.total_tokens)

    async def responses(self) -> None:
        answer = await self.client.responses.create(model="chat", input="hi")
        self.found.said = answer.output_text
        assert answer.usage
        self.found.usage.append(answer.usage.total_tokens)

    async def responsesStream(self) -> None:  # noqa: N802
        async for event in await self.client.responses.create(model="chat", input="hi", stream=True):
            if event.type == "response.output_text.delta":
                self.found.said += event.delta
            if event.type == "response.completed" and event.response.usage:
                self.found.usage.append(event.response.usage.total_tokens)

    async def transcription(self) -> None:
        file = ("a.wav", b"RIFF-some-sound")
        self.found.said = (await self.client.audio.transcriptions.create(model="chat", file=file)).text

    async def models(self) -> None:
        self.found.said = " ".join([model.id async for model in self.client.models.list()])


async def _python(what: str, url: str, key: str, retries: int, seconds: int) -> Found:
    found = Found()
    async with openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=retries, timeout=seconds) as client:
        try:
            await getattr(_Asks(client, found), what)()
        except openai.APIError as error:
            response = getattr(error, "response", None)
            found.raised = {
                "status": response.status_code if response is not None else 0,
                **{name: getattr(error, name, None) or "" for name in ("code", "type", "param", "message")},
                "wait": response.headers.get("retry-after", "") if response is not None else "",
            }
    return found


@cache
def _programs() -> tuple[str, str]:
    """Node's package folder and Go's program; `./dev test dataplane` has made them before, so that this is quick."""
    made = subprocess.run([CLIENTS / "build.sh"], check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    return made[0], made[1]


async def ask(language: str, what: str, port: int, *, key: str = "any", retries: int = 0, seconds: int = 20) -> Found:
    """Ask the router at ``port`` as the official client of ``language`` does."""
    url = f"http://127.0.0.1:{port}/v1"
    if language == "python":
        return await _python(what, url, key, retries, seconds)
    node, go = _programs()
    program = ["node", "--input-type=module", "-"] if language == "node" else [go]
    process = await asyncio.create_subprocess_exec(
        *program, what, url, key, str(retries), str(seconds),
        cwd=node, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    script = (CLIENTS / "node/ask.js").read_bytes() if language == "node" else b""
    out, told = await process.communicate(script)
    assert process.returncode == 0, told.decode()
    return Found(**json.loads(out))
