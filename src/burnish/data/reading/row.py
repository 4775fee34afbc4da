"""One row of a file as it was read, before anything is known of its columns."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """The columns of one row, its file, and its line (its number, counted from 1, in Parquet and JSON arrays)."""

    file: str
    line: int
    values: dict[str, Any]

    @property
    def id(self) -> str:
        """Every message about the row leads back to it by this."""
        return f"{self.file}:{self.line}"
