"""The text of an answer, as it comes, -> what is said and what is called."""

import json
import re
import uuid
from dataclasses import dataclass
from typing import Any

from burnish.conversation import ToolCall
from burnish.serve.inference.chat.tools import Tools

OPEN, CLOSE = "<tool_call>", "</tool_call>"
HEAD = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*(?=\{)')
"""Of a call, through the place where its arguments begin."""


@dataclass(frozen=True)
class MoreArguments:
    """What the arguments of the last call go on with."""

    text: str


Said = str | ToolCall | MoreArguments


class AnswerReader:
    """Reads one answer. What may yet turn out to be a tool call is held back until it is known; of a call that the
    grammar makes the model write, the arguments are told as they come.

    White space around an answer is no part of it, as in the test of a run.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._unread = ""
        self._space = ""
        self._has_said = False
        self._arguments: _GrowingObject | None = None
        self.num_calls = 0

    @property
    def is_cut(self) -> bool:
        """Whether the arguments of a call have begun and not ended."""
        return self._arguments is not None and not self._arguments.has_ended

    def feed(self, text: str, *, is_last: bool) -> list[Said]:
        """What `text`, which goes on where the last one ended, adds to the answer."""
        self._unread += text
        if not self._tools.names:
            return self._say(self._take(len(self._unread)))
        if self._tools.must_call and (self._arguments or HEAD.match(self._unread)):
            return self._read_forced()
        found = list[Said]()
        while self._unread:
            if self._may_be_bare():
                return [*found, *self._read_bare()] if is_last else found
            start = self._unread.find(OPEN)
            if start < 0:
                held = 0 if is_last else _num_held(self._unread)
                return [*found, *self._say(self._take(len(self._unread) - held))]
            found += self._say(self._take(start))
            end = self._unread.find(CLOSE)
            if end < 0 and not is_last:
                return found
            found += self._read_marked(self._take(len(self._unread) if end < 0 else end + len(CLOSE)))
        return found

    def _take(self, length: int) -> str:
        taken, self._unread = self._unread[:length], self._unread[length:]
        return taken

    def _may_be_bare(self) -> bool:
        """Whether the whole answer may be a call without marks around it."""
        return not self._has_said and not self.num_calls and self._unread.lstrip()[:1] in ("{", "[")

    def _read_forced(self) -> list[Said]:
        found = list[Said]()
        if self._arguments is None:
            head = HEAD.match(self._unread)
            assert head is not None
            found.append(ToolCall(_new_id(), json.loads(head[1]), ""))
            self._arguments, self.num_calls = _GrowingObject(), 1
            self._take(head.end())
        more = self._arguments.take(self._take(len(self._unread)))
        return [*found, MoreArguments(more)] if more else found

    def _read_bare(self) -> list[Said]:
        text = self._take(len(self._unread))
        return self._keep(parse_calls(text, self._tools.names)) or self._say(text)

    def _read_marked(self, text: str) -> list[Said]:
        calls = parse_calls(text.removeprefix(OPEN).removesuffix(CLOSE), self._tools.names)
        return self._keep(calls) if calls else self._say(text)

    def _keep(self, calls: list[ToolCall]) -> list[Said]:
        if not self._tools.is_parallel:
            calls = [] if self.num_calls else calls[:1]
        self.num_calls += len(calls)
        return list(calls)

    def _say(self, text: str) -> list[Said]:
        text = self._space + text
        if not self._has_said:
            text = text.lstrip()
        said = text.rstrip()
        self._space = text[len(said) :]
        self._has_said = self._has_said or bool(said)
        return [said] if said else []


class _GrowingObject:
    """A JSON object that comes in pieces."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = self._is_escaped = False
        self.has_ended = False

    def take(self, text: str) -> str:
        """As much of the text as belongs to it."""
        for place, letter in enumerate(text):
            if self.has_ended:
                return text[:place]
            self._follow(letter)
        return text

    def _follow(self, letter: str) -> None:
        if self._in_string:
            self._in_string = self._is_escaped or letter != '"'
            self._is_escaped = letter == "\\" and not self._is_escaped
        elif letter == '"':
            self._in_string = True
        elif letter in "{[":
            self._depth += 1
        elif letter in "}]":
            self._depth -= 1
            self.has_ended = self._depth == 0


def parse_calls(text: str, names: frozenset[str]) -> list[ToolCall]:
    """The calls that `text` is: a JSON object with name and arguments (or parameters), or a list of such.

    None at all where it is anything else, or calls what is not in `names`.
    """
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return []
    calls = [_parse_call(item, names) for item in (value if isinstance(value, list) else [value])]
    found = [call for call in calls if call is not None]
    return found if len(found) == len(calls) else []


def _parse_call(value: Any, names: frozenset[str]) -> ToolCall | None:
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        value = value["function"]
    if not isinstance(value, dict) or value.get("name") not in list(names):
        return None
    arguments = value.get("arguments", value.get("parameters", {}))
    if isinstance(arguments, dict):
        arguments = json.dumps(arguments, ensure_ascii=False)
    return ToolCall(_new_id(), value["name"], arguments) if isinstance(arguments, str) else None


def _new_id() -> str:
    return f"call_{uuid.uuid4().hex[:24]}"


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _num_held(text: str) -> int:
    """How many characters at the end of `text` may begin a tool call."""
    return next((n for n in range(len(OPEN) - 1, 0, -1) if text.endswith(OPEN[:n])), 0)
