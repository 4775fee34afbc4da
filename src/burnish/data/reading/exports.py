"""Rows as tools export them -> rows of examples: Label Studio's tasks, and helpdesks' messages one a row."""

from collections.abc import Collection, Iterable, Iterator
from itertools import chain

from burnish.data.finding import Finding
from burnish.data.reading.label_studio import is_label_studio, read_tasks
from burnish.data.reading.row import Row
from burnish.data.reading.threads import join_threads, thread_columns

NUM_ROWS_LOOKED_AT = 200
"""The first rows tell whether a file is such an export."""


def as_examples(name: str, items: Iterable[Row | Finding], named: Collection[str]) -> Iterator[Row | Finding]:
    """The rows of a file, those of a known export as rows of examples; other files pass as they come."""
    rest = iter(items)
    head = list(_first_rows(rest))
    rows = [item for item in head if isinstance(item, Row)]
    whole = chain(head, rest)
    if rows and all(is_label_studio(row.values) for row in rows):
        yield from read_tasks(name, whole)
    elif columns := thread_columns(rows, named):
        yield from join_threads(name, whole, columns)
    else:
        yield from whole


def _first_rows(items: Iterator[Row | Finding]) -> Iterator[Row | Finding]:
    num_rows = 0
    for item in items:
        yield item
        num_rows += isinstance(item, Row)
        if num_rows == NUM_ROWS_LOOKED_AT:
            return
