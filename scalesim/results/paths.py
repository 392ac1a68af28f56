"""What the topology says of lines: which can grow without end, and which clients wait for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np

from scalesim.components import MessageQueue
from scalesim.plan.tables import AMOUNT
from scalesim.topology import Topology

if TYPE_CHECKING:
    from scalesim.results.results import Results

__all__ = ["callers_of", "clients_wait_for", "unlimited", "upstream"]

_ADMISSION = ("workers", "connections", "room")
"""Resources that are held as long as a request is anywhere in the component."""
_BESIDE = ("apply", "consumers")
"""Resources whose work nobody waits for."""


def unlimited(results: Results) -> np.ndarray:
    """Return at which stations a line can grow without end, bool array [stations].

    It can't where the line has a limit, or where who waits may leave it, or where all who could
    come hold something of which there is an end: a connection of a database that rejects, say.
    """
    plan, labels = results.plan.station, results.plan.station_labels
    limited = (plan["queue_limit"] >= 0) | (plan["leaving"] != 0)
    admits = np.asarray([each.resource in _ADMISSION for each in labels], bool)
    turn_away = {labels[s].component for s in np.flatnonzero(limited & admits)}
    out: np.ndarray = ~limited & (plan["kind"] != AMOUNT)
    few = _few_at_once(results.topology, turn_away)
    for s in np.flatnonzero(out):
        name, resource = labels[s].component, labels[s].resource
        inside = resource not in _ADMISSION and name in turn_away
        # Writes to apply pile up whoever sent them, long after these have their answers.
        out[s] = resource == "apply" or not (inside or name in few)
    return out


def _few_at_once(topology: Topology, turn_away: set[str]) -> set[str]:
    """Return the components all of whose callers have only so many requests at once."""
    callers = callers_of(topology)
    few: set[str] = set()
    left = set(callers) - {topology.entry}
    while True:
        more = {
            name
            for name in left - few
            if not isinstance(topology[name], MessageQueue)  # publishers do not wait for it
            and all(each in turn_away or each in few for each in callers[name])
        }
        if not more:
            return few
        few |= more


def clients_wait_for(results: Results, component: str, resource: str) -> bool:
    """Return whether the answer to a client may have to wait for a resource."""
    if resource in _BESIDE:
        return False
    topology = results.topology
    callers = callers_of(topology)

    def waiting(name: str) -> Iterable[str]:
        return (x for x in callers.get(name, ()) if not isinstance(topology[x], MessageQueue))

    return topology.entry in upstream(component, waiting)


def callers_of(topology: Topology) -> dict[str, set[str]]:
    """Return the components that call each, or publish to it; those that nobody calls lack."""
    callers: dict[str, set[str]] = {}
    for (name, _), called in topology.calls().items():
        for target, _ in called:
            callers.setdefault(target, set()).add(name)
    return callers


def upstream(component: str, before: Callable[[str], Iterable[str]]) -> set[str]:
    """Return a component and all that come before it, those before those, and so on."""
    seen: set[str] = set()
    left = {component}
    while left:
        seen |= left
        left = {each for name in left for each in before(name)} - seen
    return seen
