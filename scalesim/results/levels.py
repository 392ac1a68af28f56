"""Levels: shares of time at each number of something (requests in flight, busy cores, ...)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from scalesim.errors import InvalidInput, nearest

if TYPE_CHECKING:
    import pandas as pd

    from scalesim.results.results import Results

__all__ = ["entered", "levels_table", "time_shares"]


def time_shares(results: Results, component: str, what: str) -> np.ndarray:
    """Return the share of time at each number, over all instances and trials."""
    time = _pooled(results, component, what, "level_time")
    total = float(time.sum())
    return time / total if total else np.full(len(time), math.nan)


def entered(results: Results, component: str, what: str) -> np.ndarray:
    """Return how often each number was entered from below, over all instances and trials."""
    return _pooled(results, component, what, "level_entered")


def _pooled(results: Results, component: str, what: str, name: str) -> np.ndarray:
    labels = results.plan.level_labels
    rows = [i for i, x in enumerate(labels) if (x.component, x.resource) == (component, what)]
    if not rows:
        known = [f"{x.component}.{x.resource}" for x in dict.fromkeys(labels)]
        asked = f"{component}.{what}"
        names = ", ".join(dict.fromkeys(known)) or "none"
        raise InvalidInput(
            f'no shares of time are kept of "{asked}". {nearest(asked, known)}Known: {names}'
        )
    totals = results.pooled(name)
    parts = [totals[first : first + count] for first, count in results.plan.level[rows].tolist()]
    total: np.ndarray = np.sum(parts, axis=0)
    return total


def levels_table(results: Results) -> pd.DataFrame:
    """Return one row for each level: its mean and quantiles over time."""
    import pandas as pd

    rows = []
    labels = results.plan.level_labels
    for component, what in dict.fromkeys((x.component, x.resource) for x in labels):
        share = time_shares(results, component, what)
        below = np.cumsum(share)
        rows.append(
            {
                "component": component,
                "what": what,
                "mean": float(share @ np.arange(len(share))),
                **{
                    f"p{100 * p:g}": int(np.argmax(below >= p)) if below[-1] > p else math.nan
                    for p in (0.5, 0.9, 0.99)
                },
            }
        )
    return pd.DataFrame(rows, columns=["component", "what", "mean", "p50", "p90", "p99"])
