"""The checks of one row: each finds its defect in a row that has nothing else, and is silent about its sound twin."""

from typing import Any

import pytest

from burnish.data.finding import Severity
from burnish.data.formats.columns import Columns
from burnish.data.formats.formats import CHAT, PREFERENCE
from burnish.data.formats.structure import check_draft

COLUMNS = Columns({"messages": "messages", "tools": "tools"})
USER, ASSISTANT = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
TOOL = {"role": "tool", "content": "7"}
TOOLS = [{"type": "function", "function": {"name": "f"}}]


def called(name: Any = "f", arguments: Any = "{}", **more: Any) -> dict[str, Any]:
    return {
        "role": "assistant",
        "tool_calls": [{"id": "c", "function": {"name": name, "arguments": arguments}, **more}],
    }


def found(messages: Any, **values: Any) -> list[tuple[str, str]]:
    row = {"messages": messages, **values}
    findings = check_draft(CHAT.draft(row, COLUMNS), "x:1")
    assert all(finding.row == "x:1" for finding in findings)
    return [(finding.check, finding.message) for finding in findings]


@pytest.mark.parametrize(
    ("messages", "check", "message"),
    [
        (None, "messages_not_a_list", "the messages are null, not a list."),
        ("hi", "messages_not_a_list", "the messages are text, not a list."),
        ([], "empty_messages", "the list of messages is empty."),
        (["hi", ASSISTANT], "message_not_an_object", "message 1 is text, not an object."),
        ([{"content": "q"}, ASSISTANT], "missing_role", "message 1 has no role."),
        ([{"role": "human", "content": "q"}, ASSISTANT], "unknown_role", "message 1 (human) has role 'human'."),
        ([{"role": [], "content": "q"}, ASSISTANT], "unknown_role", "message 1 has role []."),
        ([USER, {"role": "assistant"}], "missing_content", "message 2 (assistant) has no content."),
        ([USER, {**ASSISTANT, "content": None}], "null_content", "message 2 (assistant) is null."),
        (
            [USER, {**ASSISTANT, "content": True}],
            "non_string_content",
            "message 2 (assistant) is true or false, not text.",
        ),
        (
            [{**USER, "content": [{"type": "image_url"}]}, ASSISTANT],
            "non_string_content",
            "message 1 (user) is a list, not text.",
        ),
        ([USER, {**ASSISTANT, "content": "\n"}], "empty_assistant", "message 2 (assistant) is empty."),
        ([{**USER, "content": ""}, ASSISTANT], "empty_content", "message 1 (user) is empty."),
        ([USER, {**ASSISTANT, "weight": 0.5}], "bad_message_field", "message 2 (assistant) has weight 0.5."),
        ([{**USER, "name": 3}, ASSISTANT], "bad_message_field", "message 1 (user) has a name that is no text."),
        ([USER, USER], "no_assistant", "no message is from the assistant."),
        ([ASSISTANT, USER, ASSISTANT], "assistant_first", "the conversation begins with the assistant."),
        ([USER, ASSISTANT, ASSISTANT], "consecutive_assistant", "two messages of the assistant follow each other."),
        ([USER, USER, ASSISTANT], "consecutive_user", "two messages of the user follow each other."),
        ([USER, {**USER, "role": "system"}, ASSISTANT], "system_not_first", "message 2 is a system message."),
        ([USER, ASSISTANT, USER], "last_not_assistant", 'the last message has role "user".'),
        ([USER, TOOL, ASSISTANT], "tool_without_call", "a tool's message follows no call."),
        ([USER, called(name=None)], "bad_tool_call", "message 2 (assistant) has a tool call without a name."),
        ([USER, called(function="f")], "bad_tool_call", "message 2 (assistant) has a tool call without a function."),
        (
            [USER, {**ASSISTANT, "tool_calls": "f()"}],
            "bad_tool_call",
            "message 2 (assistant) has tool calls that are text, not a list.",
        ),
        (
            [USER, called(arguments="{x: 1}")],
            "bad_tool_call",
            "message 2 (assistant) calls f with arguments that are no JSON object.",
        ),
        (
            [USER, called(arguments="[]")],
            "bad_tool_call",
            "message 2 (assistant) calls f with arguments that are no JSON object.",
        ),
        ([USER, called(name="g")], "undeclared_tool", "'g' is called, but the tools are f."),
        (
            [{**USER, "content": "a\x00"}, ASSISTANT],
            "control_character",
            "message 1 (user) holds U+0000 at character 2.",
        ),
        (
            [USER, {**ASSISTANT, "content": "a\u200bb"}],
            "invisible_character",
            "message 2 (assistant) holds U+200B at character 2.",
        ),
        (
            [USER, {**ASSISTANT, "content": "\U000e0041" * 8}],
            "invisible_character",
            "message 2 (assistant) holds U+E0041 at character 1.",
        ),
        (
            [{**USER, "content": "a\u2029"}, ASSISTANT],
            "line_separator",
            "message 1 (user) holds U+2029 at character 2.",
        ),
        (
            [{**USER, "content": "\ufffd"}, ASSISTANT],
            "replacement_character",
            "message 1 (user) holds U+FFFD at character 1.",
        ),
        ([{**USER, "content": "x" * 25_000}, ASSISTANT], "long_message", "message 1 (user) has 25,000 characters."),
    ],
)
def test_a_defect_gives_its_finding_and_no_other(messages: Any, check: str, message: str) -> None:
    assert found(messages, tools=TOOLS) == [(check, message)]


