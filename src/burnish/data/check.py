"""The first checks of the data: what would make a run misleading, told before it starts.

Rows that cannot be read are refused by `load`; templates that are not faithful are refused by `render`.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from burnish.conversation import Task
from burnish.data.example import Example
from burnish.data.split import count_duplicates

MIN_ROWS_PER_LABEL = 5


class Severity(StrEnum):
    """`error` stops a run, `warning` is told in the report."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """Something about the data that the user should know; `check` names the check that found it."""

    check: str
    severity: Severity
    message: str


def check_examples(examples: Sequence[Example], task: Task) -> list[Finding]:
    """The findings about a whole file of examples."""
    findings = [_duplicates(examples), _conflicts(examples), _few_rows(examples)]
    if task is Task.CLASSIFICATION:
        findings.append(_rare_labels(examples))
    return [finding for finding in findings if finding]


def _duplicates(examples: Sequence[Example]) -> Finding | None:
    count = count_duplicates(examples)
    message = f"{count} rows ask what an earlier row asks; they stay on one side of the split."
    return Finding("duplicates", Severity.WARNING, message) if count else None


def _conflicts(examples: Sequence[Example]) -> Finding | None:
    by_key: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        by_key[example.duplicate_key].append(example)
    conflicts = [rows for rows in by_key.values() if len({row.target for row in rows}) > 1]
    if not conflicts:
        return None
    pairs = "; ".join(" and ".join(row.id for row in rows[:3]) for rows in conflicts[:5])
    message = f"{len(conflicts)} questions have different answers: {pairs}. Decide which answer is right."
    return Finding("conflicting_answers", Severity.WARNING, message)


def _few_rows(examples: Sequence[Example]) -> Finding | None:
    message = f"{len(examples)} rows: expect wide intervals. A few hundred rows give a clear verdict."
    return Finding("few_rows", Severity.WARNING, message) if len(examples) < 100 else None


def _rare_labels(examples: Sequence[Example]) -> Finding | None:
    rare = {label: n for label, n in Counter(e.target for e in examples).items() if n < MIN_ROWS_PER_LABEL}
    if not rare:
        return None
    shown = ", ".join(f"{label} ({n})" for label, n in sorted(rare.items(), key=lambda item: item[1])[:8])
    message = f"{len(rare)} labels have fewer than {MIN_ROWS_PER_LABEL} rows: {shown}. Add rows for them."
    return Finding("rare_labels", Severity.WARNING, message)
