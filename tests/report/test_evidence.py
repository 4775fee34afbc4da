"""The sections on metrics, labels, slices, text and more data say what the evaluation says, and leave nothing out."""

import re
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from burnish.files import read_json
from burnish.report.page import write_report
from burnish.report.plots.confidence import plot_risk_coverage
from burnish.report.plots.costs import plot_costs
from burnish.report.plots.more_data import plot_learning_curve
from burnish.report.tables.labels import (
    build_confusions,
    build_fields_table,
    build_goals_table,
    build_label_costs_table,
    build_pairs_table,
)
from burnish.report.tables.measures import build_measures_table
from burnish.report.tables.more_data import build_weak_spots_table, forecast_lines
from burnish.report.tables.slices import build_changes_table, build_slices_table
from burnish.report.tables.table import Cell, Table
from burnish.report.tables.text import build_likelihood_table, build_style_table

from .reading import read_page
from .sample_run import ALL_ARMS, build_sample_run, change_json

Json = dict[str, Any]
FIELD_MEASURES = ["json_validity", "precision", "recall", "f1", "invented_fields", "invented_values"]
NEW_KEYS = ("slices", "errors", "likelihood", "style", "more_data", "leader_comparisons")


@cache
def evaluation_of(task: str) -> Json:
    with TemporaryDirectory() as folder:
        return read_json(build_sample_run(Path(folder), task, arms=tuple(ALL_ARMS)).evaluation)  # type: ignore[no-any-return]


def texts(table: Table | None) -> list[list[str]]:
    assert table is not None
    return [[cell.text for cell in row] for row in table.rows]


def by_arm(table: Table) -> list[list[Cell]]:
    """The columns: first what is measured, then each arm with its title."""
    heads = (Cell(title) for title in table.columns)
    return [[head, *cells] for head, cells in zip(heads, zip(*table.rows, strict=True), strict=True)]


def points(share: float | None) -> str:
    return "not measured" if share is None else f"{100 * share:.1f}"


class TestMeasures:
    @pytest.mark.parametrize(
        ("task", "kind", "names"),
        [
            ("extraction", "extraction", FIELD_MEASURES),
            ("chat", "text", ["exact_match", "normalised_match", "chrf", "rouge_l", "length_ratio", "repetition"]),
        ],
    )
    def test_every_arm_has_every_estimate_with_its_interval(self, task: str, kind: str, names: list[str]) -> None:
        evaluation = evaluation_of(task)
        table = build_measures_table(evaluation)
        assert table is not None
        measures, *columns = by_arm(table)
        labels = [cell.text for cell in measures]
        sure = labels.index("Calibration error") if kind == "extraction" else len(labels)
        for arm, row in zip(evaluation["arms"], columns, strict=True):
            values = [cell.text for cell in row[:sure]]
            assert values == [arm["title"], *(points(arm[kind][name]["value"]) for name in names)]
            if kind == "extraction":
                assert row[sure].text == points(arm[kind]["calibration"]["ece"])
            for name, cell in zip(names, row[1:sure], strict=True):
                if arm[kind][name]["low"] is not None:
                    assert cell.note.startswith(f"{points(arm[kind][name]['low'])} – {points(arm[kind][name]['high'])}")

    def test_labels_have_macro_f1_and_calibration(self) -> None:
        evaluation = evaluation_of("classification")
        table = build_measures_table(evaluation)
        assert table is not None
        for arm, row in zip(evaluation["arms"], by_arm(table)[1:], strict=True):
            measured = arm["classification"]
            assert row[1].text == points(measured["macro_f1"])
            assert row[2].text == points(measured["calibration"]["ece"])
            chance = f"by chance up to {points(measured['calibration']['ece_if_calibrated']['high'])}"
            before = measured["calibration"]["before"]
            assert (before is None) == (arm["name"] != "specialist")
            own = f"; the model's own probability: {points(before['ece'])}" if before else ""
            assert row[2].note == chance + own

    def test_a_share_of_nothing_is_not_a_gap_in_the_measurement(self, tmp_path: Path) -> None:
        run = build_sample_run(tmp_path)
        arms = read_json(run.evaluation)["arms"]
        arms[0]["extraction"]["precision"] = {"value": None, "low": None, "high": None}
        arms[1]["extraction"]["precision"] = None
        change_json(run.evaluation, arms=arms)
        table = build_measures_table(read_json(run.evaluation))
        assert table is not None
        precision = next(row for row in table.rows if row[0].text == "Precision")
        assert [cell.text for cell in precision[1:3]] == ["–", "not measured"]

    def test_metrics_of_the_team_have_a_row(self, tmp_path: Path) -> None:
        run = build_sample_run(tmp_path, "chat")
        arms = read_json(run.evaluation)["arms"]
        arms[0]["custom"] = {"scores:tone": {"value": 0.25, "low": 0.125, "high": 0.375}}
        change_json(run.evaluation, arms=arms)
        table = build_measures_table(read_json(run.evaluation))
        assert table is not None
        assert [cell.text for cell in table.rows[-1]] == ["Scores:tone", "25.0", "not measured", "not measured"]
        assert table.rows[-1][1].note == "12.5 – 37.5"


