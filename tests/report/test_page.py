"""The page as a whole: well-formed, self-contained, escaped, deterministic, readable."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib
import pytest

from burnish.errors import RunError
from burnish.files import read_json, read_jsonl, write_json, write_jsonl, write_text
from burnish.report import browse
from burnish.report.arms import PLAIN_NAMES
from burnish.report.page import render_report, write_report
from burnish.report.plots import svg
from burnish.report.plots.estimates import plot_arms, plot_retention
from burnish.report.plots.history import plot_loss
from burnish.report.record import read_record
from burnish.run_dir import RunDir
from tests.conftest import drawn

from .reading import Page, read_page
from .sample_run import build_sample_run, change_json

ATTACK = "--></style></script><script>alert('$x$')</script><img src=x onerror=alert(1)>\" onload=\"x&amp;"


def read_report(run: RunDir) -> Page:
    return read_page(write_report(run).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    with drawn():
        return write_report(build_sample_run(tmp_path_factory.mktemp("page"))).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return read_page(html)


@pytest.mark.parametrize("task", ["extraction", "classification", "chat", "completion"])
def test_every_task_gives_a_well_formed_page(tmp_path: Path, task: str) -> None:
    page = read_report(build_sample_run(tmp_path, task))
    assert f"Task {task}" in page.text
    assert "Ten examples, side by side" in page.text
    gaps = [] if task == "classification" else ["More data: not measured"]
    gaps += ["Not measured: look-up"] if task != "classification" else ["Not measured: look-up, a simple classifier"]
    assert page.text.lower().count("not measured") == len(gaps) and all(gap in page.text for gap in gaps)


def test_all_plots_of_a_classifier_fit_into_a_well_formed_page(tmp_path: Path, drawing: None) -> None:
    page = read_report(build_sample_run(tmp_path, "classification"))
    plots = [found for tag, found in page.tags if tag == "svg" and found.get("role") == "img"]
    ids = page.attributes("id")
    assert len(plots) == 16 and len(ids) == len(set(ids))  # with accuracy by coverage and the learning curve


def test_steps_that_mended_the_adapter_are_told_where_there_were_any(tmp_path: Path, page: Page) -> None:
    run = build_sample_run(tmp_path)
    training = read_json(run.evaluation)["training"]
    change_json(run.evaluation, training={**training, "mending": {"num_steps": 22, "elapsed_s": 9.5}})
    assert "Steps more for the retention budget 22" in read_report(run).text
    assert "Steps more for" not in page.text


def test_ids_are_unique_and_every_reference_is_met(html: str, page: Page) -> None:
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    wanted = {ref[1:] for ref in page.attributes("href")} | set(page.attributes("aria-labelledby"))
    wanted |= set(re.findall(r"url\(#([^)]+)\)", html))
    assert wanted and wanted <= set(ids)


def test_the_page_needs_nothing_but_itself(html: str, page: Page) -> None:
    assert not re.search(r"https?://|@import|xmlns|<\?xml|<!DOCTYPE svg", html)
    assert not page.attributes("src") and not page.count("link")
    assert all(ref.startswith("#") for ref in page.attributes("href"))
    assert all(target.startswith("#") for target in re.findall(r"url\((.)", html))


def test_the_policy_admits_the_one_script(html: str, page: Page) -> None:
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    policy = next(text for text in page.attributes("content") if "default-src" in text)
    assert f"script-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy


def test_headings_go_down_one_level_at_a_time(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1 and levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_plots_speak_and_follow_the_scheme(html: str, page: Page) -> None:
    plots = [found for tag, found in page.tags if tag == "svg" and found.get("role") == "img"]
    assert len(plots) == 14  # lengths, arms, costs, what to send, loss, retention, scales; each wide and narrow
    assert all(found["aria-label"] for found in plots)
    for plot in re.findall(r'<svg viewBox[^>]*role="img".*?</svg>', html, re.DOTALL):
        assert not re.search(r"#[0-9a-f]{6}\b", plot)
        assert "<text" in plot and "var(--ink)" in plot
    used = set(re.findall(r"var\((--[a-z0-9-]+)\)", html))
    assert used <= set(re.findall(r"(--[a-z0-9-]+):", html))


def test_the_numbers_are_those_of_the_evaluation(tmp_path: Path) -> None:
    run = build_sample_run(tmp_path)
    page, evaluation = read_report(run), read_json(run.evaluation)
    for arm in evaluation["arms"]:
        score = {key: 100 * arm["score"][key] for key in ("value", "low", "high")}
        assert f"{arm['title']} {PLAIN_NAMES[arm['name']]} " in page.text
        assert "{value:.1f} {low:.1f} – {high:.1f}".format(**score) in page.text
        assert f"{arm['prompt_tokens']['mean']:,.0f} max {arm['prompt_tokens']['max']:,}" in page.text
    for comparison in evaluation["comparisons"]:
        wins, ties, losses = (comparison[key] for key in ("num_wins", "num_ties", "num_losses"))
        assert f"+{100 * comparison['difference']['value']:.1f}" in page.text
        assert f"{wins} / {ties} / {losses}" in page.text
    assert "p < 0.001" in page.text and "p = 0.003" in page.text
    assert "+0.009 nats +0.004 – +0.013" in page.text and "the budget is 0.020 nats" in page.text
    assert "13 min 12 s" in page.text and "412,345" in page.text and "1.8 GiB" in page.text
    assert evaluation["verdict"]["headline"] in page.text
    assert hashlib.sha256((run.adapter / "adapter_model.safetensors").read_bytes()).hexdigest() in page.text


def test_every_text_from_outside_is_escaped(tmp_path: Path, drawing: None) -> None:
    run = build_sample_run(tmp_path)
    num_tags = len(read_report(run).tags)
    for path in (run.evaluation, run.environment, run.data / "card.json"):
        write_json(path, _poison(read_json(path)))
    for arm in ("zero_shot", "few_shot", "specialist"):
        rows = read_jsonl(run.predictions(arm))
        write_jsonl(run.predictions(arm), [{**_poison(row), "id": row["id"] + ATTACK} for row in rows])
    write_text(run.recipe, ATTACK)
    html = write_report(run).read_text(encoding="utf-8")
    page = read_page(html)
    assert html.count("<script") == 1 and page.count("script") == 1
    assert page.count("img") == 0 and not page.attributes("onerror") and not page.attributes("onload")
    assert page.text.count(ATTACK) > 100  # it is there, as text
    assert len(page.tags) < num_tags + 150  # a few more answers differ


def _poison(value: Any, key: str = "") -> Any:
    """`value` with the attack behind every text, save for those that burnish itself reads."""
    if isinstance(value, dict):
        return {name: _poison(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_poison(item) for item in value]
    own = {"outcome", "candidate", "baseline", "task", "role", "severity"}
    is_arm_name = value in ("zero_shot", "few_shot", "specialist")
    return value + ATTACK if isinstance(value, str) and key not in own and not is_arm_name else value


def test_what_is_absent_reads_not_measured(tmp_path: Path) -> None:
    run = build_sample_run(tmp_path)
    write_json(run.evaluation, {"schema_version": 1, "arms": []})
    card = run.data / "card.json"
    for path in (run.metrics, run.environment, run.recipe, run.adapter / "adapter_model.safetensors", card):
        path.unlink()
    page = read_report(run)
    assert "The verdict was not measured." in page.text
    for text in ("Retention", "Predictions", "Recipe", "Comparisons", "Packages"):
        assert f"{text}: not measured." in page.text
    assert not re.search(r"\d\.\d|None|Undefined|nan", page.text)


def test_the_data_section_is_the_card(tmp_path: Path) -> None:
    text = read_report(build_sample_run(tmp_path, "classification")).text
    assert "Is my data fit to train on? 2 checks found something to look at." in text
    found = "an earlier row, but for case or a word (13 times); a row that holds an e-mail address (2 times)."
    assert f"Found: {found}" in text
    assert "Prompt tokens, median / 95 % / longest 231 / 312 / 497" in text
    assert "Languages en 1,009, de 12" in text and "Expected training time 12 min 51 s" in text
    assert "tickets.jsonl:71, … Kept on one side of the split." in text  # what was done, in place of what to do
    assert (
        "a row that holds an e-mail address warning: pii_email 2 tickets.jsonl:3, tickets.jsonl:20 Look at them."
        in text
    )
    assert "a UTF-8 byte order mark note: utf8_bom 1 The file begins with it." in text
    assert "Label Train Validation Test delivery 300 40 20" in text


def test_notes_alone_leave_the_data_fit(tmp_path: Path) -> None:
    run = build_sample_run(tmp_path)
    notes = [check for check in read_json(run.data / "card.json")["checks"] if check["severity"] == "note"]
    change_json(run.data / "card.json", checks=notes)
    assert "Is my data fit to train on? Yes: the checks raised no warnings." in read_report(run).text


def test_a_run_of_before_there_were_cards_has_a_page(tmp_path: Path) -> None:
    run = build_sample_run(tmp_path)
    (run.data / "card.json").unlink()
    page = read_report(run)
    assert "Is my data fit to train on? The checks raised 1 warning." in page.text
    assert "#data" not in page.attributes("href") and "data" not in page.attributes("id")


def test_a_card_with_nothing_known_has_a_page(tmp_path: Path) -> None:
    run = build_sample_run(tmp_path)
    write_json(run.data / "card.json", dict.fromkeys(read_json(run.data / "card.json")) | {"checks": []})
    text = read_report(run).text
    assert "Nothing to complain about." in text and "Languages not measured" in text and "None" not in text


def test_a_run_without_retention_names_the_gap_in_both_places(tmp_path: Path) -> None:
    run = build_sample_run(tmp_path)
    change_json(run.evaluation, retention=None)
    text = read_report(run).text
    assert "What was forgotten? Not measured" in text and "Retention: not measured." in text


def test_what_was_kept_is_told(tmp_path: Path) -> None:
    run = build_sample_run(tmp_path)
    text = read_report(run).text
    assert "Instructions followed" in text and "−7.5 points" in text
    assert "the base has no such behaviour to lose" in text
    assert "1 of 2 answers that must stay are the base's, word for word." in text
    assert "Say <b>yes</b>." in text  # as words, not as a tag
    assert "0.8 chosen" in text and "+0.012" in text
    assert "arc_easy" in text and "acc, 200 documents" in text and "wikitext no score of single documents" in text
    assert "Test rows sent to the base" in text and "2 of 240" in text and "85.7 without" in text
    retention = read_json(run.evaluation)["retention"]
    for key in ("instructions", "refusals", "unchanged", "scales", "scale", "task_kl", "general_text_kl"):
        retention.pop(key)  # a run of before
    change_json(run.evaluation, retention=retention, gate=None, lm_eval=[])
    text = read_report(run).text
    assert "On-task gate" not in text and "lm-evaluation-harness" not in text
    assert "Instructions followed" not in text and "the task's answers" not in text and "Top-1 agreement" in text


@pytest.mark.parametrize("arm", ["zero_shot", "specialist"])
def test_a_run_with_one_arm_still_makes_a_page(tmp_path: Path, arm: str) -> None:
    run = build_sample_run(tmp_path)
    arms = [found for found in read_json(run.evaluation)["arms"] if found["name"] == arm]
    change_json(run.evaluation, arms=arms, comparisons=[], verdict=None)
    text = read_report(run).text
    assert "Did it really help, or is it noise? Not measured" in text
    assert "scores higher than" not in text


def test_null_in_place_of_any_value_is_survived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browse, "MAX_ROWS", 1)  # for speed
    tried = set[tuple[Any, ...]]()
    for task, num_rows in {"classification": 24, "extraction": 4, "chat": 4}.items():
        run = build_sample_run(tmp_path, task, num_rows)
        record = read_record(run)
        for path in [path for path in _paths(record.evaluation) if path not in tried]:
            if reduce(lambda value, key: value[key], path, record.evaluation) is not None:
                tried.add(path)  # in the other tasks it is read alike
            copy = json.loads(json.dumps(record.evaluation))
            reduce(lambda value, key: value[key], path[:-1], copy)[path[-1]] = None
            predictions = record.predictions if copy["arms"] else {}
            html = render_report(replace(record, evaluation=copy, predictions=predictions))
            text = re.sub(r"<(style|script)>.*?</\1>|<[^>]*>", " ", html, flags=re.DOTALL)
            assert "None" not in text and "nan" not in text.split(), path


def _paths(evaluation: Any) -> list[tuple[Any, ...]]:
    """Every key of the evaluation, down to what an arm, a slice or a forecast is made of; names must be there."""
    parts = [("retention",), ("training",), ("data",), ("verdict",), ("metric",), ("slices",), ("errors",)]
    parts += [("likelihood",), ("style",), ("more_data",), ("errors", "worst"), ("errors", "changes", 0)]
    parts += [("slices", "slices", 0), ("more_data", "forecasts", 0), ("more_data", "weak_spots", 0)]
    parts += [("arms", 2), *(("arms", 2, kind) for kind in ("classification", "extraction", "text"))]
    parts += [("arms", 2, "classification", "risk_coverage"), ("arms", 2, "classification", "calibration")]
    parts += [("arms", 2, "classification", "labels", 0), ("arms", 2, "classification", "risk_coverage", "goals", 0)]
    names = {"name", "candidate", "baseline", "goal"}
    found: list[tuple[Any, ...]] = [(key,) for key in evaluation]
    for part in parts:
        try:
            value = reduce(lambda value, key: value[key], part, evaluation)
        except (KeyError, TypeError, IndexError):
            continue
        found += [(*part, key) for key in value or () if key not in names]
    return found


def test_an_estimate_without_an_interval_is_drawn_and_shown(
    tmp_path: Path, drawing: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = build_sample_run(tmp_path)
    evaluation = read_json(run.evaluation)
    for estimate in (*(arm["score"] for arm in evaluation["arms"]), evaluation["retention"]["kl"]):
        estimate |= {"low": None, "high": None, "confidence": None}
    evaluation["retention"]["budget"] = None
    write_json(run.evaluation, evaluation)
    assert plot_arms(evaluation["arms"], "score", is_share=True) and plot_retention(evaluation["retention"])
    monkeypatch.setattr(svg, "_draw_svg", lambda *_: '<svg viewBox="0 0 1 1"></svg>')  # for speed
    text = read_report(run).text
    assert "0.013 nats not measured" in text
    assert "the limit is" not in text and "no budget is set" in text


@pytest.mark.parametrize(
    ("outcome", "badge", "second", "third"),
    [
        ("better", "Better", "No: those tried do less well.", "It helped, by more than noise."),
        ("worse", "Worse", "Yes: one of them is better.", "It did harm, by more than noise."),
        ("not_shown", "Not shown", "Perhaps: no difference was shown.", "Cannot tell it from noise."),
    ],
)
def test_the_answers_follow_the_verdict(tmp_path: Path, outcome: str, badge: str, second: str, third: str) -> None:
    run = build_sample_run(tmp_path)
    verdict = {"outcome": outcome, "headline": "A headline.", "reasons": [], "rows_needed": 1240}
    change_json(run.evaluation, verdict=verdict)
    html = write_report(run).read_text(encoding="utf-8")
    text = read_page(html).text
    assert f"<title>{badge} ·" in html and "A headline." in text and second in text and third in text
    assert "About 1,240 test rows would show a gain of this size." in text


def test_equal_files_give_equal_bytes_whatever_the_users_matplotlib_says(tmp_path: Path, drawing: None) -> None:
    first = write_report(build_sample_run(tmp_path / "a")).read_bytes()
    with matplotlib.rc_context({"axes.grid": True, "legend.fontsize": 30, "lines.markeredgewidth": 9}):
        second = write_report(build_sample_run(tmp_path / "b")).read_bytes()
    assert first == second


def test_a_dollar_in_a_title_is_a_dollar(tmp_path: Path, drawing: None) -> None:
    run = build_sample_run(tmp_path)
    arms = read_json(run.evaluation)["arms"]
    arms[0]["title"] = r"$a_b$ or $\x$"
    plot = plot_arms(arms, "score", is_share=True)
    assert plot is not None and r"$a_b$ or $\x$" in re.findall(r"<text[^>]*>([^<]*)</text>", plot.wide)


def test_many_steps_are_thinned_out_and_say_so(drawing: None) -> None:
    plot = plot_loss([{"step": step, "loss_per_token": 1 / step} for step in range(1, 5001)], {})
    assert plot is not None and "training, mean of 21 steps" in plot.wide and len(plot.wide) < 30_000


def test_an_unfinished_run_is_refused(tmp_path: Path) -> None:
    run = build_sample_run(tmp_path)
    run.evaluation.unlink()
    with pytest.raises(RunError, match=r"not finished. Go on with `burnish run --resume"):
        write_report(run)
    assert not run.report.exists()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    run = build_sample_run(tmp_path)
    run.metrics.write_text('{"step": 1}\n{"step"', encoding="utf-8")
    with pytest.raises(RunError, match=r"metrics.jsonl.*: this is not JSON. The file is damaged"):
        write_report(run)
