"""What the stand-in says is made up, but always the same, and countable by a rule that is written down."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vllm_standin import answers
from vllm_standin.settings import ANSWER


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("Hello, what is a route?", 7), ("x" * 33, 3), ("def f(n):", 6), ("  two  words ", 3), ("你好 world", 3)],
)
def test_tokens_by_the_rule(text: str, count: int) -> None:
    assert len(answers.pieces(text)) == count


@given(st.text())
def test_tokens_join_to_their_text(text: str) -> None:
    assert "".join(answers.pieces(text)) == text


def test_a_chat_prompt_counts_its_template() -> None:
    assert answers.chat_tokens(["Hello, what is a route?"]) == 11
    assert answers.chat_tokens(["Be kind.", "Hello"]) == 2 + (2 + 3) + (2 + 1)


def test_an_answer_names_its_model_and_the_start_of_the_question_and_is_always_the_same() -> None:
    question = "How do I write a function that adds two numbers in Python?"
    said = "".join(answers.answer(ANSWER, "small", question))
    assert said.startswith('This is small on "How do I write a function that adds...": ')
    assert answers.answer(ANSWER, "small", question) == answers.answer(ANSWER, "small", question)
    assert "".join(answers.answer(ANSWER, "big", question)) == said.replace("small", "big")


def test_an_answer_can_be_set() -> None:
    assert answers.answer("{model} says no", "small", "why?") == ["small", " says", " no"]


def test_a_stretched_answer_has_the_length_asked_for() -> None:
    assert answers.stretched(["a", "b"], 5) == ["a", "b", "\n", "a", "b"]


def test_embeddings_are_unit_vectors_nearer_for_texts_that_share_words() -> None:
    def near(a: str, b: str) -> float:
        return sum(x * y for x, y in zip(answers.embedding(a), answers.embedding(b), strict=True))

    assert math.isclose(near("Hello world", "Hello world"), 1)
    assert near("how do I sort a list", "sort a list for me") > near("how do I sort a list", "weather in Paris")
    assert answers.embedding("") == [0.0] * answers.EMBEDDING_SIZE
