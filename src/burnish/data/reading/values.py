"""Typed values -> the plain values that JSON has, and one text for each, whatever kind of file they come from."""

import math
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

LARGEST_EXACT = 2**53
"""Whole numbers above it are not all kept by a float."""
_LARGEST_WRITTEN_OUT = 1e21
_SMALLEST_WRITTEN_OUT = 1e-7


def plain(value: Any) -> Any:
    """A value of a table as JSON has it: NaN is null; dates, durations and bytes of UTF-8 are text."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return None if math.isnan(value) else value
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case Decimal():
            return _number(value)
        case datetime() | date() | time():
            return _moment(value)
        case timedelta():
            return duration_text(value)
        case bytes():
            return _decoded(value)
    return value if type(value).__name__ not in ("NaTType", "NAType") else None


def text_of(value: Any) -> Any:
    """The one text of a number or of true and false: 1.0 is "1", True is "true"; any other value as it is."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, float) or not math.isfinite(value):
        return value
    if value == 0:
        return "0"
    if not _SMALLEST_WRITTEN_OUT <= abs(value) < _LARGEST_WRITTEN_OUT:
        return repr(value)
    text = format(Decimal(repr(value)), "f")
    return text.rstrip("0").removesuffix(".") if "." in text else text


def duration_text(value: timedelta) -> str:
    """Hours, minutes and seconds, as a spreadsheet shows a duration: 25:30:00."""
    sign, microseconds = "-" * (value < timedelta()), abs(value) // timedelta(microseconds=1)
    seconds, rest = divmod(microseconds, 1_000_000)
    fraction = f".{rest:06}".rstrip("0") if rest else ""
    return f"{sign}{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}{fraction}"


def _number(value: Decimal) -> Any:
    """A number that says the same; where there is none, its digits."""
    if not value.is_finite():
        return None if value.is_nan() else float(value)
    if value == value.to_integral_value():
        return int(value)
    return float(value) if Decimal(repr(float(value))) == value else format(value.normalize(), "f")


def _moment(value: date | time) -> str:
    """By ISO 8601; a time at midnight without a zone is how tables without dates write a date."""
    if isinstance(value, datetime) and value.tzinfo is None and value.time() == time():
        return value.date().isoformat()
    return value.isoformat()


def _decoded(value: bytes) -> Any:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value
