"""A cleaned copy of a data file, with a log that tells, row by row, what was done and why. The original stays.

What only a person can decide is not touched: conflicting answers, near duplicates, likely wrong labels.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from burnish.data.checks.edges import EDGE_SPACE
from burnish.data.example import Example
from burnish.data.finding import Finding, Severity
from burnish.data.formats.characters import CONTROL_CHARACTER, INVISIBLE_CHARACTER, LINE_SEPARATOR
from burnish.data.markup import MARKUP
from burnish.data.mending.edits import (
    respell,
    with_line_feeds,
    without_control,
    without_edges,
    without_invisible,
    without_thoughts,
)
from burnish.data.mending.records import Record, Records, is_written_as_lines, read_records
from burnish.data.mending.redact import redact as redact_row
from burnish.data.privacy import mask
from burnish.data.reading.encoding import BLANK_LINE, CRLF, NOT_UTF8, UTF8_BOM, UTF16
from burnish.data.rendering.checks import NO_THOUGHTS
from burnish.data.texts import edit_inside, edit_texts, texts_in
from burnish.errors import DataError
from burnish.files import write_jsonl, write_text

LABEL_VARIANT = "label_variant"
_REMOVED = frozenset({"duplicate_row", BLANK_LINE.id})
_REMOVED_FROM_TRAIN = frozenset({"in_train"})
_REWRITTEN = frozenset({UTF8_BOM.id, UTF16.id, CRLF.id, NOT_UTF8.id})
_EDITS: dict[str, Callable[[str], str]] = {
    CONTROL_CHARACTER.id: without_control,
    INVISIBLE_CHARACTER.id: without_invisible,
    LINE_SEPARATOR.id: with_line_feeds,
    **{name: partial(edit_inside, edit=markup.clean) for name, markup in MARKUP.items()},
}
MENDED = (
    _REMOVED
    | _REMOVED_FROM_TRAIN
    | _REWRITTEN
    | frozenset(_EDITS)
    | {
        LABEL_VARIANT,
        EDGE_SPACE.id,
        NO_THOUGHTS.id,
    }
)
"""The checks whose findings are mended; besides them, every row with an error is removed."""


@dataclass(frozen=True)
class Change:
    """One thing that was done to a row, or to a whole file: what, for which check, and why.

    `before` and `after` are the first text that was changed; private values are masked.
    """

    file: str
    line: int | None
    check: str
    done: str
    why: str
    before: str | None = None
    after: str | None = None


def mend_file(
    source: Path,
    output: Path,
    findings: Iterable[Finding] = (),
    *,
    spellings: Mapping[str, tuple[str, str]] | None = None,
    redact: bool = False,
) -> list[Change]:
    """Write `source` without the findings about it to `output`, and the changes beside it; nothing if there are none.

    `spellings` gives, by row, the answer of a label variant and the spelling that it gets (see `usual_spellings`).

    Raises:
        DataError: `output` is the original, no row would be left, or the file cannot be mended.
        StorageError: the copy cannot be written.
    """
    if output.exists() and output.samefile(source):
        raise DataError(f"{output}: this is the original, which is never written over. Choose another --output.")
    records = read_records(source)
    plan = _plan(source.name, findings)
    changes = [_change(source.name, None, finding, "rewritten") for finding in plan.pop(None, ())]
    changes += [_change(source.name, _line_of(finding), finding, "removed") for finding in records.unreadable]
    kept = list[str]()
    for record in records.rows:
        text, done = _mend(source.name, record, plan.get(record.line, ()), records, spellings or {}, redact=redact)
        kept += [] if text is None else [text]
        changes += done
    if records.rows and not kept:
        raise DataError(
            f"{source.name}: all {len(records.rows):,} rows would be removed, so no copy was written. "
            f"Mend the file by what was found: {changes[0].why}"
        )
    if changes:
        write_text(output, records.join(kept))
        write_jsonl(log_of(output), [asdict(change) for change in changes])
    return changes


def copy_of(source: Path) -> Path:
    """Where the cleaned copy of a file is written unless the user says: rows.clean.jsonl beside rows.jsonl.

    The copy of a packed file is not packed; that of Parquet, of Excel and of rows in another shape is JSON Lines.
    """
    suffix = next((suffix for suffix in reversed(source.suffixes) if suffix.lower() != ".gz"), "")
    name = source.name.removesuffix(source.suffix if source.suffix.lower() == ".gz" else "").removesuffix(suffix)
    return source.with_name(f"{name}.clean{'.jsonl' if is_written_as_lines(source) else suffix}")


def log_of(output: Path) -> Path:
    """Where the log of a cleaned copy is written."""
    return output.with_name(f"{output.stem}.log.jsonl")


def usual_spellings(findings: Iterable[Finding], examples: Sequence[Example]) -> dict[str, tuple[str, str]]:
    """By row with a variant of a label: its answer, and that of the first related row, which is spelled as usual."""
    targets = {example.id: example.target for example in examples}
    return {
        finding.row: (targets[finding.row], targets[finding.related[0]])
        for finding in findings
        if finding.check == LABEL_VARIANT and finding.row in targets and finding.related[:1]
        if finding.related[0] in targets
    }


def _line_of(finding: Finding) -> int:
    return int((finding.row or "").rpartition(":")[2])


def _plan(name: str, findings: Iterable[Finding]) -> dict[int | None, list[Finding]]:
    """The findings that something is done about, by the line on which it is done; None for the whole file."""
    plan: dict[int | None, list[Finding]] = defaultdict(list)
    for finding in findings:
        if finding.check in _REWRITTEN and finding.row is None:
            plan[None].append(finding)
            continue
        # A leak is found in the held-out row and mended in train.
        rows = finding.related if finding.check in _REMOVED_FROM_TRAIN else (finding.row,)
        for row in rows:
            file, _, line = (row or "").rpartition(":")
            if file == name and line.isdigit():
                plan[int(line)].append(finding)
    return plan


def _mend(
    name: str,
    record: Record,
    findings: Sequence[Finding],
    records: Records,
    spellings: Mapping[str, tuple[str, str]],
    *,
    redact: bool,
) -> tuple[str | None, list[Change]]:
    """The text of a record in the copy, None if it is removed, and what was done."""
    for finding in findings:
        is_fault = finding.severity is Severity.ERROR and finding.check != NO_THOUGHTS.id
        if is_fault or finding.check in _REMOVED | _REMOVED_FROM_TRAIN:
            return None, [_change(name, record.line, finding, "removed")]
    values, changes = record.values, list[Change]()
    for finding in findings:
        if finding.check in _REWRITTEN:
            changes.append(_change(name, record.line, finding, "rewritten"))
        elif finding.check == NO_THOUGHTS.id:
            values = without_thoughts(values)
            changes.append(_change(name, record.line, finding, "cleaned"))
        elif finding.check in _EDITS:
            edited = edit_texts(values, _EDITS[finding.check])
            changes += _changed(name, record.line, finding, "cleaned", values, edited)
            values = edited
        elif finding.check == EDGE_SPACE.id:
            edited = without_edges(values)
            changes += _changed(name, record.line, finding, "cleaned", values, edited)
            values = edited
        elif finding.check == LABEL_VARIANT and (spelling := spellings.get(f"{name}:{record.line}")):
            edited = respell(values, *spelling)
            changes += _changed(name, record.line, finding, "relabelled", values, edited)
            values = edited
    if redact:  # what is no row is redacted as one text, so that nothing private is left in the copy
        values, redactions = redact_row(record.text if values is None else values)
        changes = [replace(change, before=None, after=None) for change in changes]
        changes += [
            Change(name, record.line, r.kind.value, "redacted", "It is private.", mask(r.value), r.placeholder)
            for r in redactions
        ]
    if values is record.values or (values == record.text and record.values is None):
        return record.text, changes
    return (values if record.values is None else records.spell(values)), changes


def _change(name: str, line: int | None, finding: Finding, done: str) -> Change:
    return Change(name, line, finding.check, done, finding.message)


def _changed(name: str, line: int, finding: Finding, done: str, before: Any, after: Any) -> Iterator[Change]:
    """The change, if there is one."""
    for old, new in zip(texts_in(before), texts_in(after), strict=True):
        if old != new:
            yield Change(name, line, finding.check, done, finding.message, old, new)
            return
