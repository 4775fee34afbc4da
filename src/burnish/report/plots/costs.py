"""What an answer costs against what it is worth."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from burnish.report.arms import arm_indexes, arm_titles, has_share_metric, score_heading
from burnish.report.format import format_count, format_latency, format_score
from burnish.report.plots.svg import ARM_COLOURS, MUTED, Plot, arm_look, build_plot, fold, place_legend
from burnish.report.record import Json, dig, items

COSTS = (
    ("request", "median_s", "time of one request alone", format_latency),
    ("prompt_tokens", "mean", "prompt tokens read for an answer", format_count),
)


def plot_costs(evaluation: Json) -> Plot | None:
    """The score of each arm over the time of one request alone, or over its prompt tokens where no time was kept.

    None with fewer than two arms that have both.
    """
    for part, key, label, spell in COSTS:
        arms = [arm for arm in items(evaluation, "arms") if _is_measured(arm, part, key)]
        if len(arms) > 1:
            return _plot(evaluation, [(arm, float(arm[part][key])) for arm in arms], label, spell)
    return None


def _is_measured(arm: Json, part: str, key: str) -> bool:
    return dig(arm, "score", "value") is not None and (dig(arm, part, key) or 0) > 0


def _plot(evaluation: Json, arms: list[tuple[Json, float]], label: str, spell: Any) -> Plot:
    is_share, titles = has_share_metric(evaluation), arm_titles(evaluation)
    scale, indexes = 100 if is_share else 1, arm_indexes(list(titles))
    costs, heading = [cost for _, cost in arms], score_heading(evaluation)

    def draw(axes: Axes, is_wide: bool) -> None:
        for arm, cost in arms:
            score, index = arm["score"], indexes[arm["name"]]
            ends = [scale * (score["value"] if dig(score, end) is None else score[end]) for end in ("low", "high")]
            axes.plot([cost, cost], ends, color=ARM_COLOURS[index], linewidth=5, alpha=0.35)
            axes.plot([cost], [scale * score["value"]], label=fold(titles[arm["name"]], 24), **arm_look(index))
        if max(costs) > 8 * min(costs):
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if is_wide else (1,)))
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.tick_params(axis="x", which="minor", size=0)
        else:
            axes.set_xlim(0, 1.08 * max(costs))
            axes.locator_params(axis="x", nbins=7 if is_wide else 4)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda cost, _: spell(cost) if cost else "0"))
        axes.margins(x=0.08, y=0.12)
        axes.grid()
        axes.set_xlabel(label)
        axes.set_ylabel(f"{heading[:30]}, percent points" if is_share else heading[:40])
        axes.tick_params(axis="y", labelcolor=MUTED)
        place_legend(axes, is_wide)

    spoken = "; ".join(
        f"{titles[arm['name']]} {format_score(arm['score']['value'], is_share=is_share)} at {spell(cost)}"
        for arm, cost in arms
    )
    description = f"Score against {label}: {spoken}."
    return build_plot("costs", description, draw, height_in=3.4, narrow_height_in=3.0 + 0.2 * len(arms))
