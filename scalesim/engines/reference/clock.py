"""Events on SimPy with the order that `scalesim.ops` asks for.

SimPy orders events by (time, priority, number). Strands that become ready get its highest priority,
then come departures, arrivals and timers. SimPy's own ``succeed()`` and ``timeout()`` know only one
priority, hence these helpers.
"""

from __future__ import annotations

from heapq import heappush
from typing import Any

import simpy
from simpy.events import URGENT

__all__ = ["after", "at", "fire", "later"]


def fire(event: simpy.Event, value: Any = None) -> None:
    """Trigger `event` now, ahead of everything else that happens now."""
    event._ok = True
    event._value = value
    event.env.schedule(event, URGENT)


def after(env: simpy.Environment, delay: float, event_class: int, value: Any = None) -> simpy.Event:
    """Return an event of `event_class` that happens in `delay` seconds."""
    event = simpy.Event(env)
    later(event, delay, event_class, value)
    return event


def at(env: simpy.Environment, time: float, event_class: int) -> simpy.Event:
    """Return an event of `event_class` that happens at `time`, not before now.

    SimPy adds delays to its clock: a time that was given would be missed by a rounding.
    """
    event = simpy.Event(env)
    event._ok, event._value = True, None
    entry: Any = (time, URGENT + event_class, next(env._eid), event)
    heappush(env._queue, entry)
    return event


def later(event: simpy.Event, delay: float, event_class: int, value: Any = None) -> None:
    """Let `event` happen in `delay` seconds, as one of `event_class`."""
    event._ok = True
    event._value = value
    event.env.schedule(event, URGENT + event_class, delay)  # type: ignore[arg-type]
