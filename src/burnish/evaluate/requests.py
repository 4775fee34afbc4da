"""How long one request alone takes: what a user waits while nobody else asks."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from burnish.files import read_json, write_json

NUM_ROWS = 3
MAX_SECONDS = 30.0
"""Once they are over, no further request is begun."""


@dataclass(frozen=True)
class RequestTime:
    """The times of some requests, each alone on a model that is warm."""

    median_s: float
    min_s: float
    max_s: float
    num_rows: int


def keep_request_time(
    path: Path,
    key: dict[str, Any],
    ask: Callable[[int], object],
    num_rows: int,
    *,
    is_warm: bool,
    max_seconds: float = MAX_SECONDS,
) -> RequestTime:
    """The one in the file `path` if it was measured with the same `key`; else measured and written there.

    `ask` answers one test row, by its number; the rows lie at equal distances. A model that has not just answered
    others is asked once before, to warm it up.
    """
    if path.is_file() and (found := read_json(path))["key"] == key:
        return RequestTime(**found["request"])
    wanted = min(NUM_ROWS, num_rows)
    rows = [n * num_rows // wanted for n in range(wanted)]
    if not is_warm:
        ask(rows[0])
    measured = _time_requests(ask, rows, max_seconds)
    write_json(path, {"key": key, "request": asdict(measured)})
    return measured


def summarize_times(seconds: Sequence[float]) -> RequestTime:
    """The median with the range."""
    return RequestTime(statistics.median(seconds), min(seconds), max(seconds), len(seconds))


def _time_requests(ask: Callable[[int], object], rows: Sequence[int], max_seconds: float) -> RequestTime:
    began = time.perf_counter()
    seconds = list[float]()
    for row in rows:
        start = time.perf_counter()
        if seconds and start - began > max_seconds:
            break
        ask(row)
        seconds.append(time.perf_counter() - start)
    return summarize_times(seconds)
