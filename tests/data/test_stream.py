"""One pass over a file of any size: the counts are those of the whole file, and no row is kept."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from burnish.conversation import Task
from burnish.data import load_table
from burnish.data.stream import MAX_KEPT, check_stream, count_lines
from burnish.errors import DataError

MESSY = Path(__file__).parents[3] / "shared" / "data" / "messy"


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_counts_and_pairs(tmp_path: Path) -> None:
    rows = [{"text": f"t{n}", "label": "l"} for n in range(2500)]
    rows[2000] = {"text": "", "label": "l"}
    rows[2400] = {"label": "l", "text": "t7"}
    units = list[int]()
    path = write(tmp_path / "x.jsonl", [*rows, [1]])
    assert count_lines(path) == 2501
    report = check_stream(path, advance=lambda n, note: units.append(n))
    assert (report.num_rows, report.num_sound, report.num_duplicates) == (2500, 2499, 1)
    assert report.duplicates == [("x.jsonl:2401", "x.jsonl:8")]
    assert [(f.row, f.check) for f in report.findings] == [
        ("x.jsonl:2001", "empty_content"),
        ("x.jsonl:2501", "not_an_object"),
    ]
    assert units == [1000, 1000, 500]
    assert report.detection is not None and report.detection.task is Task.CLASSIFICATION


def test_findings_are_all_counted_and_some_kept(tmp_path: Path) -> None:
    report = check_stream(write(tmp_path / "x.jsonl", [{"text": "", "label": "l"}] * (MAX_KEPT + 500)))
    assert report.num_findings == {"empty_content": MAX_KEPT + 500}
    assert len(report.findings) == len(report.duplicates) == MAX_KEPT
    assert report.num_duplicates == MAX_KEPT + 499


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """But for 150 bytes of each, for its hash: a file of 20 MB takes less than 8."""
    path = write(tmp_path / "x.jsonl", [{"text": f"{n} " + "x" * 2500, "label": "l"} for n in range(8000)])
    tracemalloc.start()
    try:
        assert check_stream(path).num_rows == 8000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8e6 < path.stat().st_size / 2


def test_no_rows_and_no_file(tmp_path: Path) -> None:
    report = check_stream(write(tmp_path / "x.jsonl", []))
    assert (report.detection, report.num_rows, report.num_findings) == (None, 0, {"empty_file": 1})
    with pytest.raises(DataError, match="no such file"):
        check_stream(tmp_path / "y.jsonl")


@pytest.mark.skipif(not MESSY.is_dir(), reason="the public data is not here")
def test_the_same_findings_as_at_once() -> None:
    for path in sorted(MESSY.glob("*.jsonl")):
        report = check_stream(path)
        task = report.detection.task if report.detection else Task.CHAT
        table = load_table(path, task, columns={})
        assert sorted(map(str, report.findings)) == sorted(map(str, table.findings)), path.name
        assert report.num_sound == len(table.rows)
