"""A file of any size, checked in one pass: the form of each row, and rows that are there twice."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Any

from burnish.conversation import Task
from burnish.data.finding import Finding, Severity
from burnish.data.formats.detect import Detection, detect_format
from burnish.data.formats.missing_values import MissingCounts
from burnish.data.formats.unused import KeyCounts
from burnish.data.load import check_row
from burnish.data.reading.encoding import open_binary
from burnish.data.reading.missing import without_missing
from burnish.data.reading.row import Row
from burnish.data.reading.rows import iter_rows
from burnish.screen import Advance

NUM_ROWS_LOOKED_AT = 1000
"""The first rows decide the format."""
MAX_KEPT = 1000
"""Findings of one check, and pairs of equal rows, that are kept; all are counted."""
ADVANCE_EVERY = 1000


@dataclass
class StreamReport:
    """What one pass has found. `duplicates` are pairs: a row's id, and that of the first row equal to it."""

    detection: Detection | None = None
    num_rows: int = 0
    num_sound: int = 0
    num_duplicates: int = 0
    duplicates: list[tuple[str, str]] = field(default_factory=list)
    num_findings: Counter[str] = field(default_factory=Counter)
    """By the id of the check."""
    findings: list[Finding] = field(default_factory=list)


def check_stream(
    path: Path,
    *,
    task: Task | None = None,
    columns: Mapping[str, str] | None = None,
    missing: Collection[str] = (),
    keeps_missing_spelling: bool = False,
    advance: Advance | None = None,
) -> StreamReport:
    """Check every row, keeping none; `advance` is told of the rows read.

    Memory grows by about 150 bytes a row, for its hash.

    Raises:
        DataError: the file cannot be read, or no format fits.
    """
    report = StreamReport()
    first: dict[bytes, str] = {}
    keys = KeyCounts()
    spelled = None if keeps_missing_spelling else MissingCounts()
    items = _without_missing(iter_rows(path, named=list((columns or {}).values())), missing)
    head = list(_head(items))
    if rows := [item for item in head if isinstance(item, Row)]:
        report.detection = detect_format(rows, name=path.name, task=task, given=columns)
    for item in chain(head, items):
        if isinstance(item, Finding):
            _keep(report, item)
            continue
        _check(report, item, first, spelled)
        assert report.detection is not None, "there was a row, so the format is known"
        keys.add(item, report.detection)
        if advance and report.num_rows % ADVANCE_EVERY == 0:
            advance(ADVANCE_EVERY, "")
    for finding in keys.findings():
        _keep(report, finding)
    if advance:
        advance(report.num_rows % ADVANCE_EVERY, "")
    return report


def count_lines(path: Path) -> int:
    """The lines of a text file, which may be gzipped: about as many as its rows, and soon counted, for a bar."""
    with open_binary(path) as stream:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: stream.read(1 << 20), b""))


def _head(items: Iterator[Row | Finding]) -> Iterator[Row | Finding]:
    """The items through the rows that decide the format."""
    num_rows = 0
    for item in items:
        yield item
        num_rows += isinstance(item, Row)
        if num_rows == NUM_ROWS_LOOKED_AT:
            return


def _without_missing(items: Iterator[Row | Finding], missing: Collection[str]) -> Iterator[Row | Finding]:
    for item in items:
        if isinstance(item, Row) and missing:
            item = replace(item, values=without_missing(item.values, missing))
        yield item


def _check(report: StreamReport, row: Row, first: dict[bytes, str], spelled: MissingCounts | None) -> None:
    assert report.detection is not None, "there was a row, so the format is known"
    report.num_rows += 1
    findings = check_row(row, report.detection)
    if spelled is not None and not any(finding.severity is Severity.ERROR for finding in findings):
        findings += spelled.check(report.detection.format.draft(row.values, report.detection.columns), row.id)
    for finding in findings:
        _keep(report, finding)
    report.num_sound += not any(finding.severity is Severity.ERROR for finding in findings)
    digest = _digest(row.values)
    if digest in first:
        report.num_duplicates += 1
        if report.num_duplicates <= MAX_KEPT:
            report.duplicates.append((row.id, first[digest]))
    else:
        first[digest] = row.id


def _keep(report: StreamReport, finding: Finding) -> None:
    report.num_findings[finding.check] += 1
    if report.num_findings[finding.check] <= MAX_KEPT:
        report.findings.append(finding)


def _digest(values: Mapping[str, Any]) -> bytes:
    """Equal for rows that differ in nothing but spacing and the order of keys."""
    text = json.dumps(values, sort_keys=True, ensure_ascii=False, default=str)
    return blake2b(text.encode(), digest_size=16).digest()