@pytest.mark.parametrize(
    "messages",
    [
        [USER, ASSISTANT],
        [{**USER, "role": "system"}, USER, ASSISTANT, USER, {**ASSISTANT, "weight": 0, "name": "n"}],
        [USER, called(), TOOL, {**TOOL, "content": ""}, ASSISTANT],
        [USER, called(arguments={"x": [1]})],
        [
            {
                **USER,
                "content": "tab\there\r\nनमस्ते\u200c 👩\u200d👧 🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e007f",
            },
            ASSISTANT,
        ],
        [{**USER, "content": "x" * 24_999}, {**ASSISTANT, "content": "ok "}],
    ],
)
def test_sound_rows_give_none(messages: Any) -> None:
    assert found(messages, tools=TOOLS) == []
    assert found(messages) == []


@pytest.mark.parametrize("tools", ["f", [1], [{"type": "function"}], [{"function": {"name": 3}}], {"name": "f"}])
def test_tools_that_do_not_parse(tools: Any) -> None:
    assert found([USER, ASSISTANT], tools=tools) == [("bad_tools", "the tools are no list of functions with a name.")]


def test_no_messages_at_all() -> None:
    assert [f.check for f in check_draft(CHAT.draft({}, COLUMNS), "x:1")] == ["missing_messages"]


@pytest.mark.parametrize(
    ("values", "check", "severity"),
    [
        ({"chosen": "", "rejected": "b"}, "empty_chosen", Severity.ERROR),
        ({"chosen": None, "rejected": "b"}, "empty_chosen", Severity.ERROR),
        ({"rejected": "b"}, "empty_chosen", Severity.ERROR),
        ({"chosen": [1], "rejected": "b"}, "non_string_content", Severity.ERROR),
        ({"chosen": "a"}, "missing_rejected", Severity.WARNING),
        ({"chosen": "a", "rejected": []}, "missing_rejected", Severity.WARNING),
        ({"chosen": "a", "rejected": [3]}, "non_string_content", Severity.ERROR),
        ({"chosen": "a", "rejected": "a"}, "chosen_equals_rejected", Severity.WARNING),
        ({"chosen": "a", "rejected": "b\x07"}, "control_character", Severity.WARNING),
    ],
)
def test_preferences(values: dict[str, Any], check: str, severity: Severity) -> None:
    columns = Columns({part: part for part in ("prompt", "chosen", "rejected")})
    findings = check_draft(PREFERENCE.draft({"prompt": "q", **values}, columns), "x:1")
    assert [(finding.check, finding.severity) for finding in findings] == [(check, severity)]
