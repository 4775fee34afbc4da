"""The drawings of the page: lengths of the rows, scores of the arms, the loss, and retention against its budget."""

import math
import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes

from burnish.report.format import format_nats, format_nats_interval, format_score
from burnish.report.record import SPECIALIST, Json, dig, items
from burnish.report.svg import ARM_COLOURS, ARM_MARKERS, BAD, GRID, INK, MUTED, SURFACE, Plot, build_plot

MAX_LOSS_POINTS = 240


def arm_indexes(names: Sequence[str]) -> dict[str, int]:
    """The colour and marker of each arm: 0 for the specialist, the others in their order."""
    others = [name for name in names if name != SPECIALIST]
    return {SPECIALIST: 0} | {name: 1 + i % (len(ARM_COLOURS) - 1) for i, name in enumerate(others)}


def plot_lengths(card: Json) -> Plot | None:
    """How long prompts and answers are, as steps over the same bins; None where no lengths were kept."""
    histogram = dig(card, "tokens", "histogram")
    if not histogram:
        return None
    edges, kinds = histogram["edges"], ("prompt", "answer")

    def draw(axes: Axes, is_wide: bool) -> None:
        for kind, colour in zip(kinds, (ARM_COLOURS[1], ARM_COLOURS[0]), strict=True):
            axes.stairs(histogram[kind], edges, color=colour, linewidth=1.8, label=f"{kind}s")
            axes.stairs(histogram[kind], edges, color=colour, alpha=0.18, fill=True)
        axes.set_xlim(0, edges[-1])
        axes.set_ylim(bottom=0)
        axes.locator_params(axis="x", nbins=9 if is_wide else 5)
        axes.locator_params(axis="y", nbins=4, integer=True)
        axes.grid(axis="y")
        axes.set_xlabel("tokens")
        axes.set_ylabel("rows")
        axes.tick_params(axis="y", labelcolor=MUTED)
        axes.legend(loc="upper right", labelcolor=INK)

    spoken = "; ".join(
        f"{kind}s have {card['tokens'][kind]['median']} tokens in the median and {card['tokens'][kind]['max']} at most"
        for kind in kinds
    )
    return build_plot("lengths", f"Lengths of the rows: {spoken}.", draw, height_in=2.6, narrow_height_in=2.6)


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
        titles = [_fold(arm.get("title") or arm["name"], 26 if is_wide else 16) for arm in reversed(arms)]
        axes.set_yticks(range(len(arms)), titles)
        axes.set_ylim(-0.55, len(arms) - 0.3)
        axes.set_xlim(*_axis_range(ends, is_share=is_share))
        axes.grid(axis="x")
        axes.set_xlabel(_fold(f"{metric_label}, percent points" if is_share else metric_label, 40))
        axes.tick_params(axis="y", labelsize=11 if is_wide else 10)

    spoken = "; ".join(
        f"{arm.get('title') or arm['name']} {format_score(arm['score']['value'], is_share=is_share)}" for arm in arms
    )
    height_in = 0.75 + 0.58 * len(arms)
    description = f"Scores of the arms with their intervals, {metric_label}: {spoken}."
    return build_plot("arms", description, draw, height_in=height_in, narrow_height_in=height_in)


def plot_loss(metrics: Sequence[Json], training: Json) -> Plot | None:
    """Training loss per step and validation loss, the chosen step marked; None where no loss was kept."""
    steps, losses, per_point = _thin_out(metrics)
    validation = [
        (point["step"], point["loss_per_token"])
        for point in items(training, "validation")
        if dig(point, "loss_per_token") is not None
    ]
    if not steps and not validation:
        return None
    best = dict(validation).get(dig(training, "best_step"))

    def draw(axes: Axes, is_wide: bool) -> None:
        name = "training" if per_point == 1 else f"training, mean of {per_point} steps"
        if steps:
            axes.plot(steps, losses, color=ARM_COLOURS[1], linewidth=1.4, alpha=0.75, label=name)
        if validation:
            axes.plot(
                *zip(*validation, strict=True),
                "D-",
                color=ARM_COLOURS[0],
                markersize=6.5,
                markeredgecolor=SURFACE,
                linewidth=1.8,
                label="validation",
            )
        if best is not None:
            _mark_best_step(axes, training["best_step"], best, steps[-1] if steps else validation[-1][0])
        axes.set_ylim(bottom=max(0, axes.get_ylim()[0]))
        axes.margins(x=0.02)
        axes.grid(axis="y")
        axes.set_xlabel("optimizer step")
        axes.set_ylabel("loss, nats per token")
        axes.tick_params(axis="y", labelcolor=MUTED)
        axes.legend(loc="upper right", labelcolor=INK)

    chosen = f" The chosen step is {dig(training, 'best_step')}." if best is not None else ""
    description = f"Loss per token over optimizer steps, training and validation.{chosen}"
    return build_plot("loss", description, draw, height_in=3.5, narrow_height_in=3.2)


