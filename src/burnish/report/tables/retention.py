"""What was forgotten."""

from burnish.report.format import format_interval, format_nats, format_nats_interval, format_percent
from burnish.report.record import Json, dig
from burnish.report.tables.table import Cell, Table


def build_retention_table(retention: Json) -> Table:
    """A row per measure of forgetting."""
    measures = (
        ("nll_change", "Change of NLL, the base's own answers", "how much less likely they have become", True),
        ("general_text_nll_change", "Change of NLL, general text", "the same, on general text", True),
        ("kl", "KL from the base", "how far the next-token distributions have moved", False),
    )
    rows = [
        _retention_row(label, meaning, dig(retention, key), is_signed) for key, label, meaning, is_signed in measures
    ]
    agreement = dig(retention, "top1_agreement")
    interval = format_interval(dig(agreement, "low"), dig(agreement, "high"))
    text = format_percent(dig(agreement, "value"))
    rows.append(
        (
            Cell("Top-1 agreement", "how often the most likely next token is still the base's"),
            Cell(text),
            Cell(interval),
        )
    )
    return Table("Specialist against its own base, adapter off.", ("Measure", "Value", "Interval"), tuple(rows))


def _retention_row(label: str, meaning: str, estimate: Json | None, is_signed: bool) -> tuple[Cell, ...]:
    interval = format_nats_interval(dig(estimate, "low"), dig(estimate, "high"), is_signed=is_signed)
    value = dig(estimate, "value")
    unit = "" if value is None else " nats"
    return (Cell(label, meaning), Cell(format_nats(value, is_signed=is_signed) + unit), Cell(interval))
