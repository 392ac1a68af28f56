"""What is to blame for a missed objective: one resource, with the numbers that show it."""

from __future__ import annotations

from collections.abc import Iterable

from scalesim.components import MessageQueue
from scalesim.results import Bottleneck, Results
from scalesim.results.bottleneck import HELD, NOTHING
from scalesim.results.paths import callers_of, upstream
from scalesim.studies.breaking import Evaluation
from scalesim.topology import Topology

__all__ = ["culprit", "culprit_when_idle", "held_in_front"]

_MATTERS = 0.05
"""Share of the latency; a resource that is waited for less is not why an idle system is slow."""


def culprit(failing: Evaluation) -> Bottleneck:
    """Return the resource to blame, with its numbers.

    Where requests are turned away or give up, the resource where most of them do; where a line
    grows without end, that line's resource; but what is saturated further in is the cause of
    either.
    """
    results = failing.results
    innermost = results.bottleneck
    saturated = innermost.utilization > 0.97
    if saturated or failing.misses == "latency":
        return innermost
    if failing.misses == "error_ratio":
        return _turning_away(results) or innermost
    if failing.unstable:
        labels = results.plan.station_labels
        names = [f"{x.component}.{x.resource}" for x in labels]
        members = [s for s, name in enumerate(names) if name == failing.unstable]
        return results.evidence(max(members, key=lambda s: float(results.utilization[s])))
    return innermost


def culprit_when_idle(failing: Evaluation) -> Bottleneck:
    """Return the resource to blame where every load misses the objective; `NOTHING` if none is.

    Utilization says nothing there. Requests that come in batches or bursts may still wait for each
    other, or be turned away.
    """
    results = failing.results
    if failing.misses == "error_ratio":
        return _turning_away(results) or NOTHING
    waited = results.station["waited"]
    most = results.evidence(int(waited.argmax())) if waited.size else NOTHING
    return most if most.wait_share >= _MATTERS else NOTHING


def held_in_front(results: Results, cause: Bottleneck) -> tuple[Bottleneck, ...]:
    """Return what is waited for longer than the cause, and is held by those who wait for that.

    Few connections, say, let few requests come to the processors behind them; the long line then
    is in front of the connections, though the processors are what is too small.
    """
    waiting = _waiting_for(results.topology, cause.component)
    busiest: dict[tuple[str, str], int] = {}
    for s, label in enumerate(results.plan.station_labels):
        name = (label.component, label.resource)
        if label.component in waiting and label.resource in HELD and name != _name(cause):
            other = busiest.setdefault(name, s)
            if results.utilization[s] > results.utilization[other]:
                busiest[name] = s
    found = [results.evidence(s) for s in busiest.values()]
    longer = [each for each in found if each.wait_share > cause.wait_share]
    return tuple(sorted(longer, key=lambda each: -each.wait_share))


def _name(of: Bottleneck) -> tuple[str, str]:
    return of.component, of.resource


def _waiting_for(topology: Topology, component: str) -> set[str]:
    """Return the components whose requests wait for those of `component`, itself included."""
    callers = callers_of(topology)

    def waiting(name: str) -> Iterable[str]:
        # Nobody waits for what is published.
        published = isinstance(topology.components.get(name), MessageQueue)
        return () if published else callers.get(name, ())

    return upstream(component, waiting)


def _turning_away(results: Results) -> Bottleneck | None:
    """Return where most requests are turned away or give up."""
    lost = results.station["rejected"] + results.station["abandoned"]
    return results.evidence(int(lost.argmax())) if lost.any() else None
