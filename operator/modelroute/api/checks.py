"""What a rule of the API is: one check of one type, once as CEL for the API server and once as Python for ``parse``.

Used wherever rules of this room are written. Two forms, since the API server must refuse at once, and a
manifest must also be checked where there is no API server; a test holds them to the same verdicts.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

Finding = tuple[str, str]
"""The path below the checked object (``.prefer[0]``, or ``""``) and what is wrong there."""


class Rule(NamedTuple):
    """One check of one type: ``cel`` is true, and ``find`` finds nothing, where all is well.

    ``cel`` is empty where the API server's language cannot tell. ``says`` is a CEL expression of the sentence, for
    where ``problem`` alone would not name what is wrong. The API server takes one only if it can tell the length of
    each text that is put together.
    """

    cel: str
    problem: str
    find: Callable[[Any], Iterable[Finding]]
    path: str = ""
    says: str = ""


def rule(cel: str, problem: str, broken: Callable[[Any], bool], path: str = "") -> Rule:
    """A rule whose problem is the same sentence in both forms."""
    return Rule(cel, problem, lambda obj: [(path, problem)] if broken(obj) else [], path)


def beyond_cel(find: Callable[[Any], Iterable[Finding]]) -> Rule:
    """A rule for ``parse`` alone, and so for the webhook that runs it."""
    return Rule("", "", find)
