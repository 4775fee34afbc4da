"""Every text in a value of a row, also in the JSON that a text spells."""

import json
from collections.abc import Callable, Iterator
from typing import Any


def texts_in(value: Any) -> Iterator[str]:
    """Every text in a value."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts_in(item)
    elif isinstance(value, str):
        yield value


def edit_texts(value: Any, edit: Callable[[str], str]) -> Any:
    """The same with every text in it edited."""
    if isinstance(value, dict):
        return {key: edit_texts(item, edit) for key, item in value.items()}
    if isinstance(value, list):
        return [edit_texts(item, edit) for item in value]
    return edit(value) if isinstance(value, str) else value


def edit_inside(text: str, edit: Callable[[str], str]) -> str:
    """The text edited; of one that spells JSON, the texts in that."""
    if (inner := json_in(text)) is None:
        return edit(text)
    edited = edit_texts(inner, edit)
    separators = (", ", ": ") if ": " in text else (",", ":")
    return text if edited == inner else json.dumps(edited, ensure_ascii=False, separators=separators)


def json_in(text: str) -> Any:
    """The object or list that a text spells, as the arguments of a tool call do; None where it spells none."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
