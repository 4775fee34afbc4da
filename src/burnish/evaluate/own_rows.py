"""Files of the team's own rows that are no data of the task: read, and refused with the rows at fault."""

from collections.abc import Sequence
from pathlib import Path

from burnish.data import Finding, Row, Severity, read_rows
from burnish.errors import DataError

NUM_TOLD = 3


def read_own_rows(path: Path) -> tuple[list[Row], list[str]]:
    """The rows of a file in any format that burnish reads, and what is wrong with what is no row.

    Raises:
        DataError: the file cannot be read.
    """
    rows, findings = read_rows(path)
    return rows, [_place(finding) for finding in findings if finding.severity is Severity.ERROR]


def refuse_own_rows(path: Path, faults: Sequence[str], num_rows: int, *, of: str, remedy: str) -> None:
    """Go no further with faults, or without a row that can be used. `of`: what each row should be.

    Raises:
        DataError: names the first faults and counts the others.
    """
    if faults:
        more = f", and {len(faults) - NUM_TOLD} more" if len(faults) > NUM_TOLD else ""
        raise DataError(f"{'; '.join(faults[:NUM_TOLD])}{more}. {remedy}")
    if not num_rows:
        raise DataError(f"{path}: no {of} in it. {remedy}")


def _place(finding: Finding) -> str:
    return f"{finding.row}: {finding.message.rstrip('.')}" if finding.row else finding.message.rstrip(".")