def plot_retention(retention: Json) -> Plot | None:
    """Changes in nats per token with their intervals, and the budget as a line; None where there are none."""
    names = {"nll_change": "NLL change", "general_text_nll_change": "NLL change,\ngeneral text", "kl": "KL"}
    found = [(label, retention[key]) for key, label in names.items() if dig(retention, key, "value") is not None]
    if not found:
        return None
    budget = dig(retention, "budget")

    def draw(axes: Axes, is_wide: bool) -> None:
        for row, (label, estimate) in enumerate(reversed(found)):
            is_divergence = label == "KL"
            text = format_nats(estimate["value"], is_signed=not is_divergence)
            _draw_estimate(axes, row, estimate, 2 if is_divergence else 0, text)
        if budget is not None:
            axes.axvline(budget, color=BAD, linewidth=1.5, linestyle=(0, (4, 3)))
            text = f"budget {format_nats(budget, is_signed=False)}"
            axes.annotate(
                text,
                (budget, 1),
                (-6, -1),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="right",
                va="top",
                color=BAD,
            )
        axes.axvline(0, color=MUTED, linewidth=1)
        axes.set_yticks(range(len(found)), [label for label, _ in reversed(found)])
        axes.set_ylim(-0.55, len(found) - (0.05 if budget is None else -0.15))
        axes.margins(x=0.1)
        axes.locator_params(axis="x", nbins=7 if is_wide else 4)
        axes.grid(axis="x", color=GRID)
        axes.set_xlabel("nats per token")

    spoken = "; ".join(
        f"{label} {format_nats(e['value'])}, interval {format_nats_interval(dig(e, 'low'), dig(e, 'high'))}"
        for label, e in found
    ).replace("\n", " ")
    limit = "no budget" if budget is None else f"budget for the NLL change {format_nats(budget, is_signed=False)}"
    height_in = 0.95 + 0.58 * len(found)
    description = f"Change against the base in nats per token: {spoken}; {limit}."
    return build_plot("retention", description, draw, height_in=height_in, narrow_height_in=height_in)


def _draw_estimate(axes: Axes, row: int, estimate: Json, index: int, label: str, scale: float = 1) -> list[float]:
    """A marker with its interval as a broad line and its value above; returns the ends of the interval."""
    value = scale * estimate["value"]
    ends = [value if dig(estimate, end) is None else scale * estimate[end] for end in ("low", "high")]
    axes.plot(ends, [row, row], color=ARM_COLOURS[index], linewidth=5, alpha=0.35)
    axes.plot([value], [row], ARM_MARKERS[index], color=ARM_COLOURS[index], markersize=10, markeredgecolor=SURFACE)
    axes.annotate(label, (value, row), (0, 11), textcoords="offset points", ha="center", weight="bold")
    return ends


def _fold(text: str, width: int) -> str:
    """At most two lines of `width` characters, so that a long name leaves room for the plot."""
    return textwrap.fill(str(text), width, max_lines=2, placeholder="…")


def _axis_range(ends: list[float], *, is_share: bool) -> tuple[float, float]:
    """The range of the intervals with some air, on round numbers; never beyond 0 and 100 for shares."""
    low, high = min(ends), max(ends)
    if not is_share:
        air = 0.15 * (high - low) or 0.1 * abs(high) or 1
        return low - air, high + air
    return max(0.0, 10 * math.floor((low - 4) / 10)), min(100.0, 10 * math.ceil((high + 4) / 10))


def _thin_out(metrics: Sequence[Json]) -> tuple[list[int], list[float], int]:
    """Steps and losses, as means of equal groups where there are more steps than a plot can show."""
    rows = [(row["step"], row["loss_per_token"]) for row in metrics if dig(row, "loss_per_token") is not None]
    per_point = max(1, math.ceil(len(rows) / MAX_LOSS_POINTS))
    groups = [rows[i : i + per_point] for i in range(0, len(rows), per_point)]
    return (
        [group[-1][0] for group in groups],
        [sum(loss for _, loss in g) / len(g) for g in groups],
        per_point,
    )


def _mark_best_step(axes: Axes, step: int, loss: float, last_step: int) -> None:
    axes.axvline(step, color=ARM_COLOURS[0], linewidth=1, linestyle=(0, (2, 3)))
    axes.plot(
        [step],
        [loss],
        "o",
        markersize=14,
        markerfacecolor="none",
        markeredgecolor=ARM_COLOURS[0],
        markeredgewidth=1.8,
    )
    is_late = step > 0.6 * last_step
    axes.annotate(
        f"chosen: step {step}",
        (step, 0.52),
        (-7 if is_late else 7, 0),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="right" if is_late else "left",
        weight="bold",
    )
