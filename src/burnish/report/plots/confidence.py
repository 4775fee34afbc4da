"""What can be left to an arm: its accuracy on the answers of which it is surest."""

from matplotlib.axes import Axes

from burnish.report.arms import arm_indexes, arm_titles, dig_sureness, own_name
from burnish.report.plots.svg import ARM_COLOURS, INK, MUTED, Plot, arm_look, build_plot, fold, place_legend
from burnish.report.record import Json, items


def plot_risk_coverage(evaluation: Json) -> Plot | None:
    """Accuracy against the share of rows that are answered, a line an arm, with the goals of the specialist marked.

    None where no arm has a confidence, or none is ever right.
    """
    curves = {
        arm["name"]: curve
        for arm in items(evaluation, "arms")
        if (curve := dig_sureness(arm, "risk_coverage", "curve"))
    }
    if not any(point.get("accuracy") for curve in curves.values() for point in curve):
        return None
    titles, indexes = arm_titles(evaluation), arm_indexes(list(arm_titles(evaluation)))
    own = own_name(evaluation)
    marked = own if own in curves else next(iter(curves))
    arm = next(arm for arm in evaluation["arms"] if arm["name"] == marked)
    goals = [goal for goal in (dig_sureness(arm, "risk_coverage", "goals") or []) if goal.get("num_answered")]

    def draw(axes: Axes, is_wide: bool) -> None:
        for name, curve in curves.items():
            index = indexes[name]
            coverages, accuracies = ([100 * point[key] for point in curve] for key in ("coverage", "accuracy"))
            width, order = (2.6, 3) if name == marked else (1.1, 2)
            axes.plot(coverages, accuracies, color=ARM_COLOURS[index], linewidth=width, zorder=order)
            axes.plot(coverages[-1:], accuracies[-1:], label=fold(titles[name], 24), **arm_look(index, 8))
        for row, (share, wanted) in enumerate(_group_goals(goals)):
            axes.axvline(share, color=MUTED, linewidth=1, linestyle=(0, (2, 3)))
            axes.annotate(
                wanted,
                (share, 1.02 + 0.075 * row),
                (-5 if share > 50 else 5, 0),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="right" if share > 50 else "left",
                color=INK,
                fontsize=9.5,
            )
        axes.set_xlim(0, 102)
        axes.set_ylim(top=101.5)
        axes.grid(axis="y")
        axes.set_xlabel("answered, the surest first, %")
        axes.set_ylabel("of these right, %")
        axes.tick_params(axis="y", labelcolor=MUTED)
        place_legend(axes, is_wide)

    spoken = "; ".join(
        f"{titles[name]} is right in {100 * curve[-1]['accuracy']:.1f} % of all its answers and in "
        f"{100 * curve[0]['accuracy']:.1f} % of its surest"
        for name, curve in curves.items()
    )
    description = f"Accuracy against the share of rows that are answered: {spoken}."
    return build_plot("risk", description, draw, height_in=3.4, narrow_height_in=3.3 + 0.2 * len(curves))


def _group_goals(goals: list[Json]) -> list[tuple[float, str]]:
    """Where each goal lies, in percent answered, and its words; goals that one threshold meets share a line."""
    by_share: dict[float, list[str]] = {}
    for goal in goals:
        share = round(100 * (1 - goal["sent_share"]), 1)
        by_share.setdefault(share, []).append(f"{100 * goal['goal']:g} %")
    return [(share, f"for {' and '.join(names)}: send {100 - share:.1f} %") for share, names in by_share.items()]