class TestLabels:
    def test_the_costliest_label_comes_first_and_none_is_lost(self) -> None:
        evaluation = evaluation_of("classification")
        labels = {label["name"]: label for label in evaluation["arms"][6]["classification"]["labels"]}
        rows = texts(build_label_costs_table(evaluation))
        costs = [int(missed) + int(wrong) for _, _, missed, wrong, *_ in rows]
        assert costs == sorted(costs, reverse=True) and costs[0] > 0
        assert {row[0] for row in rows} == set(labels)
        for name, num_rows, *_, recall, f1, _ in rows:
            assert (num_rows, f1) == (str(labels[name]["num_rows"]), points(labels[name]["f1"]))
            assert recall == ("–" if labels[name]["recall"] is None else points(labels[name]["recall"]))

    def test_the_matrix_has_every_count(self) -> None:
        evaluation = evaluation_of("classification")
        specialist, other = build_confusions(evaluation)
        best = max(evaluation["arms"][:6], key=lambda arm: arm["score"]["value"])
        told = evaluation["arms"][6]["classification"]["confusion"]
        assert (specialist.title, other.title) == ("Specialist", best["title"])
        assert specialist.labels == tuple(told["labels"])
        assert [[count for count, _ in row] for row in specialist.rows] == told["matrix"]
        shares = [sum(share for _, share in row) for row in specialist.rows]
        assert shares == [pytest.approx(min(1, sum(counts))) for counts in told["matrix"]]

    def test_too_many_labels_for_a_matrix_give_the_worst_pairs(self, tmp_path: Path) -> None:
        run = build_sample_run(tmp_path, "classification")
        arms = read_json(run.evaluation)["arms"]
        for arm in arms:
            arm["classification"]["confusion"]["matrix"] = None
        evaluation = read_json(run.evaluation) | {"arms": arms}
        pairs = arms[2]["classification"]["confusion"]["worst_pairs"]
        assert build_confusions(evaluation) == () and pairs
        assert texts(build_pairs_table(evaluation)) == [
            [p["target"], p["prediction"], str(p["num_rows"]), f"{100 * p['share_of_target']:.1f} %"] for p in pairs
        ]
        assert build_pairs_table(evaluation_of("classification")) is None  # the matrix shows them

    def test_goals_say_what_to_send_and_what_is_not_shown(self) -> None:
        evaluation = evaluation_of("classification")
        table = build_goals_table(evaluation)
        assert table is not None and table.columns == ("Arm", "For 99 % right", "For 95 % right", "For 90 % right")
        for arm, row in zip(evaluation["arms"], table.rows, strict=True):
            for goal, cell in zip(arm["classification"]["risk_coverage"]["goals"], row[1:], strict=True):
                if goal["threshold"] is None:
                    assert cell.text == "cannot be met"
                    continue
                share = f"{100 * goal['sent_share']:.1f} %" if goal["threshold"] else "nothing"
                assert cell.text == f"send {share}"
                assert cell.note.endswith("not shown") is not goal["is_shown"]
        assert "limits chosen on 96 validation rows" in {row[0].note for row in table.rows}

    def test_fields_that_are_missed_most_come_first(self) -> None:
        evaluation = evaluation_of("extraction")
        fields = {field["name"]: field for field in evaluation["arms"][6]["extraction"]["fields"]}
        rows = texts(build_fields_table(evaluation))
        missed = [fields[row[0]]["num_rows"] * (1 - fields[row[0]]["recall"]) for row in rows]
        assert missed == sorted(missed, reverse=True) and {row[0] for row in rows} == set(fields)


def test_slices_have_both_scores_the_difference_and_its_adjusted_p() -> None:
    evaluation = evaluation_of("classification")
    found = evaluation["slices"]["slices"]
    table = build_slices_table(evaluation)
    assert table is not None and len(found) == len(table.rows) > 4 and table.caption == evaluation["slices"]["note"]
    for part, row in zip(found, table.rows, strict=True):
        assert [cell.text for cell in row[:4]] == [
            part["name"],
            str(part["num_rows"]),
            points(part["baseline"]["value"]),
            points(part["candidate"]["value"]),
        ]
        assert row[5].text in (f"p = {part['p_value_adjusted']:.3f}", "p < 0.001")


