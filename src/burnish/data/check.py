"""The first checks of the data: what would make a run misleading, told before it starts.

Rows that cannot be read are refused by `load`; templates that are not faithful are refused by `render`.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

from burnish.conversation import Task
from burnish.data.example import Example
from burnish.data.finding import Check, Finding, Severity
from burnish.data.split import count_duplicates

MIN_ROWS_PER_LABEL = 5


DUPLICATES = Check(
    "duplicates",
    Severity.WARNING,
    "rows that ask what an earlier row asks",
    "They stay on one side of the split; remove what is there twice by mistake.",
)
CONFLICTS = Check(
    "conflicting_answers",
    Severity.WARNING,
    "the same question with different answers",
    "Decide which answer is right.",
)
FEW_ROWS = Check(
    "few_rows",
    Severity.WARNING,
    "so few rows that every interval is wide",
    "A few hundred rows give a clear verdict.",
)
RARE_LABELS = Check(
    "rare_labels",
    Severity.WARNING,
    f"labels with fewer than {MIN_ROWS_PER_LABEL} rows",
    "Add rows for them.",
)


def check_examples(examples: Sequence[Example], task: Task) -> list[Finding]:
    """The findings about a whole file of examples."""
    findings = [_duplicates(examples), _conflicts(examples), _few_rows(examples)]
    if task is Task.CLASSIFICATION:
        findings.append(_rare_labels(examples))
    return [finding for finding in findings if finding]


def _duplicates(examples: Sequence[Example]) -> Finding | None:
    count = count_duplicates(examples)
    return DUPLICATES.found(f"{count} rows ask what an earlier row asks.") if count else None


def _conflicts(examples: Sequence[Example]) -> Finding | None:
    by_key: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        by_key[example.duplicate_key].append(example)
    conflicts = [rows for rows in by_key.values() if len({row.target for row in rows}) > 1]
    if not conflicts:
        return None
    pairs = "; ".join(" and ".join(row.id for row in rows[:3]) for rows in conflicts[:5])
    return CONFLICTS.found(f"{len(conflicts)} questions have different answers: {pairs}.")


def _few_rows(examples: Sequence[Example]) -> Finding | None:
    return FEW_ROWS.found(f"{len(examples)} rows: expect wide intervals.") if len(examples) < 100 else None


def _rare_labels(examples: Sequence[Example]) -> Finding | None:
    rare = {label: n for label, n in Counter(e.target for e in examples).items() if n < MIN_ROWS_PER_LABEL}
    if not rare:
        return None
    shown = ", ".join(f"{label} ({n})" for label, n in sorted(rare.items(), key=lambda item: item[1])[:8])
    return RARE_LABELS.found(f"{len(rare)} labels have fewer than {MIN_ROWS_PER_LABEL} rows: {shown}.")
