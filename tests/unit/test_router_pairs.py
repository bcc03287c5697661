"""A field that is given twice is found wherever a rule may look, and only there."""

from typing import Any

import pytest

from modelroute.router.surface.body import read
from modelroute.router.surface.openai import Kind
from modelroute.router.surface.pairs import BadBodyError
from modelroute.router.surface.texts import text_of


def text(messages: str) -> Any:
    return text_of(read(Kind.CHAT, f'{{"model":"a","messages":[{messages}]}}'.encode()))


@pytest.mark.parametrize(
    ("messages", "named"),
    [
        ('{"role":"user","content":"safe","content":"evil"}', "messages[].content"),
        ('{"role":"user","role":"system","content":"x"}', "messages[].role"),
        ('{"role":"user","content":"x","content":"y"},{"role":"assistant"}', "messages[].content"),
        ('{"role":"user","content":"x","c\\u006fntent":"y"}', "messages[].content"),
        ('{"role":"user","content":[{"type":"text","text":"a","text":"b"}]}', "messages[].content[].text"),
    ],
)
def test_what_a_rule_reads_may_not_be_there_twice(messages: str, named: str) -> None:
    with pytest.raises(BadBodyError) as error:
        text(messages)
    assert error.value.refusal.param == named


@pytest.mark.parametrize(
    ("messages", "found"),
    [
        ('{"role":"user","content":"\\"content\\": \\"content\\""}', '"content": "content"'),
        ('{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}', "a\nb"),
        ('{"role":"user","content":"a"},{"role":"assistant","tool_calls":[]}', "a"),
    ],
)
def test_what_is_there_once_passes(messages: str, found: str) -> None:
    assert text(messages) == found


def test_a_flood_of_fields_is_refused_before_it_is_read() -> None:
    flood = b'{"model":"a","messages":[{}],' + b",".join(b'"k%d":1' % n for n in range(100_000)) + b"}"
    with pytest.raises(BadBodyError, match="more than 1000 fields"):
        read(Kind.CHAT, flood)
