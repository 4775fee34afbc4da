"""What is said and what is called, read out of a text that comes in pieces."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.conversation import ToolCall
from burnish.serve.inference.chat.reading import AnswerReader, MoreArguments, parse_calls
from burnish.serve.inference.chat.tools import NO_TOOLS, Tools

TWO = Tools(names=frozenset({"f", "g"}))
FORCED = Tools(names=frozenset({"f", "g"}), must_call=True)
ONE = Tools(names=frozenset({"f", "g"}), is_parallel=False)
CALL = '{"name": "f", "arguments": {"x": 1}}'
BITS = ["<tool_call>", "</tool_call>", CALL, "[", "]", ",", " ", "\n", "<", "<tool", "text", "{", "}", "é"]


def read(pieces: list[str], tools: Tools = TWO) -> tuple[str, list[tuple[str, str]]]:
    reader = AnswerReader(tools)
    added = [item for i, piece in enumerate(pieces) for item in reader.feed(piece, is_last=i == len(pieces) - 1)]
    calls = list[tuple[str, str]]()
    for item in added:
        if isinstance(item, ToolCall):
            calls.append((item.name, item.arguments))
        elif isinstance(item, MoreArguments):
            calls[-1] = (calls[-1][0], calls[-1][1] + item.text)
    return "".join(item for item in added if isinstance(item, str)), calls


F = ("f", '{"x": 1}')


@pytest.mark.parametrize(
    ("text", "said", "calls"),
    [
        (CALL, "", [F]),
        (f"\n<tool_call>\n{CALL}\n</tool_call>\n", "", [F]),
        (f"<tool_call>{CALL}</tool_call>\n<tool_call>{CALL.replace('f', 'g')}</tool_call>", "", [F, ("g", F[1])]),
        (f"Let me see.\n<tool_call>{CALL}</tool_call>", "Let me see.", [F]),
        (f"<tool_call>{CALL}", "", [F]),
        (f"[{CALL}, {CALL}]", "", [F, F]),
        ('{"name": "f", "parameters": {}}', "", [("f", "{}")]),
        ('{"type": "function", "function": {"name": "f", "arguments": "{}"}}', "", [("f", "{}")]),
        ('{"name": "unknown", "arguments": {}}', '{"name": "unknown", "arguments": {}}', []),
        ('{"name": ["f"], "arguments": {}}', '{"name": ["f"], "arguments": {}}', []),
        ("<tool_call>nothing</tool_call>", "<tool_call>nothing</tool_call>", []),
        ('{"x": 1}', '{"x": 1}', []),
        ('{"name": "f", "arguments": {"x": NaN}}', '{"name": "f", "arguments": {"x": NaN}}', []),
        ("a <tool", "a <tool", []),
        ("[" * 100_000, "[" * 100_000, []),
        (" hello \n", "hello", []),
    ],
)
def test_what_is_said_and_called(text: str, said: str, calls: Any) -> None:
    assert read([text]) == (said, calls)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(BITS), max_size=8).map("".join), st.data())
def test_it_does_not_matter_where_the_text_is_cut(text: str, data: Any) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert read(pieces) == read([text])
    assert read(pieces, ONE) == read([text], ONE)


ARGUMENTS = st.dictionaries(st.text(), st.recursive(st.text() | st.integers(), st.lists, max_leaves=4), max_size=3)


@settings(max_examples=100, deadline=None)
@given(ARGUMENTS, st.booleans(), st.data())
def test_a_call_that_must_be_made_is_told_as_it_comes(arguments: Any, is_ascii: bool, data: Any) -> None:
    """Wherever it is cut, also within an escape; nothing is held back once the arguments have begun."""
    wanted = json.dumps(arguments, ensure_ascii=is_ascii)
    text = f'\n{{"name":"f", "arguments": {wanted} }}'
    cut = data.draw(st.integers(0, len(text)))
    reader = AnswerReader(FORCED)
    added = reader.feed(text[:cut], is_last=False)
    begun = text.index(wanted)
    told = "".join(item.text for item in added if isinstance(item, MoreArguments))
    assert told == text[begun:cut][: len(wanted)] and reader.is_cut == (begun < cut < begun + len(wanted))
    assert read([text[:cut], text[cut:]], FORCED) == read([text], FORCED) == ("", [("f", wanted)])


@settings(max_examples=100, deadline=None)
@given(st.text(), st.integers(0, 9))
def test_without_tools_the_text_is_said_as_it_is_but_for_the_space_around_it(text: str, cut: int) -> None:
    assert read([text[:cut], text[cut:]], NO_TOOLS) == (text.strip(), [])


def test_one_call_where_they_may_not_be_parallel() -> None:
    assert read([f"[{CALL}, {CALL}]"], ONE) == ("", [F])
    assert read([f"<tool_call>{CALL}</tool_call>" * 2], ONE) == ("", [F])


def test_text_is_not_held_back_longer_than_it_must() -> None:
    reader = AnswerReader(TWO)
    assert reader.feed("Hello <to", is_last=False) == ["Hello"]
    assert reader.feed("ast", is_last=False) == [" <toast"]


def test_every_call_has_an_id_of_its_own() -> None:
    first, second = parse_calls(f"[{CALL}, {CALL}]", TWO.names)
    assert first.id != second.id
