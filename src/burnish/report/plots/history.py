"""Before the test: the lengths of the rows, and the loss while training."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes

from burnish.report.plots.svg import ARM_COLOURS, INK, MUTED, SURFACE, Plot, build_plot
from burnish.report.record import Json, dig, items

MAX_LOSS_POINTS = 240


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
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderpad=0, labelcolor=INK)

    spoken = "; ".join(
        f"{kind}s have {card['tokens'][kind]['median']} tokens in the median and {card['tokens'][kind]['max']} at most"
        for kind in kinds
    )
    return build_plot("lengths", f"Lengths of the rows: {spoken}.", draw, height_in=2.6, narrow_height_in=2.6)


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
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderpad=0, labelcolor=INK)

    chosen = f" The chosen step is {dig(training, 'best_step')}." if best is not None else ""
    description = f"Loss per token over optimizer steps, training and validation.{chosen}"
    return build_plot("loss", description, draw, height_in=3.5, narrow_height_in=3.2)


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
