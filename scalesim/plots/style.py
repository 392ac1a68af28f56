"""How every picture looks: palette, sizes, units on axes, and the figure that shows itself.

Layer: plots. Nothing here knows what is drawn. No pyplot: a figure belongs to whoever holds it, no
display is needed, no global state is left behind. The user's matplotlibrc does not change pictures.

Colors are those of Okabe and Ito ("Color Universal Design", 2008), told apart under all common
forms of color blindness; no picture says a thing by color alone.
"""

from __future__ import annotations

import io
import math
from contextlib import AbstractContextManager
from typing import Any

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.legend import Legend
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from scalesim.errors import InvalidInput, nearest

__all__ = [
    "BLUE", "CURVES", "FORMATS", "GREEN", "GREY", "HEAT", "INK", "ORANGE", "RED", "SHADE", "SKY",
    "Picture", "fit_legends", "head", "house_style", "legend_above", "linear", "logarithmic",
    "note", "percent", "render", "text_width", "time_unit",
]  # fmt: skip

BLUE, RED, ORANGE, GREEN, SKY = "#0072B2", "#D55E00", "#E69F00", "#009E73", "#56B4E9"
INK, GREY, SHADE = "#222222", "#6B6B6B", "#ECECEC"
CURVES = (BLUE, ORANGE, GREEN, "#CC79A7", SKY, "#8C6D31")
"""For curves side by side; red and black are kept for what is pointed out."""

HEAT = LinearSegmentedColormap.from_list(
    "utilization",
    [(0.0, "#FBFAF6"), (0.5, "#FBE3A4"), (0.75, "#F3A93B"), (1.0, "#C8430A")],
)
"""Utilization 0 .. 1: white, sand, orange, red; it darkens throughout, for prints in grey."""

FORMATS = ("pdf", "png", "svg")
_MOST_ROWS = 3
"""Of a legend above axes."""

_STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#8A8A8A",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": INK,
    "axes.labelsize": 11,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.dpi": 150,
    "figure.titlesize": 15,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same picture on every machine
    "font.size": 11,
    "grid.color": "#E3E3E3",
    "legend.fontsize": 11,
    "legend.frameon": False,
    "lines.linewidth": 2.0,
    "lines.solid_capstyle": "round",
    "savefig.dpi": "figure",
    "svg.hashsalt": "scalesim",
    "text.color": INK,
    "text.parse_math": False,  # a name with a dollar is a name
    "xtick.color": INK,
    "ytick.color": INK,
}


def house_style() -> AbstractContextManager[None]:
    """Return a context in which matplotlib's defaults are ours; outside it nothing changes."""
    return style.context(["default", _STYLE])


class Picture(Figure):
    """A figure that needs no display, shows itself in a notebook and keeps the house style.

    Parameters
    ----------
    width, height : float [inches]
    """

    def __init__(self, width: float, height: float, *, constrained: bool = True) -> None:
        super().__init__(
            figsize=(width, height),
            facecolor="white",
            layout="constrained" if constrained else None,
        )
        FigureCanvasAgg(self)
        if constrained:
            self.get_layout_engine().set(w_pad=0.12, h_pad=0.12, wspace=0.03, hspace=0.04)  # type: ignore[union-attr, call-arg]

    def draw(self, renderer: Any) -> None:
        """Draw in the house style: ticks are made as late as here."""
        with house_style():
            super().draw(renderer)

    def _repr_png_(self) -> bytes:
        return render(self, "png")


def render(figure: Figure, format: str) -> bytes:
    """Return a figure as the bytes of an image file; the same figure gives the same bytes.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    format : {"pdf", "png", "svg"}
        Or a file's suffix, ``.png``; upper case is as good.

    Raises
    ------
    InvalidInput
        The format is another.
    """
    name = str(format).lower().removeprefix(".")
    if name not in FORMATS:
        hint = nearest(name, FORMATS)
        raise InvalidInput(f'"{format}" is not a picture format. {hint}Known: {", ".join(FORMATS)}')
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": None}[name]
    out = io.BytesIO()
    with house_style():
        figure.savefig(out, format=name, metadata=undated)
    return out.getvalue()


