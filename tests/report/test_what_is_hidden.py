"""What the page leaves out, folds or says in one sentence, and what it does not let a line end in."""

import re
from pathlib import Path

import pytest

from burnish.files import read_json
from burnish.report.notes import find_weaker, spell_forms, spell_left
from burnish.report.page import unbroken, write_report
from burnish.report.plots.confidence import plot_risk_coverage
from burnish.report.plots.estimates import plot_retention
from burnish.report.record import read_record
from burnish.report.tables.labels import build_goals_table, spell_unmet
from burnish.report.tables.slices import build_changes_table
from burnish.run_dir import RunDir

from .reading import Page, read_page
from .sample_run import ALL_ARMS, build_sample_run, change_json
from .test_first_screen import first_screen


def read_report(run: RunDir) -> Page:
    return read_page(write_report(run).read_text(encoding="utf-8"))


def never_right(run: RunDir) -> None:
    """No arm is right with any of its answers."""
    arms = read_json(run.evaluation)["arms"]
    for arm in arms:
        found = arm["extraction"]["risk_coverage"]
        for point in found["curve"]:
            point["accuracy"] = 0.0
        for goal in found["goals"]:
            goal |= {"threshold": None, "sent_share": 1.0, "num_answered": 0, "accuracy": None, "is_shown": False}
    change_json(run.evaluation, arms=arms)


def test_goals_that_nobody_meets_are_one_sentence(tmp_path: Path) -> None:
    run = build_sample_run(tmp_path)
    never_right(run)
    evaluation = read_json(run.evaluation)
    assert build_goals_table(evaluation) is None and plot_risk_coverage(evaluation) is None
    page = read_report(run)
    assert "cannot be met" not in page.text
    assert page.text.count("Nothing can be left to any arm. Not even the surest answers are 90 % right in all") == 1
    assert "Nothing can be left to the fine-tuned model: even its surest answers are less than 90 %" in page.text


def test_an_arm_that_meets_no_goal_is_named_below_those_that_do(tmp_path: Path) -> None:
    run = build_sample_run(tmp_path)
    arms = read_json(run.evaluation)["arms"]
    for goal in arms[0]["extraction"]["risk_coverage"]["goals"]:
        goal["threshold"] = None
    change_json(run.evaluation, arms=arms)
    evaluation = read_json(run.evaluation)
    table = build_goals_table(evaluation)
    assert table is not None and [row[0].text for row in table.rows] == ["Few-shot prompt", "Specialist"]
    assert spell_unmet(evaluation).startswith("Nothing can be left to these arms: Zero-shot prompt. Not even the")


@pytest.mark.parametrize(
    ("goals", "said"),
    [
        ([(0.99, 0.9, 10, 1.0, True), (0.9, 0.3, 70, 0.97, True)],
         "It can answer 70 % of the messages at 90 % right (or 10 % at 99 %) and leave the rest to a person."),
        ([(0.99, 0.9, 10, 1.0, False), (0.9, 0.78, 22, 0.95, True)],
         "It can answer 22 % of the messages at 90 % right and leave the rest to a person."),
        ([(0.9, 0.0, 100, 0.97, True)], "It can answer all messages at 90 % right."),
        ([(0.99, 1.0, 0, None, False), (0.9, 0.8, 20, 0.95, False)],
         "Nothing can be left to it yet: of its surest answers (20 % of all) 95 % were right, but they are too few to "
         "show 90 %."),
        ([(0.99, 1.0, 0, None, False), (0.9, 1.0, 0, None, False)],
         "Nothing can be left to it: even its surest answers are less than 90 % right."),
    ],
)  # fmt: skip
def test_what_can_be_left_to_it_is_a_sentence(
    tmp_path: Path, goals: list[tuple[float, float, int, float | None, bool]], said: str
) -> None:
    evaluation = read_json(build_sample_run(tmp_path, "classification").evaluation)
    keys = ("goal", "sent_share", "num_answered", "accuracy", "is_shown")
    own = evaluation["arms"][2]["classification"]["risk_coverage"]
    own["goals"] = [dict(zip(keys, goal, strict=True)) | {"threshold": 0.5} for goal in goals]
    assert spell_left(evaluation) == said.replace("It can", "The fine-tuned model can").replace(
        "left to it", "left to the fine-tuned model"
    )


