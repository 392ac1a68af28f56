"""Pictures of one simulation: latency and rates over time, utilization, distribution of latency.

Layer: plots. Each `on_...` draws on axes it is given, so that the overview is made of the same.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from scalesim.ops import COMPLETED
from scalesim.plots.graph import resource_words
from scalesim.plots.style import (
    BLUE,
    CURVES,
    GREY,
    INK,
    RED,
    SHADE,
    SKY,
    Picture,
    fit_legends,
    head,
    house_style,
    legend_above,
    linear,
    logarithmic,
    note,
    percent,
    text_width,
    time_unit,
)
from scalesim.results import Results
from scalesim.results.latency import Latency, bucket_edges

__all__ = ["PANELS", "overview", "single"]

_WIDTH, _HEAD_SIZE = 13.3, 13.5  # [inches], [points]
_MOST_BARS, _MOST_BARS_SMALL, _MOST_CURVES = 16, 8, 5
_QUANTILES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))


def single(results: Results, kind: str) -> Picture:
    """Return one panel as a picture of its own."""
    with house_style():
        bars = min(len(_resources(results)), _MOST_BARS)
        height = 1.9 + 0.36 * max(bars, 3) if kind == "utilization" else 5.6
        picture = Picture(10.0, height)
        PANELS[kind](picture.subplots(), results, False)
        fit_legends(picture)
        return picture


def overview(results: Results) -> Picture:
    """Return what a client saw and what each resource did, on one slide."""
    with house_style():
        picture = Picture(_WIDTH, 7.8)
        axes = picture.subplots(2, 2)
        kinds = ("latency", "rate", "utilization", "distribution")
        for at, kind in zip(axes.flat, kinds, strict=True):
            PANELS[kind](at, results, True)
        headline = _lines(_headline(results), _WIDTH - 0.3)
        picture.suptitle(headline, x=0.01, ha="left", fontsize=_HEAD_SIZE, fontweight="bold")
        fit_legends(picture)
        return picture


def _lines(parts: list[str], width: float) -> str:
    """Return the parts side by side, in as many lines as they need [inches]."""
    lines = parts[:1]
    for part in parts[1:]:
        longer = f"{lines[-1]}   |   {part}"
        fits = text_width(longer, _HEAD_SIZE, bold=True) <= width
        lines = [*lines[:-1], longer] if fits else [*lines, part]
    return "\n".join(lines)


def _headline(results: Results) -> list[str]:
    if not results.measured_time:
        return ["PARTIAL RUN: stopped before measuring began"]
    latency = results.latency
    parts = ["PARTIAL RUN"] if results.partial else []
    if results.unstable:
        component, resource = results.unstable.split(".", 1)
        parts.append(f"UNSTABLE: {component} {resource_words(resource)}")
    parts.append(f"{results.throughput:,.4g} requests/s completed")
    if latency.count:
        parts.append(f"p99 latency {_time(latency.quantile(0.99))}")
    parts.append(f"errors {percent(results.error_ratio)}")
    worst = results.bottleneck
    if worst.utilization > 0:
        resource = resource_words(worst.resource)
        parts.append(f"bottleneck: {worst.component} {resource}, {percent(worst.utilization)}")
    return parts


def _time(seconds: float) -> str:
    scale, unit = time_unit(seconds)
    return f"{seconds * scale:,.3g} {unit}"


# Over time --------------------------------------------------------------------------------


def _over_time(
    axes: Axes, results: Results, series: pd.DataFrame
) -> tuple[np.ndarray, list[Patch]]:
    """Shade the warm-up, name the time axis; return x values of the series, legend entries."""
    end = float(series["end_s"].iloc[-1]) if len(series) else 1.0
    scale, unit = time_unit(max(end, 1.0))
    warmup = min(results.recordings[0].spec.warmup, end) * scale
    axes.set_xlim(0, end * scale)
    linear(axes.xaxis)
    trial = f", trial 1 of {results.trials}" if results.trials > 1 else ""
    axes.set_xlabel(f"simulated time [{unit}]{trial}")
    entries = []
    if warmup > 0:
        axes.axvspan(0, warmup, color=SHADE, linewidth=0, zorder=0)
        axes.axvline(warmup, color=GREY, linewidth=1.2, linestyle=(0, (2, 2)), zorder=1)
        entries = [Patch(facecolor=SHADE, label="warm-up (not measured)")]
    middle = (series["start_s"] + series["end_s"]).to_numpy() / 2 * scale
    return middle, entries


def on_latency(axes: Axes, results: Results, small: bool) -> None:
    """Draw median and 99th percentile of the latency over time."""
    head(axes, "Latency over time")
    series = results.series()
    p50, p99 = (series[f"latency_{q}_s"].to_numpy(float) for q in ("p50", "p99"))
    completed = np.concatenate([p50, p99])
    completed = completed[np.isfinite(completed)]
    seen = completed[completed > 0]
    if not len(seen):
        note(axes, "all latencies are 0 s" if len(completed) else "no request completed")
        return
    x, entries = _over_time(axes, results, series)
    scale, unit = time_unit(float(seen.max()))
    lines = [
        axes.plot(x, y * scale, color=color, linestyle=line, label=label, **_marked(y))[0]
        for y, color, line, label in (
            (p99, RED, "solid", "p99"), (p50, BLUE, (0, (5, 1.5)), "p50"),
        )
    ]  # fmt: skip
    axes.set_ylabel(f"latency of completed\nrequests [{unit}]")
    if seen.max() > 30 * seen.min():
        logarithmic(axes.yaxis, seen.min() * scale / 1.5, seen.max() * scale * 1.5)
    else:
        axes.set_ylim(0, seen.max() * scale * 1.1)
        linear(axes.yaxis)
    legend_above(axes, [*lines, *entries])


def _marked(values: np.ndarray) -> dict[str, Any]:
    """Return how to show values that no line connects: gaps on both sides would hide them."""
    lone = np.isfinite(values).sum() < 4
    return {"marker": "o", "markersize": 5} if lone else {}


def on_rate(axes: Axes, results: Results, small: bool) -> None:
    """Draw arrivals, completions and failures a second over time."""
    head(axes, "Requests over time")
    series = results.series()
    x, entries = _over_time(axes, results, series)
    arrived, completed = (
        series[name].to_numpy(float) for name in ("arrival_rate_rps", "throughput_rps")
    )
    flow = results.recordings[0].flow["count"].sum(axis=1)[: len(series)]
    width = (series["end_s"] - series["start_s"]).to_numpy(float)
    failed = (flow.sum(axis=1) - flow[:, COMPLETED]) / width
    lines = [
        axes.plot(x, y, color=color, linestyle=line, label=label, **_marked(y))[0]
        for y, color, line, label in (
            (arrived, INK, (0, (1.5, 1.2)), "arrived"), (completed, BLUE, "solid", "completed"),
        )
    ]  # fmt: skip
    if failed.sum() > 0:
        lines += axes.plot(x, failed, color=RED, label="failed", **_marked(failed))
    lines[0].set_zorder(3)  # dots that are seen also where all complete, or all fail
    top = max(float(np.nanmax([*arrived, *completed, *failed, 0.0])), 1e-9)
    axes.set_ylim(0, top * 1.12)
    linear(axes.yaxis)
    axes.set_ylabel("rate [requests/s]")
    legend_above(axes, [*lines, *entries])


# Utilization ------------------------------------------------------------------------------


def _resources(results: Results) -> pd.DataFrame:
    frame = results.resources_table(intervals=False)
    return frame[frame["resource"] != "room"].reset_index(drop=True)


def on_utilization(axes: Axes, results: Results, small: bool) -> None:
    """Draw one bar for each resource: its mean, and its busiest instance as a mark."""
    head(axes, "Utilization")
    if not results.measured_time:
        note(axes, "stopped before measuring began")
        return
    frame = _resources(results)
    most = _MOST_BARS_SMALL if small else _MOST_BARS
    shown = frame.nlargest(most, "utilization_busiest_ratio").sort_index()
    left_out = frame.drop(shown.index)["utilization_busiest_ratio"]
    worst = results.bottleneck
    y = np.arange(len(shown))[::-1]
    mean = 100 * shown["utilization_ratio"].to_numpy(float)
    busiest = 100 * shown["utilization_busiest_ratio"].to_numpy(float)
    limiting = (shown["component"] == worst.component) & (shown["resource"] == worst.resource)
    several = shown["instances"].to_numpy() > 1
    colors = np.where(limiting, RED, SKY)
    axes.barh(y, mean, height=0.62, color=colors)
    axes.scatter(busiest[several], y[several], marker="D", s=34, color=INK, zorder=3)
    for at, value in zip(y, busiest, strict=True):
        axes.annotate(
            percent(value / 100), (value, at), xytext=(8, 0), textcoords="offset points",
            va="center", fontsize=10.5,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
        )  # fmt: skip
    names = shown["component"] + "  " + shown["resource"].map(resource_words)
    axes.set_yticks(y, names.tolist())
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, 116)
    axes.set_ylim(len(shown) - 0.4 - max(len(shown) + 0.2, 4.0), len(shown) - 0.4)
    axes.set_xticks(range(0, 101, 20))
    axes.grid(True, axis="x")
    axes.grid(False, axis="y")
    axes.axvline(100, color=GREY, linewidth=1.2)
    rest = f"; {len(left_out)} more, {percent(left_out.max())} at most" if len(left_out) else ""
    axes.set_xlabel(f"mean utilization [%]{rest}")
    entries = [Patch(color=RED, label="bottleneck"), Patch(color=SKY, label="other resources")]
    if several.any():
        mark = Line2D([], [], color=INK, marker="D", markersize=6, linestyle="none")
        mark.set_label("busiest instance")
        entries.append(mark)  # type: ignore[arg-type]
    legend_above(axes, entries)


# Distribution -----------------------------------------------------------------------------


def _tail(latency: Latency) -> tuple[np.ndarray, np.ndarray]:
    """Return (x [s], share slower than x) as the corners of a falling step function."""
    filled = np.flatnonzero(latency.histogram)
    edges = bucket_edges()
    x = np.minimum((edges[filled] + edges[filled + 1]) / 2, latency.longest)
    slower = 1 - np.cumsum(latency.histogram[filled]) / latency.count
    # The last corner is at 0, which a log axis cannot show: it goes down to the lower edge.
    return x, np.concatenate([[1.0], np.maximum(slower, 1e-12)])


def on_distribution(axes: Axes, results: Results, small: bool) -> None:
    """Draw which share of requests is slower than x, by endpoint, both axes logarithmic."""
    pooled = results.latency
    if not pooled.count or pooled.longest <= 0:
        head(axes, "Distribution of latency")
        note(axes, "no request completed" if not pooled.count else "all latencies are 0 s")
        return
    by_endpoint = [(name, results.latency_of(name)) for name in results.plan.endpoint_names]
    seen = sorted((each for each in by_endpoint if each[1].count), key=lambda e: -e[1].count)
    shown = seen[:_MOST_CURVES] if len(seen) > 1 else []
    scale, unit = time_unit(pooled.quantile(0.99))
    floor = 10 ** math.floor(math.log10(max(0.5 / pooled.count, 1e-6)))
    entries = []
    curves = [(pooled, INK, "all" if shown else seen[0][0], 2.6)]
    curves += [(each, CURVES[i], name, 1.8) for i, (name, each) in enumerate(shown)]
    low, high = math.inf, 0.0
    for latency, color, label, width in reversed(curves):
        x, slower = _tail(latency)
        low, high = min(low, max(latency.quantile(0.02), x[-1] / 1e5)), max(high, x[-1])
        x = np.concatenate([[1e-12], np.maximum(x, 1e-12), x[-1:]])
        y = np.concatenate([[1.0], slower, [1e-12]])[: len(x)]
        entries += axes.plot(
            x * scale, y, color=color, label=label, linewidth=width, drawstyle="steps-post"
        )
    logarithmic(axes.xaxis, low * scale / 1.5, high * scale * 1.3)
    logarithmic(axes.yaxis, floor, 1.4, factor=100)
    for name, p in _QUANTILES:
        value = pooled.quantile(p)
        axes.axhline(1 - p, color=GREY, linewidth=1, linestyle=(0, (2, 2)), zorder=1)
        axes.plot([value * scale], [1 - p], "o", color=RED, markersize=7, zorder=5)
        axes.annotate(
            f"{name} {_time(value)}", (1.0, 1 - p), xycoords=("axes fraction", "data"),
            xytext=(6, 0), textcoords="offset points", va="center", fontsize=11,
            annotation_clip=False,
        )  # fmt: skip
    axes.grid(True, axis="x")
    rarer = len(seen) - len(shown) if shown else 0
    more = f"; {rarer} rarer endpoints not drawn" if rarer else ""
    axes.set_xlabel(f"latency of completed requests [{unit}]{more}")
    axes.set_ylabel("slower than that\n[% of requests]")
    head(axes, "Distribution of latency")
    legend_above(axes, entries[::-1])


PANELS = {
    "distribution": on_distribution,
    "latency": on_latency,
    "rate": on_rate,
    "utilization": on_utilization,
}
"""Kind of picture -> what draws it on given axes; `small` on a quarter of a slide."""
