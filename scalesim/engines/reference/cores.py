"""Cores one by one, as they differ in speed or fail, and levels whose distribution is kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import simpy

from scalesim.engines.reference.clock import after, fire
from scalesim.engines.reference.stations import Station
from scalesim.kernels.draws import u01
from scalesim.ops import DEPARTURE, ROUNDING, TIMER

__all__ = ["Core", "CoresStation", "Level", "Work", "take_down", "take_up"]


class Level:
    """A number that goes up and down; the time spent at each value, the last being "or more"."""

    def __init__(self, env: simpy.Environment, size: int) -> None:
        self.env, self.size = env, size
        self.value, self.since = 0, 0.0
        self.reset()

    def reset(self) -> None:
        """Start a new bucket of the series."""
        self.time, self.entered = [0.0] * self.size, [0] * self.size

    def advance(self, now: float) -> None:
        """Bring the times up to `now`."""
        self.time[min(self.value, self.size - 1)] += now - self.since
        self.since = now

    def change(self, by: int) -> None:
        """Go one up (`by` = 1) or down (-1)."""
        self.advance(self.env.now)
        self.value += by
        if by > 0:
            self.entered[min(self.value, self.size - 1)] += 1


@dataclass(eq=False)
class Work:
    """A demand that waits for a core or is being done: how much is left, how long it was served."""

    done: simpy.Event
    since: float
    left: float
    key: int
    served: float = 0.0
    starts: int = 0


@dataclass(eq=False)
class Core:
    """One core. ``wear`` is the time to its failure if it wears out by serving."""

    speed: float
    level: Level
    station: CoresStation = field(init=False)
    up: bool = True
    work: Work | None = None
    started: float = 0.0
    generation: int = 0
    wear: float = math.inf
    worn: simpy.Event | None = None


class CoresStation(Station):
    """Cores that each have a speed and may be down; one line before them."""

    def __init__(self, env: simpy.Environment, row: Any, cores: Sequence[Core]) -> None:
        super().__init__(env, row)
        self.cores, self.site, self.random = cores, int(row["site"]), bool(row["random_core"])
        for core in cores:
            core.station = self

    def work(self, demand: float, key: int) -> simpy.Event:
        """Return the event of the end of `demand` seconds of a core of speed 1."""
        self.arrived += 1
        work = Work(simpy.Event(self.env), self.env.now, demand, key)
        self._give(work, len(self.line))
        return work.done

    def _give(self, work: Work, place: int) -> None:
        """Let an idle core do `work`, or let it wait at `place` of the line."""
        core = self._idle_core(work)
        if core is not None:
            self._begin(core, work)
            return
        self.advance(self.env.now)
        self.line.insert(place, work)
        self.deepest = max(self.deepest, self.depth)

    def _idle_core(self, work: Work) -> Core | None:
        idle = [core for core in self.cores if core.up and core.work is None]
        if not idle:
            return None
        if self.random and len(idle) > 1:
            return idle[int(u01(work.key, self.site, work.starts) * len(idle))]
        return max(idle, key=lambda core: core.speed)

    def _begin(self, core: Core, work: Work) -> None:
        self.advance(self.env.now)
        self.busy += 1
        core.work = work
        work.starts += 1
        core.level.change(1)
        self._arm(core, work)

    def _arm(self, core: Core, work: Work) -> None:
        """Schedule what comes first: the end of the work or the failure by wear."""
        core.started = self.env.now
        core.generation += 1
        time = work.left / core.speed
        worn = core.wear < time
        delay, event_class = (core.wear, TIMER) if worn else (time, DEPARTURE)
        event = after(self.env, delay, event_class, core.generation)

        def happen(event: simpy.Event) -> None:
            if event.value != core.generation:
                return
            if worn:
                assert core.worn is not None
                fire(core.worn)
            else:
                self._finish(core, work)

        assert event.callbacks is not None
        event.callbacks.append(happen)

    def _settle(self, core: Core, work: Work) -> None:
        """Bring the work of `core` up to now."""
        time = self.env.now - core.started
        work.served += time
        work.left = max(work.left - time * core.speed, 0.0)
        core.wear -= time
        core.started = self.env.now

    def _stop(self, core: Core) -> None:
        self.advance(self.env.now)
        self.busy -= 1
        core.work = None
        core.generation += 1
        core.level.change(-1)

    def _finish(self, core: Core, work: Work) -> None:
        now = self.env.now
        self._settle(core, work)
        self._stop(core)
        self.served += 1
        wait = now - work.since - work.served
        self.record_wait(wait if wait > now * ROUNDING else 0.0)
        self.begin_next(core)
        fire(work.done)

    # Failures -----------------------------------------------------------------------------

    def wear_out(self, core: Core, time: float) -> simpy.Event:
        """Return the event of `core` having served `time` seconds from now on."""
        core.worn = simpy.Event(self.env)
        if core.work is not None:
            self._settle(core, core.work)
        core.wear = time
        if core.work is not None:
            self._arm(core, core.work)
        return core.worn

    def interrupt(self, core: Core) -> None:
        """Let `core`, which is down, leave its work to another or to the front of the line."""
        work = core.work
        if work is not None:
            self._settle(core, work)
            self._stop(core)
            self._give(work, 0)
        core.wear = math.inf

    def leave(self, event: simpy.Event) -> bool:
        """Take the work that `event` would end away from the line or its core."""
        self.advance(self.env.now)
        self.abandoned += 1
        for place, work in enumerate(self.line):
            if work.done is event:
                del self.line[place]
                return True
        core = next(each for each in self.cores if each.work and each.work.done is event)
        assert core.work is not None
        self._settle(core, core.work)
        self._stop(core)
        self.begin_next(core)
        return True

    def begin_next(self, core: Core) -> None:
        """Let `core` begin with the first in line."""
        if self.line:
            self.advance(self.env.now)
            self._begin(core, self.line.pop(0))


def take_down(cores: Sequence[Core]) -> None:
    """Let `cores` fail at once."""
    for core in cores:
        core.up = False
    for core in reversed(cores):
        core.station.interrupt(core)


def take_up(cores: Sequence[Core]) -> None:
    """Let `cores` work again."""
    for core in cores:
        core.up = True
        core.station.begin_next(core)
