"""Private values -> placeholders, in every text of a row and nowhere else."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from burnish.data.privacy import PrivateKind, find_private
from burnish.data.texts import json_in


@dataclass(frozen=True)
class Redaction:
    """A private value of a row and what stands in its place."""

    kind: PrivateKind
    value: str
    placeholder: str


def redact(row: Any) -> tuple[Any, list[Redaction]]:
    """A row of any shape without its private values: [EMAIL] for its first address, [EMAIL_2] for the next.

    A value gets the same placeholder wherever it stands in the row, so that an answer still agrees with its question;
    also where nothing but the other place told that it is private.
    """
    texts = list(_texts(row))
    redactions = _redactions(texts)
    if not redactions:
        return row, []
    placeholders = {redaction.value: redaction.placeholder for redaction in redactions}
    longest_first = sorted(placeholders, key=len, reverse=True)
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)")
    return _replaced(row, pattern, placeholders), redactions


def _redactions(texts: list[tuple[str, str]]) -> list[Redaction]:
    """One for each spelling of a private value, in the order of the row."""
    found: dict[str, Redaction] = {}
    placeholders: dict[tuple[PrivateKind, str], str] = {}
    numbers = Counter({kind: _highest_number(kind, texts) for kind in PrivateKind})
    for value, kind in _private_values(texts):
        same = (kind, re.sub(r"[\W_]", "", value).casefold())
        if same not in placeholders:
            numbers[kind] += 1
            placeholders[same] = f"[{kind.name}]" if numbers[kind] == 1 else f"[{kind.name}_{numbers[kind]}]"
        found.setdefault(value, Redaction(kind, value, placeholders[same]))
    return list(found.values())


def _private_values(texts: list[tuple[str, str]]) -> Iterator[tuple[str, PrivateKind]]:
    """A key announces what is below it as a word in a sentence does: {"phone": "07700900123"}."""
    for key, text in texts:
        for span in find_private(text):
            yield text[span.start : span.end], span.kind
        announced = f"{key}: {text}"
        for span in find_private(announced):
            if span.start >= len(key) + 2:
                yield announced[span.start : span.end], span.kind


def _highest_number(kind: PrivateKind, texts: list[tuple[str, str]]) -> int:
    """Of the placeholders that are in the row already, so that a new value does not get one of theirs."""
    written = [match for _, text in texts for match in re.finditer(rf"\[{kind.name}(?:_(\d+))?\]", text)]
    return max((int(match[1] or 1) for match in written), default=0)


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Each text, and each whole number as one, with the key that it is under."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _texts(item, str(name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item, key)
    elif isinstance(value, str) and (inner := json_in(value)) is not None:
        yield from _texts(inner, key)
    elif isinstance(value, str | int) and not isinstance(value, bool):
        yield key, str(value)


def _replaced(value: Any, pattern: re.Pattern[str], placeholders: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _replaced(item, pattern, placeholders) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(item, pattern, placeholders) for item in value]
    if isinstance(value, str):
        inner = json_in(value)
        if inner is None:
            return pattern.sub(lambda match: placeholders[match[0]], value)
        separators = (", ", ": ") if ": " in value else (",", ":")
        clean = _replaced(inner, pattern, placeholders)
        return value if clean == inner else json.dumps(clean, ensure_ascii=False, separators=separators)
    if isinstance(value, int) and not isinstance(value, bool):
        return placeholders.get(str(value), value)
    return value
