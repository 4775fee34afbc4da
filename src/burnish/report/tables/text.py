"""Free text beyond its score: how likely the wanted answers became, and whether the style is the team's own."""

from burnish.report.arms import arm_titles
from burnish.report.format import (
    format_count,
    format_interval,
    format_number,
    format_percent,
)
from burnish.report.record import Json, dig
from burnish.report.tables.table import Cell, Table

COLUMNS = ("Measure", "Value", "Interval")


def build_likelihood_table(likelihood: Json | None) -> Table | None:
    """Bits per byte of the reference answers under base and specialist; None where that was not measured."""
    if not likelihood:
        return None
    labels = {"base": "Base", "specialist": "Specialist", "gain": "Gain: base less specialist"}
    rows = [_bits_row(label, dig(likelihood, key)) for key, label in labels.items()]
    counts = [format_count(dig(likelihood, key)) for key in ("num_wins", "num_ties", "num_losses")]
    note = "{} likelier, {} equal, {} less".format(*counts)
    won = _rate_row("Answers that became likelier", dig(likelihood, "win_rate"), note)
    unit = str(dig(likelihood, "unit") or "bits per byte")
    return Table(f"How hard the wanted answers are to predict, {unit}: less is better.", COLUMNS, (*rows, won))


def build_style_table(evaluation: Json) -> Table | None:
    """How often answers pass for the team's own; None where that was not measured."""
    style, titles = dig(evaluation, "style"), {**arm_titles(evaluation), "target": "Targets themselves"}
    if not style:
        return None
    counts = [format_count(dig(style, key)) for key in ("num_targets", "num_base_answers")]
    told_apart = (
        Cell("Told apart by wording", "50 % is chance; of {} targets and {} answers of the base".format(*counts)),
        Cell(format_percent(dig(style, "accuracy"))),
        Cell(f"AUC {format_number(dig(style, 'auc'))}"),
    )
    base = (Cell("Base: passes for the team"), Cell(format_percent(dig(style, "base_pass_rate"))), Cell("–"))
    rates = (dig(style, "pass_rate") or {}).items()
    rows = [_rate_row(f"{titles.get(name, name)}: passes for the team", rate) for name, rate in rates]
    caption = "Whether a classifier that reads nothing but wording takes the answers for the team’s own."
    return Table(caption, COLUMNS, (told_apart, base, *rows))


def _rate_row(label: str, rate: Json | None, note: str = "") -> tuple[Cell, ...]:
    interval = format_interval(dig(rate, "low"), dig(rate, "high"))
    return (Cell(label, note), Cell(format_percent(dig(rate, "value"))), Cell(interval))


def _bits_row(label: str, estimate: Json | None) -> tuple[Cell, ...]:
    low, high = dig(estimate, "low"), dig(estimate, "high")
    interval = "–" if low is None or high is None else f"{format_number(low)} – {format_number(high)}"
    return (Cell(label), Cell(format_number(dig(estimate, "value"))), Cell(interval))
