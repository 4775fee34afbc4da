"""Browsing the answers: every row is there and can be reached, with filters that tell the truth."""

import re
from pathlib import Path

import pytest

from burnish.files import read_json
from burnish.report import browse
from burnish.report.browse import Browser, build_browser
from burnish.report.page import write_report
from burnish.report.record import RunRecord, read_record

from .reading import read_page
from .sample_run import ALL_ARMS, build_sample_run, change_json


def browser_of(record: RunRecord) -> Browser:
    found = build_browser(record)
    assert found is not None
    return found


def rows_with(browser: Browser, text: str) -> set[str]:
    tags = {option.text: option.tag for _, _, options in browser.filters for option in options}
    return {row.card.id for row in browser.rows if tags[text] in row.tags}


def test_every_row_is_listed_once_in_the_order_of_the_test(tmp_path: Path) -> None:
    record = read_record(build_sample_run(tmp_path))
    browser = browser_of(record)
    assert [row.card.id for row in browser.rows] == [row["id"] for row in record.predictions["specialist"]]


def test_the_worst_of_every_arm_are_linked(tmp_path: Path) -> None:
    run = build_sample_run(tmp_path, "classification", arms=tuple(ALL_ARMS))
    browser, worst = browser_of(read_record(run)), read_json(run.evaluation)["errors"]["worst"]
    ids = {row.number: row.card.id for row in browser.rows}
    linked = {each.title: [ids[number] for number, _, _ in each.rows] for each in browser.worst}
    assert linked == {ALL_ARMS[arm]: [row["id"] for row in rows] for arm, rows in worst.items()}
    page = read_page(write_report(run).read_text(encoding="utf-8"))
    links = [ref for ref in page.attributes("href") if ref.startswith("#row-")]
    assert len(links) == sum(map(len, worst.values())) > 20


def test_of_many_rows_the_worst_of_each_arm_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browse, "MAX_ROWS", 60)
    record = read_record(build_sample_run(tmp_path, num_rows=90))
    browser = browser_of(record)
    worst = {row["id"] for rows in record.evaluation["errors"]["worst"].values() for row in rows}
    listed = {row.card.id for row in browser.rows}
    assert len(listed) == 60 and browser.num_test_rows == 90
    assert worst <= listed


def test_filters_select_what_they_say(tmp_path: Path) -> None:
    record = read_record(build_sample_run(tmp_path, "classification"))
    browser = browser_of(record)
    fixed = {change["baseline"]: change["fixed"] for change in record.evaluation["errors"]["changes"]}["few_shot"]
    assert rows_with(browser, "Fixed") == set(fixed) != set()
    delivery = {row["id"] for row in record.predictions["specialist"] if row["target"] == "delivery"}
    assert rows_with(browser, "label: delivery") == delivery != set()
    wrong = {row["id"] for row in record.predictions["zero_shot"] if row["score"] < 1}
    assert rows_with(browser, "Zero-shot prompt: not fully right") == wrong != set()
    lengths = [part for part in record.evaluation["slices"]["slices"] if part["kind"] == "length"]
    for part in lengths:
        assert len(rows_with(browser, f"length: {part['name']}")) == part["num_rows"]
    counts = {option.text: option.num_rows for _, _, options in browser.filters for option in options}
    assert all(len(rows_with(browser, text)) == count > 0 for text, count in counts.items())


def test_extraction_filters_by_the_fields_that_are_wrong(tmp_path: Path) -> None:
    record = read_record(build_sample_run(tmp_path))
    browser = browser_of(record)
    found = rows_with(browser, "wrong field: urgency")
    for row in browser.rows:
        own = next(answer for answer in row.card.answers if (0, "Specialist") in answer.arms)
        is_wrong = any(part.is_different and part.name == "urgency" for part in own.parts)
        assert (row.card.id in found) is is_wrong


def test_it_reads_without_the_script_and_goes_by_keyboard(tmp_path: Path) -> None:
    page = read_page(write_report(build_sample_run(tmp_path)).read_text(encoding="utf-8"))
    (form,) = [found for tag, found in page.tags if tag == "form"]
    assert "hidden" in form  # the script shows it: it can do nothing by itself
    folds = [found for tag, found in page.tags if tag == "details" and found.get("class") == "row"]
    assert len(folds) == 48 and not any("hidden" in fold for fold in folds)
    assert page.count("label") == 4 and page.count("select") == 3
    assert not page.attributes("onclick") and not page.attributes("action")


def test_hostile_names_stay_out_of_tags(tmp_path: Path) -> None:
    run = build_sample_run(tmp_path, "classification")
    change_json(run.evaluation, errors={"worst": {'a" onload="x': [{"id": "gone", "score": 0}]}, "changes": []})
    html = write_report(run).read_text(encoding="utf-8")
    assert all(re.fullmatch(r"[a-z0-9 -]*", tags) for tags in read_page(html).attributes("data-tags"))


def test_without_predictions_there_is_nothing_to_browse(tmp_path: Path) -> None:
    run = build_sample_run(tmp_path)
    for path in (run.path / "predictions").glob("*.jsonl"):
        path.unlink()
    page = read_page(write_report(run).read_text(encoding="utf-8"))
    assert build_browser(read_record(run)) is None
    assert "browse" not in page.attributes("id") and "#browse" not in page.attributes("href")
