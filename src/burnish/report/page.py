"""`write_report`: a finished run folder in, one HTML page out that needs nothing but itself."""

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from burnish.files import write_text
from burnish.report import facts
from burnish.report.arms import has_share_metric, score_heading
from burnish.report.browse import build_browser
from burnish.report.examples import choose_examples, count_kinds
from burnish.report.format import NOT_MEASURED
from burnish.report.notes import NUM_OPEN, spell_equal, spell_forms, spell_left, spell_weaker
from burnish.report.plots.confidence import plot_risk_coverage
from burnish.report.plots.costs import plot_costs
from burnish.report.plots.estimates import plot_arms, plot_retention, plot_scales
from burnish.report.plots.history import plot_lengths, plot_loss
from burnish.report.plots.more_data import plot_learning_curve
from burnish.report.questions import answer_questions
from burnish.report.record import Json, RunRecord, dig, items, read_record
from burnish.report.tables import arms, data, labels, more_data, slices, text
from burnish.report.tables.measures import build_measures_table
from burnish.report.tables.retention import (
    build_behaviour_table,
    build_gate_table,
    build_harness_table,
    build_retention_table,
    build_scales_table,
    build_unchanged_table,
)
from burnish.report.verdict import (
    build_figures,
    call_of,
    spell_call,
    spell_enough,
    spell_finding,
    spell_replacement,
    spell_unit,
    spell_use,
)
from burnish.run_dir import RunDir

BADGES = {"better": "Better", "worse": "Worse", "not_shown": "Not shown"}
TONES = {"ship": "good", "do_not_ship": "bad", "cannot_tell": "open", "needs_target": "open"}
NO_BREAK = "\N{NO-BREAK SPACE}"
UNBROKEN = re.compile(r"\bp [<=] \d|\d (?:%|ms\b|s\b|min\b)|\d (?:%|ms|s)? ?– [+\N{MINUS SIGN}]?\d|\d of \d")
TONES_OF_OUTCOMES = {"better": "good", "worse": "bad", "not_shown": "open"}


def write_report(run: RunDir) -> Path:
    """Write `report.html` into a finished run's folder and return its path; equal files give equal bytes.

    Raises:
        RunError: the run is not finished, or one of its files is damaged.
        StorageError: the page cannot be written.
    """
    write_text(run.report, render_report(read_record(run)))
    return run.report


def render_report(record: RunRecord) -> str:
    """The whole page as HTML."""
    return _environment().get_template("report.html.jinja").render(_assets() | _context(record))


