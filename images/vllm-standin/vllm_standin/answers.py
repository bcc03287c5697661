"""The made-up part: how text becomes tokens, what is answered, and what a text's embedding is.

Everything is a function of its arguments, so that the same question gets the same answer in every process.

The token rule: a run of letters or digits is one token (a new one begins every 16 characters), a character of Chinese
or Japanese script is one, every other printing character is one; white space belongs to the token after it. A chat
prompt has one more at its start and end, and two more per message, as the recorded server's template has.
"""

import math
import re
from collections.abc import Sequence
from itertools import cycle, islice
from zlib import crc32

EMBEDDING_SIZE = 64
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_PIECE = re.compile(rf"\s*(?:[{_CJK}]|[^\W{_CJK}]{{1,16}}|[^\w\s])|\s+$")
_ADVICE = (
    "Start with the smallest thing that could work, then measure it.",
    "It depends on what you count first: time, money or mistakes.",
    "Change one thing at a time and keep the old way at hand.",
    "Write down what you expect before you look at the result.",
    "Most of the time the simple way is also the fast one.",
    "Ask who will read it in a year, and write it for them.",
)
_QUESTION_TOKENS = 8


def pieces(text: str) -> list[str]:
    """Split a text into its tokens, which join to the same text again."""
    return _PIECE.findall(text)


def token_ids(tokens: Sequence[str]) -> list[int]:
    """A number per token, the same one for the same token everywhere."""
    return [8 + crc32(token.encode()) % 32000 for token in tokens]


def chat_tokens(contents: Sequence[str]) -> int:
    """How many tokens a chat prompt of these messages has."""
    return 2 + sum(2 + len(pieces(content)) for content in contents)


def answer(template: str, model: str, question: str) -> list[str]:
    """The tokens of the answer: who answers, the start of the question, and two pieces of advice."""
    asked = pieces(question.strip())
    start = "".join(asked[:_QUESTION_TOKENS]) + ("..." if len(asked) > _QUESTION_TOKENS else "")
    first = crc32(question.encode()) % len(_ADVICE)
    advice = f"{_ADVICE[first]} {_ADVICE[(first + 1) % len(_ADVICE)]}"
    return pieces(template.format(model=model, question=start, advice=advice))


def stretched(tokens: Sequence[str], length: int) -> list[str]:
    """The tokens over and over until there are `length`, for requests that ignore the end of an answer."""
    return list(islice(cycle([*tokens, "\n"]), length))


def embedding(text: str) -> list[float]:
    """A unit vector that is near another one when the texts share words."""
    vector = [0.0] * EMBEDDING_SIZE
    for piece in pieces(text.lower()):
        code = crc32(piece.strip().encode())
        vector[code % EMBEDDING_SIZE] += 1.0 if code & 0x1000 else -1.0
    length = math.sqrt(sum(v * v for v in vector)) or 1.0
    return [v / length for v in vector]


def nearness(one: str, other: str) -> float:
    """The cosine of two texts' embeddings."""
    return sum(a * b for a, b in zip(embedding(one), embedding(other), strict=True))
