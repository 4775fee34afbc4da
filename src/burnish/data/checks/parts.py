"""What the parts of a split must hold before anything is asked or learned: rows enough, and labels to tell apart."""

from collections.abc import Mapping, Sequence

from burnish.conversation import Task
from burnish.data.example import Example
from burnish.data.finding import Check, Finding, Severity

MIN_PART_ROWS = 5
_MAX_SHOWN = 8

TOO_FEW_LEFT = Check(
    "too_few_left",
    Severity.ERROR,
    "too few rows of a part of the split that can be used",
    "Add rows, or keep more of those that were left out: dropped_too_long says how.",
)
ONE_LABEL = Check(
    "one_label",
    Severity.ERROR,
    "rows for training that all have one label",
    "Add rows of another label to the training data; a single label leaves nothing to learn.",
)
NO_FIELDS = Check(
    "no_fields",
    Severity.ERROR,
    "rows for training that have no field to extract",
    "Name the fields in the answers of the training data; null stands for a field that a text does not hold.",
)
UNSEEN_LABEL = Check(
    "unseen_label",
    Severity.WARNING,
    "labels that are asked for but not learned",
    "Add rows with these labels to the training data.",
)


def check_parts(
    parts: Mapping[str, Sequence[Example]], task: Task, *, dropped: Mapping[str, Sequence[str]] | None = None
) -> list[Finding]:
    """The findings about train, validation and test as they are learned and asked.

    `dropped`: by part, the ids of the rows that were left out of it on the way.
    """
    findings = [_too_few(part, len(rows), (dropped or {}).get(part, ())) for part, rows in parts.items()]
    labels = _labels(parts) if task is Task.CLASSIFICATION else []
    if task is Task.EXTRACTION and parts["train"] and all(row.target == "{}" for row in parts["train"]):
        labels = [NO_FIELDS.found(f"the answers of all {len(parts['train']):,} training rows are empty objects.")]
    return [*filter(None, findings), *labels]


def _too_few(part: str, count: int, dropped: Sequence[str]) -> Finding | None:
    if count >= MIN_PART_ROWS:
        return None
    told = describe_left(part, count)
    if dropped:
        told += f" Over data.max_length and left out: {_named(dropped)}."
    return TOO_FEW_LEFT.found(told, related=dropped)


def describe_left(part: str, count: int) -> str:
    """How many rows a part has, and needs."""
    left = "1 row is left" if count == 1 else f"{count} rows are left"
    return f"{left} for {part}; at least {MIN_PART_ROWS} are needed."


def _named(ids: Sequence[str]) -> str:
    rows = "1 row" if len(ids) == 1 else f"{len(ids):,} rows"
    return f"{rows} ({', '.join(ids[:_MAX_SHOWN])}{', ...' if len(ids) > _MAX_SHOWN else ''})"


def _labels(parts: Mapping[str, Sequence[Example]]) -> list[Finding]:
    train = {example.target for example in parts["train"]}
    if len(train) == 1:
        return [ONE_LABEL.found(f"all {len(parts['train']):,} training rows have the label {min(train)!r}.")]
    findings = []
    for part in ("validation", "test"):
        unseen = [example for example in parts.get(part, ()) if train and example.target not in train]
        if unseen:
            names = sorted({example.target for example in unseen})
            shown = ", ".join(map(repr, names[:_MAX_SHOWN])) + (", ..." if len(names) > _MAX_SHOWN else "")
            ids = [example.id for example in unseen]
            told = f"no training row has the label {shown} of {part}: {_named(ids)}."
            findings.append(UNSEEN_LABEL.found(told, related=ids))
    return findings