@cache  # compiling the templates takes longer than filling them in
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("burnish.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["unbroken"] = unbroken
    return environment


def unbroken(text: str) -> str:
    """With spaces that no line ends at: "p < 0.001", "0.0 %", "4.1 s", "35.5 – 42.5"."""
    return UNBROKEN.sub(lambda found: found[0].replace(" ", NO_BREAK), str(text))


def _assets() -> dict[str, Any]:
    """Style and script for inlining; the page's policy admits this one script by its hash and no other."""
    folder = files("burnish.report") / "templates"
    style, script = ((folder / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return {"style": Markup(style), "script": Markup(script), "script_hash": f"sha256-{digest}"}


def _context(record: RunRecord) -> dict[str, Any]:
    evaluation = record.evaluation
    return {
        "NOT_MEASURED": NOT_MEASURED,
        "task": str(dig(evaluation, "task") or NOT_MEASURED),
        "data_name": str(dig(evaluation, "data", "train") or NOT_MEASURED),
        **_first_screen(record),
        **_data(record),
        **_test(evaluation),
        **_task(evaluation),
        **_training(record),
        "examples": choose_examples(record),
        "kind_counts": count_kinds(record),
        "changes_table": slices.build_changes_table(evaluation),
        "browser": build_browser(record),
        "recipe": record.recipe,
        "environment": facts.environment_facts(record),
        "fingerprints": facts.fingerprints(record),
        "packages": sorted((dig(record.environment, "packages") or {}).items()),
        "commands": facts.next_commands(record),
        "verify_commands": facts.verify_commands(record),
    }


def _first_screen(record: RunRecord) -> dict[str, Any]:
    evaluation = record.evaluation
    outcome = dig(evaluation, "verdict", "outcome")
    tone = TONES.get(call_of(evaluation)) or TONES_OF_OUTCOMES.get(outcome, "none")
    return {
        "header": facts.header_facts(record),
        "badge": BADGES.get(outcome, NOT_MEASURED.capitalize()),
        "tone": tone,
        "call": spell_call(evaluation),
        "finding": spell_finding(evaluation),
        "use": spell_use(evaluation),
        "enough": spell_enough(evaluation),
        "left": spell_left(evaluation),
        "weaker": spell_weaker(evaluation),
        "equal": spell_equal(evaluation),
        "num_weaker_open": NUM_OPEN,
        "replacement": spell_replacement(evaluation),
        "figures": build_figures(evaluation),
        "unit": spell_unit(evaluation),
        "questions": answer_questions(record),
        "headline": str(dig(evaluation, "verdict", "headline") or "The verdict was not measured."),
        "reasons": items(evaluation, "verdict", "reasons"),
        "advice": str(dig(evaluation, "verdict", "advice") or ""),
    }


def _data(record: RunRecord) -> dict[str, Any]:
    return {
        "has_card": bool(record.card),
        "lengths_plot": plot_lengths(record.card),
        "data_facts": facts.data_facts(record),
        "checks_table": data.build_checks_table(record.card),
        "labels_table": data.build_labels_table(record.card),
    }


def _test(evaluation: Json) -> dict[str, Any]:
    label, is_share = score_heading(evaluation), has_share_metric(evaluation)
    return {
        "metric_label": label,
        "metric_explanation": dig(evaluation, "metric", "explanation"),
        "arms_plot": plot_arms(items(evaluation, "arms"), label, is_share=is_share),
        "arms_table": arms.build_arms_table(evaluation),
        "forms": spell_forms(evaluation),
        "costs_plot": plot_costs(evaluation),
        "measures_table": build_measures_table(evaluation),
        "comparisons_table": arms.build_comparisons_table(evaluation),
        "breakdown_table": arms.build_breakdown_table(evaluation),
        "test_facts": facts.test_facts(evaluation),
    }


def _task(evaluation: Json) -> dict[str, Any]:
    """What the task's own metrics say beyond the score."""
    forecast = dig(evaluation, "more_data")
    return {
        "label_costs_table": labels.build_label_costs_table(evaluation),
        "fields_table": labels.build_fields_table(evaluation),
        "confusions": labels.build_confusions(evaluation),
        "pairs_table": labels.build_pairs_table(evaluation),
        "risk_plot": plot_risk_coverage(evaluation),
        "goals_table": labels.build_goals_table(evaluation),
        "unmet": labels.spell_unmet(evaluation),
        "calibration_table": labels.build_calibration_table(evaluation),
        "likelihood_table": text.build_likelihood_table(dig(evaluation, "likelihood")),
        "style_table": text.build_style_table(evaluation),
        "slices_table": slices.build_slices_table(evaluation),
        "learning_plot": plot_learning_curve(forecast or {}),
        "forecasts": more_data.forecast_lines(forecast),
        "stands_for": str(dig(forecast, "stands_for") or NOT_MEASURED),
        "weak_spots_table": more_data.build_weak_spots_table(forecast),
    }


def _training(record: RunRecord) -> dict[str, Any]:
    training, retention, gate = (dig(record.evaluation, key) for key in ("training", "retention", "gate"))
    return {
        "training_facts": facts.training_facts(record.evaluation),
        "loss_plot": plot_loss(record.metrics, training),
        "retention_plot": plot_retention(retention) if retention else None,
        "retention_table": build_retention_table(retention) if retention else None,
        "behaviour_table": build_behaviour_table(retention) if retention else None,
        "scales_table": build_scales_table(retention) if retention else None,
        "scales_plot": plot_scales(retention) if retention else None,
        "harness_table": build_harness_table(items(record.evaluation, "lm_eval")),
        "gate_table": build_gate_table(gate, score_heading(record.evaluation)) if gate else None,
        "unchanged_table": build_unchanged_table(retention) if retention else None,
        "retention_counts": facts.retention_counts(retention),
    }