def time_unit(longest: float) -> tuple[float, str]:
    """Return (units in a second, name) in which times up to `longest` [s] read well."""
    if not math.isfinite(longest) or longest <= 0 or 1 <= longest < 600:
        return 1.0, "s"
    if longest < 1:
        return (1e6, "µs") if longest < 1e-3 else (1e3, "ms")
    return (1 / 60, "min") if longest < 7200 else (1 / 3600, "h")


def percent(ratio: float) -> str:
    """Return a ratio as people read it: ``87 %``, ``0.4 %``, ``under 0.1 %``."""
    if math.isnan(ratio):
        return "none"
    if 0 < ratio < 0.001:
        return "under 0.1 %"
    digits = 0 if ratio >= 0.1 or ratio == 0 else 1
    text = f"{100 * ratio:.{digits}f}"
    return f"{text.removesuffix('.0')} %"


def head(axes: Axes, title: str, *, legend_rows: int = 1) -> None:
    """Put the title at the left, leaving `legend_rows` lines of room for a legend below it."""
    axes.set_title(title, loc="left", fontsize=13, fontweight="bold", pad=10 + 19 * legend_rows)


def legend_above(axes: Axes, handles: list[Any]) -> None:
    """Put a legend between the title and the axes, where no data is; see `fit_legends`."""
    _legend(axes, handles, [str(each.get_label()) for each in handles], 1)


def _legend(axes: Axes, handles: list[Any], labels: list[str], rows: int) -> Legend:
    legend = axes.legend(
        handles=handles,
        labels=labels,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=-(-len(handles) // rows),
        borderaxespad=0.2,
        borderpad=0.1,
        handlelength=1.6,
        columnspacing=1.4,
    )
    # Its rows are fitted to the axes: the axes must not be made narrower for it.
    legend.set_in_layout(False)
    return legend


def fit_legends(figure: Figure) -> None:
    """Give the legends above axes as many rows as they need there, once all else has its place.

    A label that fills more than a row is cut.
    """
    figure.draw_without_rendering()
    for axes in figure.axes:
        legend = axes.get_legend()
        if legend is None:
            continue
        room = axes.get_window_extent().x1 - legend.get_window_extent().x0
        handles: list[Any] = list(legend.legend_handles)
        labels, rows = [each.get_text() for each in legend.get_texts()], 1
        while legend.get_window_extent().width > room:
            if rows < min(len(handles), _MOST_ROWS):
                rows += 1
            elif (longest := max(map(len, labels))) > 4:
                labels = [x if len(x) < longest else f"{x[: longest - 2]}…" for x in labels]
            else:
                break
            legend = _legend(axes, handles, labels, rows)
        head(axes, axes.get_title(loc="left"), legend_rows=rows)


def text_width(text: str, size: float, bold: bool = False) -> float:
    """Return how wide a text is drawn [inches]."""
    font = FontProperties(family="DejaVu Sans", size=size, weight="bold" if bold else "normal")
    return float(text_to_path.get_text_width_height_descent(text, font, False)[0]) / 72


def note(axes: Axes, text: str) -> None:
    """Say in the middle of empty axes why they are empty."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY)


def linear(axis: Axis, suffix: str = "", whole: bool = False) -> None:
    """Give an axis few round ticks, written without offsets or powers."""
    axis.set_major_locator(MaxNLocator(6, integer=whole, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}{suffix}"))


def logarithmic(axis: Axis, low: float, high: float, factor: float = 1.0, suffix: str = "") -> None:
    """Make an axis logarithmic from `low` to `high`, with plain numbers at its ticks."""
    limits = (low, high)
    if isinstance(axis, XAxis):
        axis.axes.set_xscale("log")
        axis.axes.set_xlim(*limits)
    else:
        axis.axes.set_yscale("log")
        axis.axes.set_ylim(*limits)
    decades = math.log10(high / low)
    subs = (1.0, 2.0, 5.0) if decades < 2.2 else (1.0, 3.0) if decades < 3 else (1.0,)
    axis.set_major_locator(LogLocator(base=10, subs=subs, numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value * factor:,.6g}{suffix}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
