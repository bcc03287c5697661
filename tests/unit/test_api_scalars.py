"""Strings become values."""

import pytest

from modelroute.api.scalars import SENTENCES, refusal, seconds


@pytest.mark.parametrize(
    ("text", "value"),
    [("5s", 5.0), ("500ms", 0.5), ("1m30s", 90.0), ("2h", 7200.0), ("1h1m1s1ms", 3661.001), ("0s", 0.0)],
)
def test_seconds(text: str, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize("pattern", SENTENCES)
def test_a_pattern_covers_the_whole_string_in_both_languages(pattern: str) -> None:
    assert pattern.startswith("^")
    assert pattern.endswith("$")


def test_a_refusal_names_the_value() -> None:
    for pattern in list(SENTENCES)[:-1]:
        assert refusal(pattern, "x y").startswith('"x y" is not ')
