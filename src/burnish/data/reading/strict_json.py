"""JSON by RFC 8259: no NaN, no number that becomes infinite, and no nesting too deep to be written again."""

import json
import re
from typing import Any

MAX_DEPTH = 100


def parse_strict(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is not JSON, or nested too deep.
    """
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    if text.count("[") + text.count("{") > MAX_DEPTH and _is_deep(value):
        raise ValueError(_TOO_DEEP)
    return value


def parse_next(text: str, place: int) -> tuple[Any, int]:
    """The value that begins at a place, and where it ends; other text may come behind it.

    Raises:
        ValueError: there is no JSON, or it is nested too deep.
    """
    try:
        value, end = _DECODER.raw_decode(text, place)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    if text.count("[", place, end) + text.count("{", place, end) > MAX_DEPTH and _is_deep(value):
        raise ValueError(_TOO_DEEP)
    return value, end


def find_refused_number(text: str) -> int | None:
    """Where a text holds NaN, Infinity or a number that becomes infinite, outside of its strings."""
    for match in _STRING_OR_NUMBER.finditer(text):
        if match["constant"] or (match["number"] and float(match["number"]) in (float("inf"), float("-inf"))):
            return match.start()
    return None


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        inner = [list(v.values()) if isinstance(v, dict) else v for v in level if isinstance(v, dict | list)]
        level = [item for items in inner for item in items]
    return any(isinstance(value, dict | list) for value in level)


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def _finite(text: str) -> float:
    if (number := float(text)) in (float("inf"), float("-inf")):
        raise ValueError(f"{text[:20]} is too large for a number")
    return number


_TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep"
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
_STRING_OR_NUMBER = re.compile(
    r'"(?:[^"\\]|\\.)*"|(?P<constant>NaN|-?Infinity)|(?P<number>-?\d+(?:\.\d+)?[eE][+-]?\d+)', re.DOTALL
)
