"""The picture of a forecast: utilization, latency and errors over the months, the break marked.

Layer: plots.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter

from scalesim.plots.graph import resource_words
from scalesim.plots.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    RED,
    SHADE,
    Picture,
    house_style,
    linear,
    logarithmic,
    note,
    percent,
    time_unit,
)
from scalesim.studies.forecast import Break, Forecast, MonthPoint

__all__ = ["forecast"]

_BAND = "#F6D3BF"  # the color of a break, pale: where it may lie
_SHADE_ALPHA = 0.075  # of black: SHADE, on white
_MOST_LABELS = 12

Points = Sequence[MonthPoint]


def forecast(answer: Forecast) -> Picture:
    """Return utilization and latency over the months on a slide; errors, too, if there are any.

    Parameters
    ----------
    answer : Forecast
    """
    panels: list[Callable[[Axes, Forecast], None]] = [_utilization]
    limits = answer.objective
    points = (*answer.points, *answer.after_fix)
    if limits.latency is not None or limits.error_ratio is None:
        panels.append(_latency)
    if limits.error_ratio is not None and (
        limits.latency is None or any(each.error_ratio > 0 for each in points)
    ):
        panels.append(_errors)
    with house_style():
        picture = Picture(11.0, 2.4 + 2.35 * len(panels))
        all_axes = picture.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
        picture.suptitle(_title(answer), x=0.01, ha="left", fontsize=14, fontweight="bold")
        if not answer.points:
            for axes in all_axes:
                note(axes, "interrupted before the months were simulated")
            return picture
        for axes, panel in zip(all_axes, panels, strict=True):
            panel(axes, answer)
            _marks(axes, answer)
        _month_axis(all_axes[-1], answer)
        picture.align_ylabels(all_axes)
        entries = _legend(answer)
        picture.legend(
            handles=entries, labels=[str(each.get_label()) for each in entries],
            loc="outside lower left", ncols=2, handlelength=2.2,
        )  # fmt: skip
        return picture


def _title(answer: Forecast) -> str:
    partial = "PARTIAL: " if answer.partial else ""
    first = answer.first_break
    if first is None:
        if answer.partial:
            return "Interrupted before the breaking load was found"
        return f"Nothing breaks within {_count(answer.months)}"
    if first.at_every_load:
        return f"{partial}The objective is missed at every load"
    if first.month is None or first.month > answer.months:
        first_then = f"the first would be {_what(first)}, at {_rate(first.rate)}"
        return f"{partial}Nothing breaks within {_count(answer.months)}; {first_then}"
    if first.already:
        return f"{partial}Too small today: {_what(first)}, good for {_rate(first.rate)}"
    return f"{partial}Breaks first: {_what(first)}, in month {first.month}, at {_rate(first.rate)}"


def _count(months: int) -> str:
    return f"{months} month" if months == 1 else f"{months} months"


def _what(broken: Break) -> str:
    return f"{broken.component} {resource_words(broken.resource)}"


def _rate(rate: float) -> str:
    return f"{_number(rate)} requests/s"


def _number(value: float) -> str:
    """Return a number in few digits: ``87.2``, ``1,240``, ``56.1k``, ``3.2M``."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= max(size, 1e4):
            scaled = value / size
            return f"{scaled:,.{1 if scaled < 100 else 0}f}{letter}"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


# The panels -------------------------------------------------------------------------------


def _series(points: Points, value: Callable[[MonthPoint], float]) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray([p.month for p in points]), np.asarray([value(p) for p in points], float)


def _curves(axes: Axes, answer: Forecast, value: Callable[[MonthPoint], float]) -> None:
    size = 5 if answer.months <= 48 else 0
    axes.plot(*_series(answer.points, value), color=BLUE, marker="o", markersize=size, zorder=4)
    if answer.after_fix:
        dashes = (0, (4, 1.5))
        axes.plot(
            *_series(answer.after_fix, value),
            color=GREEN, marker="s", markersize=size, linestyle=dashes, zorder=3,
        )  # fmt: skip


def _utilization(axes: Axes, answer: Forecast) -> None:
    _curves(axes, answer, lambda point: 100 * point.utilization)
    axes.axhline(100, color=GREY, linewidth=1.2)
    axes.set_ylim(0, 108)
    axes.set_yticks(range(0, 101, 25))
    axes.set_ylabel("utilization of the\nbusiest resource [%]")


def _latency(axes: Axes, answer: Forecast) -> None:
    limit = answer.objective.latency
    values = [p.latency for p in (*answer.points, *answer.after_fix)]
    seen = [each for each in values if np.isfinite(each) and each > 0]
    top = max([*seen, limit or 0.0], default=0.0)
    scale, unit = time_unit(top)
    axes.set_ylabel(f"{answer.objective.quantile_name} latency\n[{unit}]")
    if not top:
        return
    _curves(axes, answer, lambda point: point.latency * scale)
    low = min([*seen, limit or top])
    if top > 12 * low:
        logarithmic(axes.yaxis, low * scale / 1.5, top * scale * 1.6)
    else:
        axes.set_ylim(0, top * scale * 1.12)
        linear(axes.yaxis)
    if limit is not None:
        _objective(axes, limit * scale)


def _errors(axes: Axes, answer: Forecast) -> None:
    limit = answer.objective.error_ratio or 0.0
    _curves(axes, answer, lambda point: 100 * point.error_ratio)
    values = [p.error_ratio for p in (*answer.points, *answer.after_fix)]
    top = max([*values, limit, 1e-4])
    axes.set_ylim(-3 * top, 112 * top)
    linear(axes.yaxis)
    axes.set_ylabel("requests that\nfail [%]")
    _objective(axes, 100 * limit)


