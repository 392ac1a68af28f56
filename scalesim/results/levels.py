"""Levels: shares of time at each number of something (requests in flight, busy cores, ...)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from scalesim.components import Service
from scalesim.errors import InvalidInput, nearest

if TYPE_CHECKING:
    import pandas as pd

    from scalesim.results.results import Results

__all__ = ["availability_table", "levels_table", "time_shares"]


def time_shares(results: Results, component: str, what: str) -> np.ndarray:
    """Return the share of time at each number, over all instances and trials."""
    time = _pooled(results, component, what, "level_time")
    total = float(time.sum())
    return time / total if total else np.full(len(time), math.nan)


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


def availability_table(results: Results) -> pd.DataFrame:
    """Return how available each number of units of each service with failures is."""
    import pandas as pd

    rows = []
    labels = results.plan.level_labels
    for component in dict.fromkeys(x.component for x in labels if x.resource == "down"):
        part = results.topology[component]
        assert isinstance(part, Service)
        assert part.failures is not None
        share = time_shares(results, component, "down")
        # An outage begins when one unit more goes down than is spare.
        begun = _pooled(results, component, "down", "level_entered")
        groups = sum((x.component, x.resource) == (component, "down") for x in labels)
        time = results.measured_time * groups
        units = len(share) - 1
        for needed in range(1, units + 1):
            spare = units - needed
            outage = float(share[spare + 1 :].sum())
            count = int(begun[spare + 1])
            rows.append(
                {
                    "component": component,
                    "unit": part.failures.of,
                    "units": units,
                    "needed": needed,
                    "availability_ratio": float(share[: spare + 1].sum()),
                    "outages_per_hour": 3600 * count / time if time else math.nan,
                    "outage_mean_s": outage * time / count if count else math.nan,
                    "units_up_mean": units - float(share @ np.arange(units + 1)),
                }
            )
    columns = ["component", "unit", "units", "needed", "availability_ratio", "outages_per_hour"]
    return pd.DataFrame(rows, columns=[*columns, "outage_mean_s", "units_up_mean"])
