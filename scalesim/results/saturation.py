"""Lines that grow without end, or so slowly settle that a run of this length says little.

How far a station is from instability, counted in standard errors of its offered utilization, is
also how long the run is compared with what its waiting line remembers: in heavy traffic both go
with (1 - utilization)^2 x requests / variability of arrivals and services (Whitt, "Planning
queueing simulations", Management Science 35, 1989).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scalesim.plan.tables import AMOUNT, CLOSED
from scalesim.results.measured import widths
from scalesim.results.paths import unlimited
from scalesim.traffic import AnyTraffic, ClosedTraffic, Traffic, UserGroups

if TYPE_CHECKING:
    from scalesim.results.results import Results

__all__ = [
    "Loads",
    "beyond_chance",
    "bunching",
    "excess",
    "full_line",
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
        Of the run, in units of the time after which the line's states hardly depend on each other;
        0 if more is offered than can be served, so that the line does not settle.
    memories : [ratio]
        The same where the line has a limit, which makes it settle also then.
    """

    offered: np.ndarray
    error: np.ndarray
    length: np.ndarray
    memories: np.ndarray


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
        # At an offered utilization of 1 it is as far from it as its error.
        away = np.maximum(np.abs(1 - offered), error)
        memories = away**2 / (offered * (services + arrivals))
        # A line of users forgets as fast as those who are elsewhere come back.
        here = (station["busy"] + station["depth"]).sum(axis=0) / width.sum()
        memories = np.maximum(memories, served / np.maximum(_users(traffic) - here, 1))
    return Loads(offered, error, np.where(offered < 1, memories, 0.0), memories)


def bunching(results: Results) -> float:
    """Return how many requests may well fare alike because they met the same line [>= 1].

    A line that is full, or slow enough for a time-out, stays so for a while: as many as come
    before it has forgotten, at the line that remembers longest.
    """
    station, load = results.station, results.loads
    lines = (station["depth"] > 0) & (results.plan.station["kind"] != AMOUNT)
    with np.errstate(invalid="ignore", divide="ignore"):
        alike = (station["arrived"] / load.memories)[lines]
    alike = alike[np.isfinite(alike)]
    return max(1.0, float(alike.max())) if len(alike) else 1.0


def _users(traffic: AnyTraffic) -> float:
    """Return how many users there are, inf if traffic is open."""
    if isinstance(traffic, UserGroups):
        return sum(each.users for each in traffic.groups.values())
    return traffic.users if isinstance(traffic, ClosedTraffic) else np.inf


def excess(results: Results) -> np.ndarray:
    """Return by how much each station's line grew more than chance explains, float [stations]."""
    found = _excess(results.station)
    if results.plan.source["kind"][0] == CLOSED:
        # The users are in line somewhere, from early on: what still grows later grows without end.
        found = np.fmin(found, _excess(_late(results)))
    return found


def _excess(station: Mapping[str, np.ndarray] | np.ndarray) -> np.ndarray:
    gone = station["rejected"] + station["abandoned"] + station["served"]
    found: np.ndarray = beyond_chance(station["arrived"], gone)
    return found


def _late(results: Results) -> dict[str, np.ndarray]:
    """Return what each station counted in the second half of what was measured."""
    out: dict[str, np.ndarray] = {}
    for each in results.recordings:
        window = results.buckets_of(each)
        half = each.station[(window.start + window.stop) // 2 : window.stop]
        for name in ("arrived", "rejected", "abandoned", "served"):
            out[name] = out.get(name, 0) + half[name].sum(axis=0)
    return out


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
        results, (beyond > 0) & unlimited(results) & (results.utilization >= _FULL), beyond
    )


def full_line(results: Results) -> str:
    """Return the ``component.resource`` that is offered what it can serve, or more, or ``""``.

    The likeliest answer, where that of `growing_line` is a sure one: what a line has grown by in a
    short run says little of a load just above 1. Right as often as wrong at exactly 1.
    """
    offered = results.loads.offered
    with np.errstate(invalid="ignore"):
        full = (offered >= 1) & (results.utilization >= _FULL) & unlimited(results)
    return _cause(results, full, results.station["depth"])


def perhaps_growing(results: Results) -> str:
    """Return the ``component.resource`` whose offered utilization may well be 1 or more, or ``""``.

    At exactly 1 a line grows with the root of time only, which no single look at it can tell from
    the line of a station that is about to settle; the offered utilization and its error can.
    """
    load = results.loads
    with np.errstate(invalid="ignore"):
        near = load.offered + _ERRORS * load.error >= 1
        near &= (results.utilization >= _NEARLY_FULL) & (results.station["depth"] > 0)
    return _cause(results, near & unlimited(results), results.station["depth"])


def slowest(results: Results) -> int | None:
    """Return the station for whose waiting line the run is shortest, of those that matter.

    One that is offered more than it can serve never settles, and has no such length.
    """
    station, length = results.station, results.loads.length
    total = float(results.flow["latency"].sum())
    matters = unlimited(results) & np.isfinite(length) & (length > 0)
    matters &= station["waited"] >= _WAIT_SHARE * total
    rows = np.flatnonzero(matters)
    return int(rows[np.argmin(length[rows])]) if len(rows) else None


def _cause(results: Results, growing: np.ndarray, by: np.ndarray) -> str:
    """Return the cause of lines that grow: callers pile up behind a callee, so the deepest."""
    if not growing.any():
        return ""
    level, labels = results.call_levels(), results.plan.station_labels
    s = max(np.flatnonzero(growing), key=lambda s: (level[labels[s].component], float(by[s])))
    return f"{labels[s].component}.{labels[s].resource}"
