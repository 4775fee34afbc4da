"""A file -> its sound rows, in the format that they are in, and everything that was found wrong with the others."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from burnish.conversation import Task
from burnish.data.finding import Check, Finding, Severity, refuse_errors
from burnish.data.formats.detect import Detection, detect_format, other_format
from burnish.data.formats.draft import Draft
from burnish.data.formats.missing_values import check_missing
from burnish.data.formats.several_labels import SEVERAL_LABELS, find_fault
from burnish.data.formats.structure import check_draft
from burnish.data.formats.unused import check_keys
from burnish.data.reading.locate import locate
from burnish.data.reading.missing import spells_missing, without_missing
from burnish.data.reading.row import Row
from burnish.data.reading.rows import read_rows
from burnish.data.reading.values import text_of
from burnish.data.times import sortable_time
from burnish.errors import DataError

OTHER_SHAPE = Check(
    "other_shape", Severity.ERROR, "a row of another format than the file's", "Write it as the others, or remove it."
)
NOT_TEXT = Check(
    "not_text",
    Severity.ERROR,
    "a row with pictures, sound or video",
    "Models here read text alone: describe the picture or sound in the message, and remove the column.",
)
BAD_ANSWER = Check(
    "bad_answer",
    Severity.ERROR,
    "an answer that the row marks as a bad one",
    "burnish learns good answers only: `burnish check --fix` writes a copy without these rows.",
)
BAD_TIME = Check(
    "bad_time", Severity.ERROR, "a time that cannot be ordered", "Write it by ISO 8601, as 2026-01-31, or as a number."
)

MISSING_KEY = Check(
    "missing_key",
    Severity.WARNING,
    "a group or time that spells a missing value, read as missing",
    "Nothing has to be done; set data.keep_missing_spelling = true if it is meant.",
)
TYPED_TEXT = Check(
    "typed_text",
    Severity.NOTE,
    "numbers that are learned in another spelling than the file's",
    "Write them as text if the spelling is meant.",
)


@dataclass(frozen=True)
class Table:
    """The sound rows of one file, or of a folder of texts, and the findings about all of them.

    `detection` says what the file holds; None if no row of it can be read.
    """

    path: Path
    task: Task
    detection: Detection | None
    rows: list[Row] = field(repr=False)
    findings: tuple[Finding, ...] = ()
    group_by: str | None = None
    time_by: str | None = None

    @cached_property
    def drafts(self) -> list[Draft]:
        """The rows in the form of conversations."""
        if self.detection is None:
            return []
        return [self.detection.format.draft(row.values, self.detection.columns) for row in self.rows]


def load_table(
    path: Path,
    task: Task,
    *,
    columns: Mapping[str, str],
    group_by: str | None = None,
    time_by: str | None = None,
    max_rows: int | None = None,
    missing: Collection[str] = (),
    keeps_missing_spelling: bool = False,
) -> Table:
    """Read a file and check every row of it; rows with an error are left out.

    Texts in `missing` are read as null. Other spellings of it are told, unless `keeps_missing_spelling`.

    Raises:
        DataError: the file cannot be read, or has not the columns that the task needs.
    """
    rows, findings = read_rows(path, named=[*columns.values(), *filter(None, (group_by, time_by))])
    if missing:
        rows = [replace(row, values=without_missing(row.values, missing)) for row in rows]
    if not rows:
        return Table(path, task, None, [], tuple(findings))
    detection = detect_format(rows, name=path.name, task=task, given=columns)
    for column, key in ((group_by, "group_by"), (time_by, "time_by")):
        if column is not None and not any(column in row.values for row in rows):
            raise DataError(f"{path.name}: no column {column!r}. Mend data.{key}.")
        if column is not None and not keeps_missing_spelling:
            rows = [_without_key(row, column, findings) for row in rows]
    findings += check_keys(rows, detection)
    findings += _typed_texts(path.name, rows, detection)
    sound = list[Row]()
    for row in rows:
        found = check_row(row, detection, time_by=time_by)
        findings += found
        if not any(finding.severity is Severity.ERROR for finding in found):
            sound.append(row)
    if not keeps_missing_spelling:
        drafts = [detection.format.draft(row.values, detection.columns) for row in sound]
        findings += check_missing(sound, drafts)
    if time_by is not None:
        findings += _mixed_times(sound, time_by)
    refused = {finding.row for finding in findings if finding.severity is Severity.ERROR}
    sound = [row for row in sound if row.id not in refused]
    return Table(path, task, detection, sound[:max_rows], tuple(sorted(findings, key=_place)), group_by, time_by)


def detect_file(
    name: str, *, task: Task | None = None, given: Mapping[str, str] | None = None
) -> tuple[Detection, int]:
    """What the data of this name holds, and how many rows it has; `task` and `given` columns leave less to guess.

    Raises:
        DataError: it cannot be read, or no format fits.
    """
    path = locate(name)
    rows, findings = read_rows(path, named=list((given or {}).values()))
    if not rows:
        refuse_errors(findings)
    return detect_format(rows, name=path.name, task=task, given=given), len(rows)


def check_row(row: Row, detection: Detection, *, time_by: str | None = None) -> list[Finding]:
    """The findings about one row of a file."""
    if other := other_format(row.values, detection):
        return [OTHER_SHAPE.found(f"the row looks like {other}, the file is {detection.format.name}.", row.id)]
    for key in ("images", "audios", "videos"):
        if isinstance(row.values.get(key), list) and row.values[key] and key not in detection.columns.by_part.values():
            return [NOT_TEXT.found(f"column {key!r} holds {len(row.values[key]):,}.", row.id)]
    if mark := _bad_mark(row, detection):
        return [BAD_ANSWER.found(f"column {mark!r} is false.", row.id)]
    draft = detection.format.draft(row.values, detection.columns)
    if said := _several_labels(draft, detection):
        return [SEVERAL_LABELS.found(said, row.id)]
    findings = check_draft(draft, row.id)
    if time_by is not None:
        try:
            sortable_time(row.values.get(time_by))
        except ValueError:
            findings.append(BAD_TIME.found(f"{row.values[time_by]!r} in column {time_by!r} is no time.", row.id))
    return findings


def _bad_mark(row: Row, detection: Detection) -> str | None:
    """The column that says that the answer is not wanted, as KTO's data have it beside a prompt and a completion."""
    read = detection.columns.by_part.values()
    if detection.task in (Task.CLASSIFICATION, Task.EXTRACTION):
        return None
    return next((key for key in ("label", "kto_tag") if row.values.get(key) is False and key not in read), None)


