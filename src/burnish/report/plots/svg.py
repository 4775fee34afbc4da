"""A matplotlib drawing as inline SVG that takes its colours and its font from the page around it."""

import io
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

# Colours to draw with: each stands for a CSS variable of report.css, so that a plot follows light and dark.
INK, MUTED, GRID, SURFACE = "#a1b201", "#a1b202", "#a1b203", "#a1b204"
GOOD, BAD = "#a1b205", "#a1b206"
ARM_COLOURS = tuple(f"#a1b21{i}" for i in range(8))  # the specialist, then the others
ARM_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "p")
VARIABLES = {INK: "ink", MUTED: "muted", GRID: "grid", SURFACE: "surface", GOOD: "good", BAD: "bad"} | {
    colour: f"arm-{i}" for i, colour in enumerate(ARM_COLOURS)
}
THIN_MARKERS = ("P", "X")
WIDE_IN, NARROW_IN = 9.6, 4.0

Draw = Callable[[Axes, bool], None]


@dataclass(frozen=True)
class Plot:
    """One drawing in two widths, of which the page shows the one that fits, and its description in words."""

    wide: Markup
    narrow: Markup
    description: str


def build_plot(name: str, description: str, draw: Draw, *, height_in: float, narrow_height_in: float) -> Plot:
    """Call `draw(axes, is_wide)` for both widths; equal input gives equal bytes."""

    def render(is_wide: bool) -> Markup:
        size = (WIDE_IN, height_in) if is_wide else (NARROW_IN, narrow_height_in)
        svg = _draw_svg(draw, size, is_wide)
        return _adapt_to_page(svg, f"{name}-{'wide' if is_wide else 'narrow'}", description)

    return Plot(wide=render(True), narrow=render(False), description=description)


def arm_look(index: int, size: float = 10) -> dict[str, Any]:
    """Marker and colour of an arm, for `Axes.plot`."""
    marker = ARM_MARKERS[index]
    look = {"color": ARM_COLOURS[index], "marker": marker, "linestyle": "none", "markeredgecolor": SURFACE}
    return {**look, "markersize": 1.25 * size if marker in THIN_MARKERS else size}


def place_legend(axes: Axes, is_wide: bool) -> None:
    """The names of the arms, beside the drawing where there is room, else below it."""
    if is_wide:
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), labelcolor=INK)
    else:
        axes.legend(loc="upper left", bbox_to_anchor=(-0.1, -0.22), labelcolor=INK, fontsize=9.5)


def fold(text: str, width: int) -> str:
    """At most two lines of `width` characters, so that a long name leaves room for the plot."""
    return textwrap.fill(str(text), width, max_lines=2, placeholder="…")


def _draw_svg(draw: Draw, size: tuple[float, float], is_wide: bool) -> str:
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's matplotlibrc must not change the page
        matplotlib.rcParams.update(_look())
        figure = Figure(figsize=size, dpi=72)  # of SVG; the layout is made before it is saved
        draw(figure.subplots(), is_wide)
        # Once, and not as the figure's own engine, for which savefig would draw everything a second time.
        ConstrainedLayoutEngine().execute(figure)
        stream = io.StringIO()
        no_metadata = dict.fromkeys(["Creator", "Date", "Format", "Type"])
        figure.savefig(stream, format="svg", transparent=True, metadata=no_metadata)
    return stream.getvalue()


def _look() -> Any:  # the stubs of matplotlib name every key
    return {
        "text.parse_math": False,  # a "$" in a title is a dollar
        "svg.fonttype": "none",
        "svg.hashsalt": "burnish",
        "font.size": 10.5,
        "text.color": INK,
        "axes.labelcolor": MUTED,
        "axes.edgecolor": GRID,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.axisbelow": True,
        "axes.unicode_minus": True,
        "grid.color": GRID,
        "grid.linewidth": 0.8,
        "xtick.color": GRID,
        "ytick.color": GRID,
        "xtick.labelcolor": MUTED,
        "ytick.labelcolor": INK,
        "ytick.major.size": 0,
        "xtick.major.size": 0,
        "xtick.major.pad": 6,
        "ytick.major.pad": 8,
        "legend.frameon": False,
        "lines.solid_capstyle": "round",
    }


def _adapt_to_page(svg: str, prefix: str, description: str) -> Markup:
    svg = svg[svg.index("<svg") :]  # no XML prolog and no DOCTYPE inside HTML
    view_box = re.search(r'viewBox="[^"]*"', svg)
    assert view_box is not None, "matplotlib always writes a viewBox"
    svg = re.sub(r"<svg[^>]*>", f"<svg {view_box[0]} ROLE>", svg, count=1)
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = svg.replace("xlink:href", "href")
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}-", svg)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var(--{variable})")
    svg = re.sub(r"\n\s*", "\n", svg)
    # The description is not matplotlib's text, so it comes in last and escaped.
    return Markup(svg.replace("ROLE", f'role="img" aria-label="{escape(description)}"', 1))