def test_parts_in_which_it_is_behind_stand_on_the_first_screen(tmp_path: Path) -> None:
    run = build_sample_run(tmp_path)
    text = first_screen(run)
    assert "A simpler way is better in 2 parts:" in text
    assert "wants_refund: 84.0, and a prompt with solved examples 88.0 (shown)" in text
    assert "order_id: 81.0, and a prompt with solved examples 83.0 (within chance)" in text
    change_json(run.evaluation, weaker_parts=[], equal_parts=["category", "urgency"])
    text = first_screen(run)
    assert "A simpler way is better" not in text
    assert "It is no better than a simpler way in category, urgency." in text


def test_of_a_run_of_before_they_are_found_in_the_breakdown(tmp_path: Path) -> None:
    run = build_sample_run(tmp_path)
    arms = read_json(run.evaluation)["arms"]
    arms[2]["breakdown"][1]["score"] = 0.15
    arms[1]["breakdown"][1]["score"] = 0.17
    for arm in arms:
        del arm["num_fully_right"]
    change_json(run.evaluation, arms=arms, weaker_parts=..., equal_parts=...)
    record = read_record(run)
    (part,) = [part for part in find_weaker(record.evaluation) if part["name"] == "urgency"]
    assert (part["score"], part["baseline_score"], part["baseline"]) == (0.15, 0.17, "few_shot")
    assert "urgency: 15.0, and a prompt with solved examples 17.0 (not tested)" in first_screen(run)
    right = sum(row["score"] >= 1 for row in record.predictions["specialist"])
    assert f"Answers of it fully right {right} of 48 in all fields" in first_screen(run)


def test_the_two_forms_of_the_specialist_are_compared_in_words(tmp_path: Path) -> None:
    evaluation = read_json(build_sample_run(tmp_path, arms=tuple(ALL_ARMS)).evaluation)
    scores = {arm["name"]: f"{100 * arm['score']['value']:.1f}" for arm in evaluation["arms"]}
    assert spell_forms(evaluation) == (
        f"Held to a schema, the specialist can write nothing else: it scores {scores['constrained']} against "
        f"{scores['specialist']}, one request takes 0.45 s against 0.45 s, it gives 46 answers a minute against 46."
    )
    assert spell_forms(read_json(build_sample_run(tmp_path / "other").evaluation)) == ""


def test_the_budget_is_drawn_at_general_text_only(tmp_path: Path, drawing: None) -> None:
    plot = plot_retention(read_json(build_sample_run(tmp_path).evaluation)["retention"])
    assert plot is not None
    height = float(re.findall(r'viewBox="0 0 [\d.]+ ([\d.]+)"', plot.wide)[0])
    (path,) = (path for path in re.findall(r"<path[^>]*>", plot.wide) if "stroke: var(--bad)" in path)
    x, top, other_x, bottom = map(float, re.findall(r"\d+(?:\.\d+)?", path[: path.index("clip-path")]))
    assert x == other_x and 0 < abs(top - bottom) < height / 3  # there are three rows


def test_rows_that_changed_nothing_have_no_table(tmp_path: Path) -> None:
    evaluation = read_json(build_sample_run(tmp_path).evaluation)
    for change in evaluation["errors"]["changes"]:
        change |= {"fixed": [], "broken": []}
    assert build_changes_table(evaluation) is None


def test_long_lists_are_folded(tmp_path: Path) -> None:
    page = read_report(build_sample_run(tmp_path, num_rows=48))
    assert "7 more examples" in page.text
    assert "Rows 21 to 40" in page.text and "Rows 41 to 48" in page.text and "Rows 1 to" not in page.text
    folds = [found.get("class") for tag, found in page.tags if tag == "details"]
    assert folds.count("batch") == 2 and folds.count("row") == 48


def test_checks_that_are_only_notes_are_counted_too(tmp_path: Path) -> None:
    text = first_screen(build_sample_run(tmp_path))  # two warnings and a note, as the table has it
    assert "2 checks found something to look at." in text
    assert "1 check more found something that is good to know." in text


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("p < 0.001", ["p < 0.001"]),
        ("at p = 0.003; 0.0 % right", ["p = 0.003", "0.0 %"]),
        ("takes 4.1 s (35.5 – 42.5)", ["4.1 s", "35.5 – 42.5"]),
        ("0 of 72 answers", ["0 of 72"]),
        ("cup 4 sizes", []),
    ],
)
def test_no_line_ends_within_a_figure(text: str, kept: list[str]) -> None:
    expected = text
    for part in kept:
        expected = expected.replace(part, part.replace(" ", "\N{NO-BREAK SPACE}"))
    assert unbroken(text) == expected
