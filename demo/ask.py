"""Asks questions through the official OpenAI client; shows who answered, why, and how fast. Used by ``demo`` alone."""

import time
from collections import Counter
from typing import NamedTuple

from openai import OpenAI

QUESTIONS = (
    "What is a router?",
    "def fib(n): explain this function",
    "What is a canary release for?",
    "Why is a cold start slow?",
    "What does p99 mean?",
)
ASKED = 20


class Answer(NamedTuple):
    """How one question was answered; times in milliseconds."""

    backend: str
    reason: str
    first_ms: float | None
    total_ms: float
    tokens: str


def everything(base_url: str) -> None:
    """Ask ``ASKED`` questions, plain and streamed by turns; the first of each kind are shown in full."""
    print(f" asking through the OpenAI client, base_url {base_url}")
    client = OpenAI(base_url=base_url, api_key="not-needed", max_retries=0, timeout=60)
    who: Counter[str] = Counter()
    for number in range(ASKED):
        question = QUESTIONS[number % len(QUESTIONS)]
        answer = streamed(client, question) if number % 2 else plain(client, question)
        who[answer.backend] += 1
        if number < 2 * len(QUESTIONS):
            first = f"first token {answer.first_ms:4.0f} ms" if answer.first_ms is not None else "not streamed      "
            shown = f'"{question}"'
            who_and_why = f"{shown:<37} {answer.backend:<7} {answer.reason:<14}"
            print(f"   {who_and_why} {first} {answer.total_ms:5.0f} ms   {answer.tokens}")
    print("   " + ", ".join(f"{name} {count} of {ASKED}" for name, count in who.most_common()))


def plain(client: OpenAI, question: str) -> Answer:
    """One question, answered whole."""
    began = time.perf_counter()
    raw = client.chat.completions.with_raw_response.create(
        model="chat", messages=[{"role": "user", "content": question}]
    )
    took = (time.perf_counter() - began) * 1000
    usage = raw.parse().usage
    tokens = f"{usage.prompt_tokens}+{usage.completion_tokens} tokens" if usage else ""
    return Answer(raw.headers["x-modelroute-backend"], raw.headers["x-modelroute-reason"], None, took, tokens)


def streamed(client: OpenAI, question: str) -> Answer:
    """One question, answered piece by piece."""
    began = time.perf_counter()
    raw = client.chat.completions.with_raw_response.create(
        model="chat",
        messages=[{"role": "user", "content": question}],
        stream=True,
        stream_options={"include_usage": True},
    )
    first: float | None = None
    tokens = ""
    for chunk in raw.parse():
        if chunk.choices and chunk.choices[0].delta.content and first is None:
            first = (time.perf_counter() - began) * 1000
        if chunk.usage:
            tokens = f"{chunk.usage.prompt_tokens}+{chunk.usage.completion_tokens} tokens"
    took = (time.perf_counter() - began) * 1000
    return Answer(raw.headers["x-modelroute-backend"], raw.headers["x-modelroute-reason"], first, took, tokens)
