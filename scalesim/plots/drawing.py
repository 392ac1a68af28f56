"""The drawing of a topology: boxes in columns, arrows for calls, colored by utilization.

Layer: plots. One unit of the axes is one inch, so that texts can be measured and never overlap; the
picture grows with the topology.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, PathPatch
from matplotlib.path import Path

from scalesim.plots.graph import Edge, Layout, layered, resource_words, size_words, type_words
from scalesim.plots.style import GREY, HEAT, INK, Picture, house_style, percent, text_width
from scalesim.results import Results
from scalesim.results.bottleneck import NO_LIMIT
from scalesim.topology import Topology

__all__ = ["draw"]

# Inches. 12 points are a sixth of an inch.
_LINE, _PAD, _GAP, _BETWEEN, _MARGIN = 0.215, 0.16, 0.8, 0.35, 0.3
_CLIENTS, _HEAD, _FOOT, _BAR = 1.0, 0.55, 0.45, 1.1
_NAME_SIZE, _SIZE, _LONGEST = 12, 11, 26

Point = tuple[float, float]


@dataclass(frozen=True)
class _Box:
    """A component as drawn: its middle and size [inches], its lines of text."""

    x: float
    y: float
    width: float
    height: float
    lines: list[str]
    utilization: float | None


def draw(topology: Topology, results: Results | None = None) -> Picture:
    """Draw who calls whom, from the clients at the left.

    Parameters
    ----------
    topology : Topology
    results : Results, optional
        Color each component by its busiest resource, and say which that is.

    Returns
    -------
    matplotlib.figure.Figure
    """
    layout = layered(topology)
    lines = {name: _lines(topology, name, results) for name in topology.components}
    busiest = _busiest(results) if results is not None and results.measured_time else {}
    with house_style():
        return _drawn(topology, results, layout, lines, {n: u for n, (u, _) in busiest.items()})


def _drawn(
    topology: Topology,
    results: Results | None,
    layout: Layout,
    lines: dict[str, list[str]],
    utilization: dict[str, float],
) -> Picture:
    boxes, right, top, bottom = _boxes(layout, lines, utilization)
    measured = results is not None and results.measured_time > 0
    rate = f"{results.arrival_rate:,.4g} requests/s" if results is not None and measured else ""
    left = -_CLIENTS - max(0.0, text_width(rate, _SIZE) - 0.7)
    colored = any(each.utilization is not None for each in boxes.values())
    messages = any(e.message for e in (*layout.others, *(e for e, _ in layout.ways)))
    loops = 0.5 if layout.others else 0.0
    foot = _MARGIN + loops + (_FOOT if messages else 0.0)
    x0, x1 = left - _MARGIN, right + _MARGIN + (_BAR if colored else 0.0)
    title = _title(topology, results)
    x1 = max(x1, x0 + 2 * _MARGIN + text_width(title, 14, bold=True))
    y0, y1 = bottom - foot, top + _MARGIN + _HEAD
    short = max(0.0, (3.0 if colored else 2.0) - (y1 - y0))
    y0, y1 = y0 - short / 2, y1 + short / 2

    picture = Picture(x1 - x0, y1 - y0, constrained=False)
    axes = picture.add_axes((0, 0, 1, 1))
    axes.set(xlim=(x0, x1), ylim=(y0, y1))
    axes.set_axis_off()
    axes.text(x0 + _MARGIN, y1 - 0.2, title, fontsize=14, fontweight="bold", va="top")
    _arrows(axes, layout, boxes)
    entry = boxes[topology.entry]
    _clients(axes, entry, left, rate)
    for box in boxes.values():
        _draw_box(axes, box)
    if messages:
        _legend(axes, x0 + _MARGIN, y0 + 0.25)
    if colored:
        height = min(y1 - y0 - _HEAD - 2 * _MARGIN, 3.2)
        middle = (y0 + y1 - _HEAD) / 2
        bottom_left = ((x1 - _BAR - x0) / (x1 - x0), (middle - height / 2 - y0) / (y1 - y0))
        bar = picture.add_axes((*bottom_left, 0.16 / (x1 - x0), height / (y1 - y0)))
        ticks = [0.0, 0.25, 0.5, 0.75, 1.0]
        colors = picture.colorbar(ScalarMappable(Normalize(0, 1), HEAT), cax=bar, ticks=ticks)
        colors.ax.set_yticklabels([f"{100 * each:.0f}" for each in ticks], fontsize=10)
        colors.set_label("utilization [%]", fontsize=11)
        colors.outline.set_visible(False)
    return picture


def _title(topology: Topology, results: Results | None) -> str:
    if results is None:
        return f"{len(topology.components)} components, entered at {topology.entry}"
    partial = " (partial run)" if results.partial else ""
    return f"Utilization by component{partial}"


def _busiest(results: Results) -> dict[str, tuple[float, str]]:
    """Return (utilization, resource) of each component's busiest instance and resource."""
    busiest: dict[str, tuple[float, str]] = {}
    for used, label in zip(results.utilization, results.plan.station_labels, strict=True):
        known = busiest.get(label.component, (-1.0, ""))
        if used > known[0] and label.resource not in NO_LIMIT:
            busiest[label.component] = (float(used), label.resource)
    return busiest


