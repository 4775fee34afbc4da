"""What the checks of the data are made of, and what they find."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """`error` stops a run, `warning` is told and kept in the report, `note` is worth knowing."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """Something about the data that the user should know.

    `row` is the "file:line" that it is about, None where it is about the whole file or all files; `related` are other
    rows that it has to do with, such as the first copy of a duplicate. `message` says what is wrong, not what to do:
    that is the `remedy`, one for all findings of a check.
    """

    check: str
    severity: Severity
    message: str
    remedy: str
    row: str | None = None
    related: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}"


@dataclass(frozen=True)
class Check:
    """One thing that is looked for: its name, how bad it is, what it means and what to do about it."""

    id: str
    severity: Severity
    meaning: str
    remedy: str

    def found(self, message: str, row: str | None = None, related: Sequence[str] = ()) -> Finding:
        return Finding(self.id, self.severity, message, self.remedy, row, tuple(related))
