"""The metrics of the task for each arm, with their intervals."""

from collections.abc import Callable

from burnish.report.arms import arm_titles, dig_sureness
from burnish.report.format import (
    NOT_MEASURED,
    format_interval,
    format_number,
    format_percent,
    format_score,
)
from burnish.report.record import Json, dig, items
from burnish.report.tables.table import Cell, Table, spell_name

UNDEFINED = "–"  # measured, but a share of nothing: the precision of an arm that found no field
KINDS = ("classification", "extraction", "text")
Measure = Callable[[Json], Cell]


def build_measures_table(evaluation: Json) -> Table | None:
    """A row per metric that any arm has a value of, a column per arm; None where no arm has one."""
    arms = items(evaluation, "arms")
    measures = {**_of_labels(), **_of_fields(), **_of_sureness(), **_of_text(), **_of_the_team(arms)}
    found = [(Cell(name), *(measure(arm) for arm in arms)) for name, measure in measures.items()]
    rows = tuple(row for row in found if {cell.text for cell in row[1:]} - {NOT_MEASURED, UNDEFINED})
    titles = arm_titles(evaluation)
    caption = "In percent points where no unit is named; the small figures are intervals."
    return Table(caption, ("Measure", *(titles[arm["name"]] for arm in arms)), rows) if rows else None


def _of_labels() -> dict[str, Measure]:
    return {
        "Macro-F1": lambda arm: Cell(format_score(dig(arm, "classification", "macro_f1"))),
    }


def _of_sureness() -> dict[str, Measure]:
    return {
        "Calibration error": _calibration_cell,
        "Mean confidence": lambda arm: Cell(format_percent(_calibration(arm, "mean_confidence"))),
        "Brier score": lambda arm: Cell(format_number(_calibration(arm, "brier"))),
    }


def _calibration(arm: Json, name: str) -> float | None:
    value = dig_sureness(arm, "calibration", name)
    return None if value is None else float(value)


def _calibration_cell(arm: Json) -> Cell:
    calibration = dig_sureness(arm, "calibration")
    high, before = dig(calibration, "ece_if_calibrated", "high"), dig(calibration, "before", "ece")
    chance = "" if high is None else f"by chance up to {format_score(high)}"
    own = "" if before is None else f"the model's own probability: {format_score(before)}"
    return _with_note(Cell(format_score(dig(calibration, "ece")), chance), own)


def _of_fields() -> dict[str, Measure]:
    plain = {
        "Valid JSON": "json_validity",
        "Fits the schema": "schema_validity",
        "Precision": "precision",
        "Recall": "recall",
        "Field F1": "f1",
    }
    return {
        **{label: _estimate_of("extraction", name) for label, name in plain.items()},
        "Invented fields": _invented_fields_cell,
        "Values not in the text": _invented_values_cell,
    }


def _invented_fields_cell(arm: Json) -> Cell:
    names = ", ".join(map(str, items(arm, "extraction", "invented_field_names")))
    return _with_note(_estimate_cell(dig(arm, "extraction", "invented_fields")), names)


def _invented_values_cell(arm: Json) -> Cell:
    of_targets = dig(arm, "extraction", "invented_values_of_targets", "value")
    return _with_note(_estimate_cell(dig(arm, "extraction", "invented_values")), _spell_targets(of_targets))


def _of_text() -> dict[str, Measure]:
    plain = {"Exact match": "exact_match", "Same words": "normalised_match", "chrF": "chrf", "ROUGE-L": "rouge_l"}
    return {
        **{label: _estimate_of("text", name) for label, name in plain.items()},
        "Length against the target": lambda arm: _estimate_cell(dig(arm, "text", "length_ratio")),
        "Repetition": _repetition_cell,
    }


def _repetition_cell(arm: Json) -> Cell:
    of_targets = dig(arm, "text", "target_repetition", "value")
    return _with_note(_estimate_cell(dig(arm, "text", "repetition")), _spell_targets(of_targets))


def _of_the_team(arms: list[Json]) -> dict[str, Measure]:
    names = dict.fromkeys(name for arm in arms for name in dig(arm, "custom") or {})
    return {spell_name(str(name)): _estimate_of("custom", name) for name in names}


def _estimate_of(kind: str, name: str) -> Measure:
    return lambda arm: _estimate_cell(dig(arm, kind, name))


def _estimate_cell(estimate: Json | None) -> Cell:
    if estimate and estimate.get("value") is None:
        return Cell(UNDEFINED)
    interval = format_interval(dig(estimate, "low"), dig(estimate, "high"))
    return Cell(format_score(dig(estimate, "value")), interval if interval != NOT_MEASURED else "")


def _spell_targets(share: float | None) -> str:
    """What the wanted answers themselves have of it."""
    return "" if share is None else f"targets: {format_score(share)}"


def _with_note(cell: Cell, note: str) -> Cell:
    return Cell(cell.text, "; ".join(filter(None, (cell.note, note))))
