"""What is done to the texts of a row: characters that nobody meant to write go, an answer gets its usual spelling."""

import re
from collections.abc import Iterator
from typing import Any

from burnish.data.formats.characters import INVISIBLE, SEPARATORS
from burnish.data.formats.learned import THOUGHT_KEYS

_ASKED = ("user", "human", "system", "tool", "developer")
_QUESTION = ("text", "prompt", "question", "instruction", "input", "message", "body", "content", "query", "sentence")


def without_control(text: str) -> str:
    """Without control characters and the colours of terminals; what once broke or divided a line is a space."""
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
    text = re.sub(r"[\x0b\x0c\x1c-\x1f\x85]+ ?", " ", text)
    return re.sub(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]", "", text)


def without_invisible(text: str) -> str:
    """Without what the check finds: what cannot be seen."""
    return INVISIBLE.sub("", text)


def with_line_feeds(text: str) -> str:
    """With line feeds in place of U+2028 and U+2029."""
    return SEPARATORS.sub("\n", text)


def without_edges(values: Any) -> Any:
    """The row with its answers as they are served: without white space before and behind them."""
    for path, text in _answers(values):
        if text != text.strip() and (len(path) > 1 or path[-1:] not in [(name,) for name in _QUESTION]):
            values = _replaced_at(values, path, text.strip())
    return values


def without_thoughts(value: Any) -> Any:
    """A row without the thoughts of answers: neither beside them nor between marks in them."""
    if isinstance(value, dict):
        return {key: without_thoughts(item) for key, item in value.items() if key not in THOUGHT_KEYS}
    if isinstance(value, list):
        kept = [item for item in value if not (isinstance(item, dict) and item.get("type") in THOUGHT_KEYS)]
        return [without_thoughts(item) for item in kept]
    return re.sub(r"<think>.*?</think>\s*", "", value, flags=re.DOTALL) if isinstance(value, str) else value


def respell(values: Any, old: str, new: str) -> Any:
    """The row with the answer `old` spelled `new`: the last text that is it, and is not what was asked."""
    places = [path for path, text in _answers(values) if text.strip() == old.strip()]
    if not places:
        return values
    *_, place = sorted(places, key=lambda path: path[-1] not in _QUESTION or len(path) > 1)
    return _replaced_at(values, place, new)


def _answers(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Each text with the keys that lead to it, without the turns that ask."""
    if isinstance(value, dict):
        if value.get("role", value.get("from")) not in _ASKED:
            for key, item in value.items():
                yield from _answers(item, (*path, key))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _answers(item, (*path, i))
    elif isinstance(value, str):
        yield path, value


def _replaced_at(value: Any, path: tuple[Any, ...], new: str) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _replaced_at(value[path[0]], path[1:], new)
    return copy