def test_changes_are_counted_against_every_arm() -> None:
    evaluation = evaluation_of("classification")
    changes = evaluation["errors"]["changes"]
    assert [row[1:] for row in texts(build_changes_table(evaluation))] == [
        [str(len(change["fixed"])), str(len(change["broken"]))] for change in changes
    ]


def test_likelihood_and_style_are_told() -> None:
    evaluation = evaluation_of("chat")
    likelihood = evaluation["likelihood"]
    rows = texts(build_likelihood_table(likelihood))
    assert [row[1] for row in rows] == [
        *(f"{likelihood[key]['value']:.3f}" for key in ("base", "specialist", "gain")),
        f"{100 * likelihood['win_rate']['value']:.1f} %",
    ]
    style = texts(build_style_table(evaluation))
    assert style[0][1:] == ["91.2 %", "AUC 0.967"] and style[1][1] == "8.3 %"
    assert [row[:2] for row in style[2:]] == [
        ["Specialist: passes for the team", "87.5 %"],
        ["Targets themselves: passes for the team", "93.8 %"],
    ]


def test_more_data_has_forecasts_weak_spots_and_a_curve() -> None:
    more_data = evaluation_of("classification")["more_data"]
    assert forecast_lines(more_data)[0] == "240 more rows: +1.8 points, 90 % interval 0.4 to 3.1."
    assert texts(build_weak_spots_table(more_data))[0] == ["return", "60", "50.0", "31.0 %"]
    plot = plot_learning_curve(more_data)
    assert plot is not None and "768 rows 81.1" in plot.description and "3,840 rows 88.2" in plot.description


def test_a_forecast_that_cannot_be_told_is_not_drawn(drawing: None) -> None:
    more_data = evaluation_of("classification")["more_data"]
    none = {"value": None, "low": None, "high": None}
    untold = [{**forecast, "score": none, "text": "Cannot tell: x."} for forecast in more_data["forecasts"]]
    plot = plot_learning_curve(more_data | {"forecasts": untold})
    assert plot is not None and "Forecast: none." in plot.description and "forecast, with" not in plot.wide
    assert forecast_lines(more_data | {"forecasts": untold}) == ("Cannot tell: x.",)


@pytest.mark.usefixtures("drawing")
class TestPlots:
    def test_eight_arms_have_eight_colours_and_names_in_every_plot(self) -> None:
        evaluation = evaluation_of("classification")
        for plot in (plot_risk_coverage(evaluation), plot_costs(evaluation)):
            assert plot is not None
            for drawn in (plot.wide, plot.narrow):
                assert all(f"var(--arm-{i})" in drawn for i in range(8))
                words = " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", drawn))
                assert all(title in words for title in ALL_ARMS.values())

    def test_the_goals_of_the_specialist_are_marked(self) -> None:
        evaluation = evaluation_of("classification")
        goals = evaluation["arms"][6]["classification"]["risk_coverage"]["goals"]
        plot = plot_risk_coverage(evaluation)
        shares = [f"send {100 * goal['sent_share']:.1f} %" for goal in goals if goal["num_answered"]]
        assert plot is not None and shares and all(share in plot.wide for share in shares)

    def test_without_times_prompt_tokens_are_the_cost(self) -> None:
        evaluation = evaluation_of("classification")
        arms = [{**arm, "request": None} for arm in evaluation["arms"]]
        plot = plot_costs(evaluation | {"arms": arms})
        assert plot is not None and "prompt tokens read for an answer" in plot.description
        assert "Few-shot prompt {:.1f} at 1,184".format(100 * arms[2]["score"]["value"]) in plot.description

    def test_without_data_there_is_no_plot(self) -> None:
        assert plot_risk_coverage(evaluation_of("chat")) is None
        evaluation = evaluation_of("extraction")
        assert plot_risk_coverage(evaluation) is not None
        assert plot_learning_curve({}) is None
        assert plot_costs(evaluation | {"arms": evaluation["arms"][:1]}) is None


@pytest.mark.parametrize("task", ["extraction", "classification", "chat"])
def test_a_run_of_before_this_evidence_has_a_page(tmp_path: Path, task: str) -> None:
    run = build_sample_run(tmp_path, task)
    kinds = ("classification", "extraction", "text", "custom")
    arms = [{k: v for k, v in arm.items() if k not in kinds} for arm in read_json(run.evaluation)["arms"]]
    verdict = {"outcome": "better", "headline": "A headline.", "reasons": [], "rows_needed": None}
    change_json(run.evaluation, arms=arms, verdict=verdict, **dict.fromkeys(NEW_KEYS, ...))
    page = read_page(write_report(run).read_text(encoding="utf-8"))
    assert "Fine-tuning helped." in page.text and "Slices: not measured." in page.text
    assert "More data: not measured." in page.text and "The worst of each arm" not in page.text
    assert "None" not in page.text
