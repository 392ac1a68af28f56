"""Processors: who computes when more would than there are cores."""

from __future__ import annotations

from collections.abc import Iterator

from scalesim import ops
from scalesim.components.base import Emitter
from scalesim.errors import Problem

__all__ = ["CPU_DISCIPLINES", "check_slowdown", "processors"]

_SERVED = {
    "ps": ("shared", "fifo"),
    "fifo": ("slots", "fifo"),
    "lcfs": ("slots", "lcfs"),
    "sjf": ("slots", "shortest"),
    "priority": ("slots", "priority"),
    "lcfs_preemptive": ("preemptive", "lcfs"),
    "srpt": ("preemptive", "shortest"),
    "priority_preemptive": ("preemptive", "priority"),
}
"""Kind and order of the station."""
_OPERATIONS = {"slots": ops.SERVE, "shared": ops.SHARE, "preemptive": ops.PREEMPT}

CPU_DISCIPLINES = tuple(_SERVED)


def processors(
    emit: Emitter,
    name: str,
    count: int,
    slots: int,
    cores: int,
    discipline: str,
    slowdown: tuple[float, float],
) -> tuple[int, int]:
    """Declare the processors of `count` nodes; return (station, operation that uses them).

    With as many cores as computations at once (`slots`) no two share one: each has its own.
    """
    if any(slowdown):
        station = emit.station(
            name, "cpu", count=count, slots=cores, kind="shared", slowdown=slowdown
        )
        return station, ops.CONTEND
    kind, order = _SERVED["fifo" if slots <= cores else discipline]
    station = emit.station(name, "cpu", count=count, slots=cores, kind=kind, order=order)
    return station, _OPERATIONS[kind]


def check_slowdown(
    contention: object, coherency: object, cpu_discipline: object
) -> Iterator[Problem]:
    """Yield a problem if cores that nobody shares are to slow each other down."""
    for name, value in (("contention", contention), ("coherency", coherency)):
        if value and cpu_discipline != "ps":
            message = f'got {value}, but cpu_discipline is "{cpu_discipline}"; it needs "ps"'
            yield Problem("", message, (name,))
