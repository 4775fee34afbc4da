"""The learning curve, and what more rows are expected to bring."""

from matplotlib.axes import Axes
from matplotlib.ticker import StrMethodFormatter

from burnish.report.plots.svg import ARM_COLOURS, INK, MUTED, Plot, arm_look, build_plot
from burnish.report.record import Json, dig, items


def plot_learning_curve(more_data: Json) -> Plot | None:
    """Scores at growing numbers of rows, and beyond them the forecasts; None where no score was measured."""
    measured = [(point["num_rows"], point["score"]) for point in items(more_data, "curve") if _has_score(point)]
    if not measured:
        return None
    forecasts = [
        (forecast["num_rows"] + forecast["num_more"], forecast["score"])
        for forecast in items(more_data, "forecasts")
        if _has_score(forecast)
    ]

    def draw(axes: Axes, is_wide: bool) -> None:
        _draw_points(axes, measured, 1, "measured, with its interval")
        if forecasts:
            ahead = [measured[-1], *forecasts]
            sizes, lows, highs = ([size for size, _ in ahead], *(_ends(ahead, end) for end in ("low", "high")))
            axes.plot(sizes, _ends(ahead, "value"), color=ARM_COLOURS[0], linewidth=1.6, linestyle=(0, (4, 3)))
            axes.fill_between(sizes, lows, highs, color=ARM_COLOURS[0], alpha=0.16, linewidth=0)
            _draw_points(axes, forecasts, 0, "forecast, with its interval")
        axes.set_xlim(left=0)
        axes.set_ylim(top=min(101.5, axes.get_ylim()[1]))
        axes.margins(x=0.04)
        axes.locator_params(axis="x", nbins=8 if is_wide else 4, integer=True)
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.grid(axis="y")
        axes.set_xlabel("rows")
        axes.set_ylabel("score, percent points")
        axes.tick_params(axis="y", labelcolor=MUTED)
        axes.legend(loc="lower right", labelcolor=INK)

    spoken = "; ".join(f"{size:,} rows {100 * score['value']:.1f}" for size, score in measured)
    ahead = "; ".join(f"{size:,} rows {100 * score['value']:.1f}" for size, score in forecasts)
    description = f"Learning curve, measured: {spoken}. Forecast: {ahead or 'none'}."
    return build_plot("learning", description, draw, height_in=3.2, narrow_height_in=3.0)


def _draw_points(axes: Axes, points: list[tuple[int, Json]], index: int, label: str) -> None:
    colour, sizes = ARM_COLOURS[index], [size for size, _ in points]
    axes.vlines(sizes, _ends(points, "low"), _ends(points, "high"), color=colour, linewidth=5, alpha=0.35)
    axes.plot(sizes, _ends(points, "value"), label=label, **arm_look(index, 8))


def _ends(points: list[tuple[int, Json]], end: str) -> list[float]:
    """A limit of each score in percent points; the value itself where it has no interval."""
    return [100 * (score["value"] if dig(score, end) is None else score[end]) for _, score in points]


def _has_score(point: Json) -> bool:
    return dig(point, "score", "value") is not None and None not in (point["num_rows"], point.get("num_more", 0))
