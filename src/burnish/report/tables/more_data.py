"""What more rows would bring, and which are wanted."""

from burnish.report.format import format_count, format_percent, format_score
from burnish.report.record import Json, dig, items
from burnish.report.tables.table import Cell, Table


def build_weak_spots_table(more_data: Json | None) -> Table | None:
    """The labels with most of the errors; None where none was found."""
    rows = tuple(
        (
            Cell(str(spot["name"])),
            Cell(format_count(dig(spot, "num_rows"))),
            Cell(format_score(dig(spot, "score"))),
            Cell(format_percent(dig(spot, "share_of_errors"))),
        )
        for spot in items(more_data, "weak_spots")
    )
    columns = ("Label", "Rows to learn from", "Score", "Of all errors")
    return Table("Where most of the errors are: rows of these labels are worth most.", columns, rows) if rows else None


def forecast_lines(more_data: Json | None) -> tuple[str, ...]:
    """The forecasts in their own words, each once: "200 more rows: +1.8 points, 90 % interval 0.4 to 3.1."."""
    texts = (dig(forecast, "text") for forecast in items(more_data, "forecasts"))
    return tuple(dict.fromkeys(str(text) for text in texts if text))
