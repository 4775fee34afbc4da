"""What the checks of the data are made of, and what they find."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from burnish.errors import DataError

MAX_ERRORS_SHOWN = 20


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
    that is the `remedy`, one for all findings of a check, as is the `meaning`.
    """

    check: str
    severity: Severity
    message: str
    remedy: str
    row: str | None = None
    related: tuple[str, ...] = ()
    meaning: str = ""

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
        return Finding(self.id, self.severity, message, self.remedy, row, tuple(related), self.meaning)


def group_by_check(findings: Sequence[Finding]) -> list[list[Finding]]:
    """The findings of each check together: errors first, then the checks that found most."""
    groups: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        groups[finding.check].append(finding)
    gravity = list(Severity)
    return sorted(groups.values(), key=lambda group: (gravity.index(group[0].severity), -len(group)))


def summarize(findings: Sequence[Finding]) -> list[str]:
    """One line a check: how many rows, what is wrong, the first of them, what to do."""
    lines = []
    for group in group_by_check(findings):
        first = group[0]
        count = f"{len(group):,} × " if len(group) > 1 else ""
        place = f"{first.row}: " if first.row else ""
        lines.append(f"{first.severity.value}: {count}{first.meaning}; {place}{first.message} {first.remedy}")
    return lines


def refuse_errors(findings: Sequence[Finding]) -> None:
    """Go no further where a finding is an error.

    Raises:
        DataError: tells the errors, each with its row and the remedy.
    """
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    if not errors:
        return
    shown = [f"{error.row}: {error}" if error.row else str(error) for error in errors[:MAX_ERRORS_SHOWN]]
    more = [f"... and {len(errors) - MAX_ERRORS_SHOWN:,} more"] if len(errors) > MAX_ERRORS_SHOWN else []
    rows = {error.row for error in errors}
    what = f"{len(rows):,} rows" if len(rows) > 1 else "a row"
    head = [f"{what} cannot be used:"] if len(errors) > 1 else []
    raise DataError("\n  ".join([*head, *shown, *more]))
