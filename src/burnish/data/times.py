"""Times as people write them -> text whose order is that of the times."""

import math
from datetime import UTC, date, datetime
from typing import Any

from burnish.data.reading.missing import is_missing


def sortable_time(value: Any) -> str | None:
    """Dates and times by ISO 8601, or numbers such as seconds or years; None for a missing value, which is no time.

    Raises:
        ValueError: anything else.
    """
    if is_missing(value):
        return None
    if isinstance(value, str):
        value = _parse(value.strip())
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0:
        return f"{value:027.6f}"
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    if isinstance(value, date):
        return value.isoformat() if isinstance(value, datetime) else datetime(*value.timetuple()[:3]).isoformat()
    raise ValueError("not a time")


def _parse(text: str) -> float | datetime:
    try:
        return float(text)
    except ValueError:
        return datetime.fromisoformat(text)
