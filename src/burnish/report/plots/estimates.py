"""Values with their intervals, one line each: the scores of the arms, and retention against its budget."""

import math

from matplotlib.axes import Axes

from burnish.report.arms import arm_indexes
from burnish.report.format import format_nats, format_nats_interval, format_score
from burnish.report.plots.svg import ARM_COLOURS, BAD, GRID, MUTED, Plot, arm_look, build_plot, fold
from burnish.report.record import Json, dig, items


def plot_arms(arms: list[Json], metric_label: str, *, is_share: bool) -> Plot | None:
    """Each arm's score with its interval, one line an arm; None where no arm has a score."""
    arms = [arm for arm in arms if dig(arm, "score", "value") is not None]
    if not arms:
        return None
    scale = 100 if is_share else 1
    indexes = arm_indexes([arm["name"] for arm in arms])

    def draw(axes: Axes, is_wide: bool) -> None:
        ends: list[float] = []
        for row, arm in enumerate(reversed(arms)):
            label = format_score(arm["score"]["value"], is_share=is_share)
            ends += _draw_estimate(axes, row, arm["score"], indexes[arm["name"]], label, scale)
        titles = [fold(arm.get("title") or arm["name"], 26 if is_wide else 16) for arm in reversed(arms)]
        axes.set_yticks(range(len(arms)), titles)
        axes.set_ylim(-0.55, len(arms) - 0.3)
        axes.set_xlim(*_axis_range(ends, is_share=is_share))
        axes.grid(axis="x")
        axes.set_xlabel(fold(f"{metric_label}, percent points" if is_share else metric_label, 40))
        axes.tick_params(axis="y", labelsize=11 if is_wide else 10)

    spoken = "; ".join(
        f"{arm.get('title') or arm['name']} {format_score(arm['score']['value'], is_share=is_share)}" for arm in arms
    )
    height_in = 0.75 + 0.58 * len(arms)
    description = f"Scores of the arms with their intervals, {metric_label}: {spoken}."
    return build_plot("arms", description, draw, height_in=height_in, narrow_height_in=height_in)


def plot_retention(retention: Json) -> Plot | None:
    """Changes in nats per token with their intervals, and the budget at the one that it holds for; None without any."""
    names = {
        "nll_change": "Loss change,\nown answers",
        "general_text_nll_change": "Loss change,\ngeneral text",
        "kl": "KL",
    }
    found = [(label, retention[key]) for key, label in names.items() if dig(retention, key, "value") is not None]
    if not found:
        return None
    budget, general = dig(retention, "budget"), names["general_text_nll_change"]
    budgeted = next((n for n, (label, _) in enumerate(found) if label == general), None)

    def draw(axes: Axes, is_wide: bool) -> None:
        for row, (label, estimate) in enumerate(reversed(found)):
            is_divergence = label == "KL"
            text = format_nats(estimate["value"], is_signed=not is_divergence)
            _draw_estimate(axes, row, estimate, 2 if is_divergence else 0, text)
        if budget is not None and budgeted is not None:
            row = len(found) - 1 - budgeted  # it holds for no other measure
            axes.plot([budget, budget], [row - 0.3, row + 0.3], color=BAD, linewidth=2, solid_capstyle="butt")
            axes.annotate(
                f"budget {format_nats(budget, is_signed=False)}",
                (budget, row - 0.3),
                (5, 0),
                textcoords="offset points",
                va="bottom",
                color=BAD,
            )
        axes.axvline(0, color=MUTED, linewidth=1)
        axes.set_yticks(range(len(found)), [label for label, _ in reversed(found)])
        axes.set_ylim(-0.55, len(found) - 0.05)
        axes.margins(x=0.1)
        axes.locator_params(axis="x", nbins=7 if is_wide else 4)
        axes.grid(axis="x", color=GRID)
        axes.set_xlabel("nats per token")

    spoken = "; ".join(
        f"{label} {format_nats(e['value'])}, interval {format_nats_interval(dig(e, 'low'), dig(e, 'high'))}"
        for label, e in found
    ).replace("\n", " ")
    limit = "no budget" if budget is None else f"budget for general text {format_nats(budget, is_signed=False)}"
    height_in = 0.95 + 0.58 * len(found)
    description = f"Change against the base in nats per token: {spoken}; {limit}."
    return build_plot("retention", description, draw, height_in=height_in, narrow_height_in=height_in)


def plot_scales(retention: Json) -> Plot | None:
    """The frontier: what the task is worth against what was forgotten, by the adapter's scale; None without scores."""
    points = [point for point in items(retention, "scales") if dig(point, "loss") is not None]
    if len(points) < 2:
        return None
    by_score = all(dig(point, "score") is not None for point in points)
    key, label = (
        ("score", "score on validation rows") if by_score else ("loss", "loss on validation rows, nats per token")
    )
    worth = [100 * point[key] if by_score else point[key] for point in points]
    rises = [point["nll_change"]["value"] for point in points]
    budget = dig(retention, "budget")

    def draw(axes: Axes, is_wide: bool) -> None:
        axes.plot(rises, worth, color=MUTED, linewidth=1)
        for point, rise, value in zip(points, rises, worth, strict=True):
            is_chosen = point["scale"] == dig(retention, "scale")
            ends = [point["nll_change"].get(end) for end in ("low", "high")]
            axes.plot(ends, [value, value], color=ARM_COLOURS[0], linewidth=4, alpha=0.35)
            axes.plot([rise], [value], **arm_look(2 if is_chosen else 0))
            axes.annotate(f"{point['scale']:g}", (rise, value), (0, 9), textcoords="offset points", ha="center")
        if budget is not None:
            axes.axvline(budget, color=BAD, linewidth=1.5, linestyle=(0, (4, 3)))
        axes.margins(0.12)
        axes.grid(color=GRID)
        axes.set_xlabel(fold("rise of the loss on general text, nats per token", 60 if is_wide else 34))
        axes.set_ylabel(label)

    spoken = "; ".join(
        f"scale {point['scale']:g}: {format_nats(rise)}, {value:.3g}"
        for point, rise, value in zip(points, rises, worth, strict=True)
    )
    description = f"By the scale of the adapter, the rise on general text and the {label}: {spoken}."
    return build_plot("scales", description, draw, height_in=3.2, narrow_height_in=3.4)


def _draw_estimate(axes: Axes, row: int, estimate: Json, index: int, label: str, scale: float = 1) -> list[float]:
    """A marker with its interval as a broad line and its value above; returns the ends of the interval."""
    value = scale * estimate["value"]
    ends = [value if dig(estimate, end) is None else scale * estimate[end] for end in ("low", "high")]
    axes.plot(ends, [row, row], color=ARM_COLOURS[index], linewidth=5, alpha=0.35)
    axes.plot([value], [row], **arm_look(index))
    axes.annotate(label, (value, row), (0, 11), textcoords="offset points", ha="center", weight="bold")
    return ends


def _axis_range(ends: list[float], *, is_share: bool) -> tuple[float, float]:
    """The range of the intervals with some air, on round numbers; never beyond 0 and 100 for shares."""
    low, high = min(ends), max(ends)
    if not is_share:
        air = 0.15 * (high - low) or 0.1 * abs(high) or 1
        return low - air, high + air
    return max(0.0, 10 * math.floor((low - 4) / 10)), min(100.0, 10 * math.ceil((high + 4) / 10))