def _lines(topology: Topology, name: str, results: Results | None) -> list[str]:
    part = topology.components[name]
    short = name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
    lines = [short, type_words(part), size_words(part)]
    if results is not None and results.measured_time:
        used, resource = _busiest(results).get(name, (0.0, ""))
        lines.append(f"{resource_words(resource)} {percent(used)}" if resource else "")
        if name in results.plan.cache_names and getattr(part, "hit_ratio", None) is None:
            row = results.caches[name]
            lookups = row["hits"] + row["misses"]
            lines.append(f"hits {percent(row['hits'] / lookups)}" if lookups else "")
    return [each for each in lines if each]


def _boxes(
    layout: Layout, lines: dict[str, list[str]], utilization: dict[str, float]
) -> tuple[dict[str, _Box], float, float, float]:
    """Return the boxes, and the right, top and bottom end of them all."""
    tall = max(map(len, lines.values())) * _LINE + 2 * _PAD
    step = tall + _BETWEEN
    boxes, left = {}, 0.0
    for column in range(max(layout.column.values()) + 1):
        names = [name for name, at in layout.column.items() if at == column]
        wide = 2 * _PAD + max(
            text_width(text, _NAME_SIZE if i == 0 else _SIZE, bold=i == 0)
            for name in names
            for i, text in enumerate(lines[name])
        )
        for name in names:
            middle = (left + wide / 2, layout.height[name] * step)
            boxes[name] = _Box(*middle, wide, tall, lines[name], utilization.get(name))
        left += wide + _GAP
    # What passes by a column needs room, too.
    heights = [layout.height[name] * step for name in lines]
    passing = [at * step for _, way in layout.ways for _, at in way]
    top = max(max(heights) + tall / 2, *passing, 0.0) if passing else max(heights) + tall / 2
    bottom = min(min(heights) - tall / 2, *passing) if passing else min(heights) - tall / 2
    return boxes, left - _GAP, top, bottom


def _draw_box(axes: Axes, box: _Box) -> None:
    fill = HEAT(min(box.utilization, 1.0)) if box.utilization is not None else (1.0, 1.0, 1.0, 1.0)
    corner = (box.x - box.width / 2, box.y - box.height / 2)
    axes.add_patch(
        FancyBboxPatch(
            corner,
            box.width,
            box.height,
            boxstyle="round,pad=0,rounding_size=0.1",
            facecolor=fill,
            edgecolor=INK,
            linewidth=1.3,
            zorder=3,
        )
    )
    ink = "white" if _luminance(fill) < 0.2 else INK
    first = box.y + (len(box.lines) - 1) * _LINE / 2
    for index, text in enumerate(box.lines):
        axes.text(
            box.x, first - index * _LINE, text, color=ink, ha="center", va="center", zorder=4,
            fontsize=_NAME_SIZE if index == 0 else _SIZE,
            fontweight="bold" if index == 0 else "normal",
        )  # fmt: skip


def _luminance(color: tuple[float, float, float, float]) -> float:
    """Return the relative luminance of WCAG 2."""
    linear = [((c + 0.055) / 1.055) ** 2.4 if c > 0.03928 else c / 12.92 for c in to_rgb(color)]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def _arrow(axes: Axes, path: Path, message: bool) -> None:
    """Draw a line and, on its last straight bit, a head that is never dashed."""
    dashes = (0, (4, 2.5)) if message else "solid"
    vertices = np.asarray(path.vertices, float)
    (x0, y0), (x1, y1) = vertices[-2:].tolist()
    axes.add_patch(
        PathPatch(
            Path(vertices[:-1], None if path.codes is None else np.asarray(path.codes)[:-1]),
            edgecolor=GREY,
            facecolor="none",
            linewidth=1.5,
            linestyle=dashes,
            zorder=2,
            capstyle="butt",
        )
    )
    axes.add_patch(
        FancyArrowPatch(
            (x0, y0),
            (x1, y1),
            arrowstyle="-|>,head_length=6,head_width=3.2",
            color=GREY,
            linewidth=1.5,
            zorder=2,
            shrinkA=0,
            shrinkB=0,
            joinstyle="miter",
            mutation_scale=1,
        )
    )


