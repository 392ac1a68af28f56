"""Lines that grow without end, or so slowly settle that a run of this length says little.

How far a station is from instability, counted in standard errors of its offered utilization, is
also how long the run is compared with what its waiting line remembers: in heavy traffic both go
with (1 - utilization)^2 x requests / variability of arrivals and services (Whitt, "Planning
queueing simulations", Management Science 35, 1989).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scalesim.plan.tables import AMOUNT
from scalesim.results.measured import widths
from scalesim.traffic import Traffic

if TYPE_CHECKING:
    from scalesim.results.results import Results

__all__ = [
    "Loads",
    "beyond_chance",
    "excess",
    "growing_line",
    "loads",
    "perhaps_growing",
    "slowest",
]

_FULL = 0.98
_NEARLY_FULL = 0.8
_ERRORS = 2.5
"""So many standard errors below 1 an offered utilization is surely below 1."""
_WAIT_SHARE = 0.05
"""Of the latency; a station that is waited for less does not decide how long a run should be."""


class Loads(NamedTuple):
    """What is offered to each station, float arrays [stations].

    Parameters
    ----------
    offered : [ratio]
        Offered utilization: arrivals a second x time that a slot is held / slots.
    error : [ratio]
        Its standard error. How many requests came in all counts as known if the traffic says it.
    length : [ratio]
        Of the run, in units of the time after which the line's states hardly depend on each other.
    """

    offered: np.ndarray
    error: np.ndarray
    length: np.ndarray


def loads(results: Results) -> Loads:
    """Measure the offered utilizations and how sure they are, by the delta method on buckets."""
    windows = [(each, results.buckets_of(each)) for each in results.recordings]
    station = np.concatenate([each.station[window] for each, window in windows])
    came = np.concatenate([each.arrived[window].sum(axis=1) for each, window in windows])
    width = np.concatenate([widths(each)[window] for each, window in windows])
    arrived = station["arrived"] - station["rejected"] - station["abandoned"]
    slots = np.maximum(results.plan.station["slots"], 1)

    def share(values: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            out: np.ndarray = values / values.sum(axis=0)
        return out

    traffic = results.traffic
    known = traffic.mean_rate if isinstance(traffic, Traffic) and traffic.stationary else None
    served = station["served"].sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        offered = station["busy"].sum(axis=0) / (slots * width.sum())
        offered = offered * arrived.sum(axis=0) / served
        if known is not None:
            offered = offered * known * width.sum() / came.sum()
        services = ((share(station["busy"]) - share(station["served"])) ** 2).sum(axis=0)
        reference = share(width) if known is None else share(came)
        visits = ((share(arrived) - reference[:, None]) ** 2).sum(axis=0)
        # Those in service at the two ends of the window.
        ends = (slots / served) ** 2
        error = offered * np.sqrt(services + visits + ends)
        arrivals = ((share(arrived) - share(width)[:, None]) ** 2).sum(axis=0)
        length = np.maximum(1 - offered, 0) ** 2 / (offered * (services + arrivals))
    return Loads(offered, error, length)


def excess(results: Results) -> np.ndarray:
    """Return by how much each station's line grew more than chance explains, float [stations]."""
    station = results.station
    gone = station["rejected"] + station["abandoned"] + station["served"]
    return beyond_chance(station["arrived"], gone)


def beyond_chance(arrived: np.ndarray, gone: np.ndarray) -> np.ndarray:
    """Return arrivals less departures, less what chance may make of them."""
    allowed = 3.0 * np.sqrt(np.maximum(arrived, 1)) + 10.0
    left: np.ndarray = arrived - gone - allowed
    return left


def growing_line(results: Results) -> str:
    """Return the ``component.resource`` whose waiting line grows without end, or ``""``.

    A line grows without end when arrivals outrun departures by more than chance explains while the
    slots are always busy: the offered utilization is above 1.
    """
    beyond = excess(results)
    return _cause(
        results, (beyond > 0) & _unlimited(results) & (results.utilization >= _FULL), beyond
    )


def perhaps_growing(results: Results) -> str:
    """Return the ``component.resource`` whose offered utilization may well be 1 or more, or ``""``.

    At exactly 1 a line grows with the root of time only, which no single look at it can tell from
    the line of a station that is about to settle; the offered utilization and its error can.
    """
    load = results.loads
    with np.errstate(invalid="ignore"):
        near = load.offered + _ERRORS * load.error >= 1
        near &= (results.utilization >= _NEARLY_FULL) & (results.station["depth"] > 0)
    return _cause(results, near & _unlimited(results), results.station["depth"])


def slowest(results: Results) -> int | None:
    """Return the station for whose waiting line the run is shortest, of those that matter."""
    station, length = results.station, results.loads.length
    total = float(results.flow["latency"].sum())
    matters = _unlimited(results) & np.isfinite(length)
    matters &= station["waited"] >= _WAIT_SHARE * total
    rows = np.flatnonzero(matters)
    return int(rows[np.argmin(length[rows])]) if len(rows) else None


def _unlimited(results: Results) -> np.ndarray:
    """Return at which stations a line can grow without end, bool array [stations]."""
    plan = results.plan.station
    out: np.ndarray = (plan["queue_limit"] < 0) & (plan["leaving"] == 0) & (plan["kind"] != AMOUNT)
    return out


def _cause(results: Results, growing: np.ndarray, by: np.ndarray) -> str:
    """Return the cause of lines that grow: callers pile up behind a callee, so the deepest."""
    if not growing.any():
        return ""
    level, labels = results.call_levels(), results.plan.station_labels
    s = max(np.flatnonzero(growing), key=lambda s: (level[labels[s].component], float(by[s])))
    return f"{labels[s].component}.{labels[s].resource}"