def _several_labels(draft: Draft, detection: Detection) -> str | None:
    column = detection.columns.by_part.get("label")
    last = draft.messages[-1] if column is not None else None
    return find_fault(last.get("content"), column) if column is not None and isinstance(last, dict) else None


def _without_key(row: Row, column: str, findings: list[Finding]) -> Row:
    """The row without a spelling of a missing value in a column of keys, which is told."""
    value = row.values.get(column)
    if not isinstance(value, str) or not spells_missing(value):
        return row
    findings.append(MISSING_KEY.found(f"column {column!r} is {value.strip()!r}.", row.id))
    return replace(row, values={**row.values, column: None})


def _typed_texts(name: str, rows: Sequence[Row], detection: Detection) -> Iterator[Finding]:
    """Columns whose numbers are learned in another spelling than the file's."""
    for column in detection.columns.by_part.values():
        numbers = [row.values[column] for row in rows if isinstance(row.values.get(column), float)]
        if changed := next((number for number in numbers if text_of(number) != repr(number)), None):
            yield TYPED_TEXT.found(f"{name}: in column {column!r}, {changed!r} is read as {text_of(changed)!r}.")


def _mixed_times(rows: Sequence[Row], column: str) -> Iterator[Finding]:
    """Numbers among dates, or dates among numbers, which have no order."""
    kinds: dict[bool, list[Row]] = {True: [], False: []}
    for row in rows:
        if (time := sortable_time(row.values.get(column))) is not None:
            kinds["-" in time].append(row)
    fewer = min(kinds.values(), key=len)
    for row in fewer:
        yield BAD_TIME.found(f"{row.values[column]!r} in column {column!r} cannot be ordered among the others.", row.id)


def _place(finding: Finding) -> tuple[str, int]:
    """The order of the file; findings about all of it come first."""
    file, _, line = (finding.row or ":0").rpartition(":")
    return file, int(line)
