"""Failures: cores or whole instances that break down and are repaired, again and again."""

from __future__ import annotations

from collections.abc import Iterator

from scalesim import ops
from scalesim.components.base import Emitter
from scalesim.distributions import Distribution, times
from scalesim.distributions.base import AsDistribution
from scalesim.errors import Problem
from scalesim.fields import Description, Integer, Name, described, param

__all__ = ["Failures"]


@described
class Failures(Description):
    """Units that break down: each core by itself, or all cores of an instance at once.

    A unit works until it fails, waits for a repair crew if none is free, is repaired, works again.
    What it was computing stops and resumes where it stopped: on another core of the instance if
    one is idle, else as the first in line. Requests at an instance that is down wait; balancers do
    not notice. Of recorded times each unit takes one after another.

    Parameters
    ----------
    time_to_failure : Distribution or float [s, mean > 0]
        How long a unit works before it fails.
    repair_time : Distribution or float [s]
    of : {"core", "instance"}
    crews : int, optional [>= 1]
        Repairs at once: at one instance if cores fail, at the whole service if instances do. None:
        each unit is repaired at once.
    when : {"always", "busy"}
        Whether the time to failure passes whenever the unit is up, or only while it computes.
    """

    time_to_failure: AsDistribution = param(times(), "how long a unit works")
    repair_time: AsDistribution = param(times(), "how long a repair takes")
    of: str = param(Name(choices=("core", "instance")), "what fails as one", default="core")
    crews: int | None = param(Integer(1), "repairs at once", default=None)
    when: str = param(
        Name(choices=("always", "busy")), "when the time to failure passes", default="always"
    )

    def check_together(self) -> Iterator[Problem]:
        if isinstance(self.time_to_failure, Distribution) and self.time_to_failure.mean == 0:
            yield Problem("", "got 0 s: nothing would ever work", ("time_to_failure",))

    def lower(self, emit: Emitter, name: str, cpu: int, instances: int, cores: int) -> None:
        """Emit the program of one unit of service `name`, and start it for every unit."""
        groups, units, width = (instances, cores, 1) if self.of == "core" else (1, instances, cores)
        down = emit.level(name, "down", count=groups, size=units + 1)
        crews = -1
        if self.crews is not None:
            crews = emit.station(name, "repair", count=groups, slots=self.crews)
        emit.program(f"{name}.failures")
        time_to_failure, repair = emit.sampler(self.time_to_failure), emit.sampler(self.repair_time)
        busy, site = float(self.when == "busy"), (name, "time to failure")
        emit.op(ops.WEAR, a=cpu, b=time_to_failure, c=width, x=busy, site=site)
        emit.op(ops.BREAK, a=cpu, c=width)
        emit.op(ops.ENTER, a=down)
        if crews >= 0:
            emit.op(ops.ACQUIRE, a=crews)
        emit.op(ops.DELAY, b=repair, site=(name, "repair"))
        if crews >= 0:
            emit.op(ops.RELEASE, a=crews)
        emit.op(ops.LEAVE, a=down)
        emit.op(ops.REPAIR, a=cpu, c=width)
        emit.op(ops.SPAWN, a=f"{name}.failures", tag=(name, "next failure"))
        emit.op(ops.RETURN)
        for group in range(groups):
            for unit in range(units):
                tag = (name, "failures", group, unit)
                emit.background(f"{name}.failures", group, tag, item=unit)