def _objective(axes: Axes, at: float) -> None:
    axes.axhline(at, color=INK, linewidth=1.6, linestyle=(0, (1.2, 1.2)), zorder=2)


# What all panels share --------------------------------------------------------------------


def _within(broken: Break | None, answer: Forecast) -> bool:
    return broken is not None and broken.month is not None and broken.month <= answer.months


def _marks(axes: Axes, answer: Forecast) -> None:
    """Shade unstable months, and mark the break with the range of months it may lie in."""
    axes.set_xlim(-0.5, answer.months + 0.5)
    for left, right in _unstable(answer.points):
        # Over the band of the break, and translucent: a month may be in both.
        axes.axvspan(
            left, right, facecolor="black", alpha=_SHADE_ALPHA, linewidth=0, zorder=1.5,
            label="unstable",
        )  # fmt: skip
    first = answer.first_break
    if first is not None and _within(first, answer):
        assert first.month is not None
        low = first.month if first.month_low is None else first.month_low
        high = answer.months if first.month_high is None else first.month_high
        left, right = max(low, 0) - 0.2, min(high, answer.months) + 0.2
        axes.axvspan(left, right, facecolor=_BAND, linewidth=0, zorder=1)
        axes.axvline(max(first.month, 0), color=RED, linewidth=2, zorder=2)
    after = _next(answer)
    if after is not None and after.month is not None:
        axes.axvline(after.month, color=GREEN, linewidth=1.6, linestyle=(0, (1, 1.5)), zorder=2)


def _unstable(points: Points) -> list[tuple[float, float]]:
    """Return the stretches of unstable months, from half a month before to half a month after."""
    stretches: list[tuple[float, float]] = []
    for point in points:
        if not point.stable:
            left = point.month - 0.5
            if stretches and stretches[-1][1] == left:
                left = stretches.pop()[0]
            stretches.append((left, point.month + 0.5))
    return stretches


def _next(answer: Forecast) -> Break | None:
    """Return what breaks after the fix, if that is later and within the months."""
    after = answer.fix.next_break if answer.fix is not None and answer.fix_helps else None
    return after if _within(after, answer) else None


def _month_axis(axes: Axes, answer: Forecast) -> None:
    """Name every so-manieth month, and the peak rate it has."""
    steps = (1, 2, 3, 6, 12, 24, 60, 120, 240)
    step = next((s for s in steps if answer.months / s <= _MOST_LABELS), 240)
    rates = {point.month: point.rate for point in answer.points}

    def label(month: float, _: int) -> str:
        rate = rates.get(round(month))
        return f"{month:.0f}" if rate is None else f"{month:.0f}\n{_number(rate)}/s"

    axes.xaxis.set_major_locator(FixedLocator(range(0, answer.months + 1, step)))
    axes.xaxis.set_major_formatter(FuncFormatter(label))
    axes.set_xlabel("month from today, and its peak rate [requests/s]")


def _busiest(points: Points) -> str:
    """Return the busiest resources in the order in which they become so."""
    names: list[str] = []
    for point in points:
        component, _, resource = point.busiest.partition(".")
        name = f"{component} {resource_words(resource)}"
        if name not in names:
            names.append(name)
    more = " …" if len(names) > 2 else ""
    return ", then ".join(names[:2]) + more


def _legend(answer: Forecast) -> list[Any]:
    """Return the entries, marks in the same order for every forecast."""
    entries: list[Any] = [
        Line2D([], [], color=BLUE, marker="o", markersize=5, label="as it is: "
               f"busiest is {_busiest(answer.points)}"),
    ]  # fmt: skip
    first, after = answer.first_break, _next(answer)
    if answer.after_fix and answer.fix is not None:
        words = "after the fix" if answer.fix_helps else "with what gets furthest"
        words = f"{words}: {answer.fix.lever}".replace("->", "→")
        dashes = (0, (4, 1.5))
        entries.append(
            Line2D([], [], color=GREEN, marker="s", markersize=5, linestyle=dashes, label=words)
        )
    limits = []
    if answer.objective.latency is not None:
        scale, unit = time_unit(answer.objective.latency)
        time = f"{answer.objective.latency * scale:.4g} {unit}"
        limits.append(f"{answer.objective.quantile_name} at most {time}")
    if answer.objective.error_ratio is not None:
        limits.append(f"errors at most {percent(answer.objective.error_ratio)}")
    words = f"objective: {', '.join(limits)}"
    entries.append(Line2D([], [], color=INK, linewidth=1.6, linestyle=(0, (1.2, 1.2)), label=words))
    if first is not None and _within(first, answer):
        entries.append(Patch(facecolor=_BAND, edgecolor=RED, label=_when(first)))
    if any(not point.stable for point in answer.points):
        entries.append(Patch(facecolor=SHADE, label="unstable as it is: queues grow without end"))
    if after is not None:
        words = f"next to break: {_what(after)}, month {after.month}"
        entries.append(Line2D([], [], color=GREEN, linestyle=(0, (1, 1.5)), label=words))
    return entries


def _when(first: Break) -> str:
    if first.at_every_load:
        return "missed at every load"
    if first.already:
        return "broken today"
    low, high = first.month_low, first.month_high
    if low == high:
        return f"breaks in month {first.month}"
    return f"breaks in month {first.month} ({low} to {'later' if high is None else high})"
