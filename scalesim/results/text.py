"""Results in words: the summary, HTML for a notebook, plain data for JSON."""

from __future__ import annotations

import html as _html
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesim.results.intervals import Estimate
from scalesim.results.metrics import interval_columns
from scalesim.results.tables import QUANTILES, component_rows, requests, resources
from scalesim.words import significant

if TYPE_CHECKING:
    from scalesim.results.results import Results

__all__ = ["as_dict", "html", "plain", "summary"]


def summary(results: Results) -> str:
    """Return the main figures in a few lines."""
    lines = [*results.notices]
    if results.partial:
        lines.append(f"PARTIAL: interrupted; {_kept(results)}")
    if not results.measured_time:
        return "\n".join(lines)
    lines += [
        f"measured {_window(results)}, {results.engine} engine",
        f"arrived {significant(results.arrival_rate)}/s, "
        f"completed {significant(results.throughput)}/s, error ratio "
        + ("none" if math.isnan(results.error_ratio) else f"{results.error_ratio:.3%}"),
    ]
    shown = {name: results.estimate(f"latency_{name}_s") for name in ("mean", *QUANTILES)}
    figures = ", ".join(f"{name} {_with_interval(found)}" for name, found in shown.items())
    bottleneck = results.bottleneck
    lines += [
        f"latency of completed requests: {figures}",
        *_how(shown["mean"]),
        f"bottleneck: {bottleneck if bottleneck.utilization else 'none, for nothing was used'}",
        *(f"WARNING: {each}" for each in results.warnings),
    ]
    return "\n".join(lines)


def _kept(results: Results) -> str:
    """Return in words what an interrupted run has kept."""
    spec, asked = results.recordings[0].spec, results.trials + results.left_out
    if not results.measured_time:
        warmup = significant(spec.warmup, 6)
        return f"nothing was measured, for no trial came to the end of its warm-up, {warmup} s"
    if all(not each.partial for each in results.recordings):
        return f"the figures are of the trials that are whole, {results.trials} of {asked}"
    return (
        f"the figures are of {significant(results.measured_time, 6)} s measured, of "
        f"{significant((spec.duration - spec.warmup) * asked, 6)} s asked for"
    )


def _window(results: Results) -> str:
    """Return in words how long was measured, and how often."""
    spec, trials = results.recordings[0].spec, results.trials
    time, each = spec.duration - spec.warmup, ""
    if any(each.partial for each in results.recordings):
        time, each = results.measured_time, " in all" if trials > 1 else ""
    return (
        f"{significant(time, 6)} s{each} after {significant(spec.warmup, 6)} s of warm-up, "
        f"{trials} trial{'s' if trials > 1 else ''}"
    )


def _with_interval(found: Estimate) -> str:
    """Return a time and how far the interval goes, the longer way."""
    if math.isnan(found.value):
        return "none"
    value = significant(found.value * 1e3)
    if math.isnan(found.half_width):
        return f"{value} ms"
    if math.isinf(found.half_width):  # it has no upper end: only the lower one says something
        return f"{value} ms (at least {significant(found.low * 1e3, 3)} ms)"
    return f"{value} ± {significant(found.half_width * 1e3, 2)} ms"


def _how(found: Estimate) -> list[str]:
    """Return what the intervals are made of."""
    if found.method in ("trials", "batches"):
        return [f"±: {found.confidence:.0%} intervals, from {found.samples} {found.method}"]
    return []


def html(results: Results) -> str:
    """Return the summary and the main tables as HTML for a notebook."""
    text = _html.escape(summary(results))
    parts = [f"<pre>{text}</pre>"]
    if not results.measured_time:
        return parts[0]
    for frame in (requests(results, False), resources(results, False, False)):
        parts.append(frame.to_html(index=False, float_format=lambda x: f"{x:.4g}", border=0))
    return "".join(parts)


def as_dict(results: Results) -> dict[str, Any]:
    """Return the main figures as plain data; nan becomes None, inf "inf"."""
    bottleneck = results.bottleneck
    names = ["arrival_rate_rps", "throughput_rps", "error_ratio", "latency_mean_s"]
    names += [f"latency_{q}_s" for q in QUANTILES]
    shown = {name: results.estimate(name) for name in names}
    figures: dict[str, float] = {}
    for name, found in shown.items():
        figures |= {name: found.value, **interval_columns(results, name, name)}
    data = {
        "engine": results.engine,
        "trials": results.trials,
        "partial": results.partial,
        "notices": list(results.notices),
        "measured_s": results.measured_time,
        "requests": results.counts,
        "warnings": [each.to_dict() for each in results.warnings],
        "warmup_s": results.recordings[0].spec.warmup,
        "confidence_ratio": results.confidence,
        "interval_method": shown["throughput_rps"].method,
        **figures,
        "bottleneck": {
            "component": bottleneck.component,
            "resource": bottleneck.resource,
            "utilization_ratio": bottleneck.utilization,
            "queue_depth_mean": bottleneck.queue_depth,
            "wait_mean_s": bottleneck.wait_mean,
            "wait_share_ratio": bottleneck.wait_share,
        },
        "endpoints": requests(results, True).to_dict("records"),
        "resources": resources(results, False, True).to_dict("records"),
        "components": component_rows(results, True),
    }
    return {key: plain(value) for key, value in data.items()}


def plain(value: Any) -> Any:
    """Return data that JSON can hold: nan becomes None, what is unbounded "inf"."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, (float, np.floating)):
        if math.isnan(value):
            return None
        return float(value) if math.isfinite(value) else str(float(value))
    return int(value) if isinstance(value, np.integer) else value
