"""`write_report`: a finished run folder in, one HTML page out that needs nothing but itself."""

import base64
import hashlib
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from burnish.files import write_text
from burnish.report import facts
from burnish.report.examples import choose_examples, count_kinds
from burnish.report.format import NOT_MEASURED, format_count
from burnish.report.plots import plot_arms, plot_lengths, plot_loss, plot_retention
from burnish.report.questions import answer_questions, spell_recommendation
from burnish.report.record import RunRecord, dig, items, read_record
from burnish.report.tables import (
    build_arms_table,
    build_breakdown_table,
    build_checks_table,
    build_comparisons_table,
    build_labels_table,
    build_retention_table,
    has_share_metric,
    score_heading,
)
from burnish.run_dir import RunDir

BADGES = {"better": "Better", "worse": "Worse", "not_shown": "Not shown"}


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
    environment = Environment(
        loader=PackageLoader("burnish.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("report.html.jinja").render(_assets() | _context(record))


def _assets() -> dict[str, Any]:
    """Style and script for inlining; the page's policy admits this one script by its hash and no other."""
    folder = files("burnish.report") / "templates"
    style, script = ((folder / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return {"style": Markup(style), "script": Markup(script), "script_hash": f"sha256-{digest}"}


def _context(record: RunRecord) -> dict[str, Any]:
    evaluation, training = record.evaluation, dig(record.evaluation, "training")
    retention, arms = dig(evaluation, "retention"), items(evaluation, "arms")
    label, is_share = score_heading(evaluation), has_share_metric(evaluation)
    outcome = dig(evaluation, "verdict", "outcome")
    return {
        "NOT_MEASURED": NOT_MEASURED,
        "task": str(dig(evaluation, "task") or NOT_MEASURED),
        "data_name": str(dig(evaluation, "data", "train") or NOT_MEASURED),
        "header": facts.header_facts(record),
        "outcome": outcome if outcome in BADGES else "none",
        "badge": BADGES.get(outcome, NOT_MEASURED.capitalize()),
        "headline": str(dig(evaluation, "verdict", "headline") or "The verdict was not measured."),
        "recommendation": spell_recommendation(evaluation),
        "advice": str(dig(evaluation, "verdict", "advice") or ""),
        "reasons": items(evaluation, "verdict", "reasons"),
        "figures": facts.figures(record),
        "questions": answer_questions(record),
        "has_card": bool(record.card),
        "lengths_plot": plot_lengths(record.card),
        "data_facts": facts.data_facts(record.card),
        "checks_table": build_checks_table(record.card),
        "labels_table": build_labels_table(record.card),
        "metric_label": label,
        "metric_explanation": dig(evaluation, "metric", "explanation"),
        "num_test_rows": format_count(dig(evaluation, "num_test_rows")),
        "is_share": is_share,
        "arms_plot": plot_arms(arms, label, is_share=is_share),
        "arms_table": build_arms_table(evaluation),
        "comparisons_table": build_comparisons_table(evaluation),
        "breakdown_table": build_breakdown_table(evaluation),
        "training_facts": facts.training_facts(training),
        "loss_plot": plot_loss(record.metrics, training),
        "retention_plot": plot_retention(retention) if retention else None,
        "retention_table": build_retention_table(retention) if retention else None,
        "retention_counts": facts.retention_counts(retention),
        "examples": choose_examples(record),
        "kind_counts": count_kinds(record),
        "recipe": record.recipe,
        "environment": facts.environment_facts(record),
        "fingerprints": facts.fingerprints(record),
        "packages": sorted((dig(record.environment, "packages") or {}).items()),
        "commands": facts.next_commands(record),
        "verify_commands": facts.verify_commands(record),
    }