def _smooth(points: list[Point]) -> Path:
    """Return a curve through the points that is level at each of them."""
    vertices, codes = [points[0]], [Path.MOVETO]
    for (x0, y0), (x1, y1) in pairwise(points):
        half = (x0 + x1) / 2
        if abs(y1 - y0) < 1e-6:
            vertices.append((x1, y1))
            codes.append(Path.LINETO)
        else:
            vertices += [(half, y0), (half, y1), (x1, y1)]
            codes += [Path.CURVE4] * 3
    return Path(vertices, codes)


def _middle(box: _Box) -> Point:
    return box.x, box.y


def _ports(edges: list[tuple[Edge, Point]], box: _Box) -> dict[Edge, float]:
    """Return where on a box's side its arrows touch: spread, in order of where they lead."""
    ordered = sorted(edges, key=lambda each: -each[1][1])
    n = len(ordered)
    room = min(0.2, 0.7 * box.height / max(n, 1))
    return {edge: box.y + ((n - 1) / 2 - index) * room for index, (edge, _) in enumerate(ordered)}


def _arrows(axes: Axes, layout: Layout, boxes: dict[str, _Box]) -> None:
    step = next(iter(boxes.values())).height + _BETWEEN
    sides: dict[int, tuple[float, float]] = {}
    for name, box in boxes.items():
        sides[layout.column[name]] = (box.x - box.width / 2, box.x + box.width / 2)
    ways = {
        edge: [(sides[c][side], height * step) for c, height in way for side in (0, 1)]
        for edge, way in layout.ways
    }
    leave: dict[Edge, float] = {}
    enter: dict[Edge, float] = {}
    for name, box in boxes.items():
        out = [
            (e, (w or [_middle(boxes[e.target])])[0]) for e, w in ways.items() if e.source == name
        ]
        into = [
            (e, (w or [_middle(boxes[e.source])])[-1]) for e, w in ways.items() if e.target == name
        ]
        leave.update(_ports(out, box))
        enter.update(_ports(into, box))
    for edge, way in ways.items():
        source, target = boxes[edge.source], boxes[edge.target]
        start = (source.x + source.width / 2, leave[edge])
        end = (target.x - target.width / 2 - 0.03, enter[edge])
        straight = (end[0] - 0.12, end[1])  # the arrow's head lies level
        _arrow(axes, _with_tail(_smooth([start, *way, straight]), end), edge.message)
    for edge in layout.others:
        _arrow(axes, _below(boxes[edge.source], boxes[edge.target]), edge.message)


def _with_tail(path: Path, end: Point) -> Path:
    assert path.codes is not None
    vertices, codes = np.asarray(path.vertices, float), np.asarray(path.codes)
    return Path(np.vstack([vertices, end]), np.append(codes, Path.LINETO))


def _below(source: _Box, target: _Box) -> Path:
    """Return a way back, or to itself, that leaves and enters at the lower edge."""
    aside = 0.25 if source is target else 0.0
    start = (source.x + aside, source.y - source.height / 2)
    end = (target.x - aside, target.y - target.height / 2 - 0.03)
    straight = (end[0], end[1] - 0.12)
    depth = min(start[1], end[1]) - 0.5
    return Path(
        [start, (start[0], depth), (end[0], depth), straight, end],
        [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4, Path.LINETO],
    )


def _clients(axes: Axes, entry: _Box, left: float, rate: str) -> None:
    end = entry.x - entry.width / 2 - 0.03
    _arrow(axes, Path([(left, entry.y), (end - 0.12, entry.y), (end, entry.y)]), False)
    axes.text(left, entry.y + 0.09, "clients", fontsize=_SIZE, fontweight="bold", va="bottom")
    if rate:
        axes.text(left, entry.y - 0.09, rate, fontsize=_SIZE, va="top")


def _legend(axes: Axes, x: float, y: float) -> None:
    axes.add_line(Line2D([x, x + 0.45], [y, y], color=GREY, linewidth=1.5))
    axes.text(x + 0.55, y, "call", va="center", fontsize=_SIZE)
    x += 1.1
    axes.add_line(Line2D([x, x + 0.45], [y, y], color=GREY, linewidth=1.5, linestyle=(0, (4, 2.5))))
    axes.text(x + 0.55, y, "message: the sender goes on", va="center", fontsize=_SIZE)
