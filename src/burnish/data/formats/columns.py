"""Which column of a file holds which part of a row: named by the recipe, else found by the usual names."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Columns:
    """Part of a row -> name of its column."""

    by_part: Mapping[str, str]

    def __contains__(self, part: str) -> bool:
        return part in self.by_part

    def value(self, values: Mapping[str, Any], part: str) -> Any:
        """A row's value of a part; None if it has none."""
        return values.get(self.by_part[part]) if part in self.by_part else None

    def __str__(self) -> str:
        return ", ".join(f"{part} = {column!r}" for part, column in self.by_part.items())


def find_columns(
    usual_names: Mapping[str, tuple[str, ...]], present: Collection[str], given: Mapping[str, str]
) -> Columns:
    """The column of each part that has one: as `given`, else the first of its usual names that is free."""
    free = {column.strip().lower(): column for column in present if column not in given.values()}
    found = dict(given)
    for part, names in usual_names.items():
        if part not in found and (name := next((name for name in names if name in free), None)):
            found[part] = free.pop(name)
    return Columns({part: found[part] for part in usual_names if part in found})


def listed(names: Collection[str]) -> str:
    """Names for a message."""
    return ", ".join(repr(name) for name in names) if names else "none"
