"""Processors that interrupt: those that come first in the station's order run, the others pause."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import simpy

from scalesim.engines.reference.clock import after, fire
from scalesim.engines.reference.stations import Station
from scalesim.ops import DEPARTURE
from scalesim.plan.tables import SHORTEST

__all__ = ["PreemptiveStation"]


@dataclass(eq=False)
class _Job:
    """What one strand computes here: since when it pauses, or until when it runs."""

    rank: tuple[float, int]
    left: float
    done: simpy.Event
    since: float = 0.0
    paused: float = 0.0
    until: float = 0.0
    departure: simpy.Event | None = None


class PreemptiveStation(Station):
    """Processors that interrupt; interrupted work resumes where it stopped."""

    def __init__(self, *args: Any) -> None:
        self.running: list[_Job] = []
        self.pausing: list[_Job] = []
        super().__init__(*args)

    @property
    def depth(self) -> int:
        """Strands that pause."""
        return len(self.pausing)

    def compute(self, demand: float, priority: int) -> simpy.Event:
        """Return the event of the end of `demand` seconds of processor time."""
        now = self.env.now
        self.advance(now)
        self.arrived += 1
        job = _Job(self.rank(priority, demand), demand, simpy.Event(self.env))
        if len(self.running) < self.slots:
            self._run(job)
        else:
            last = max(self.running, key=self._place)
            if job.rank < self._rank_now(last):
                self._pause(last)
                self._run(job)
            else:
                job.since = now
                self.pausing.append(job)
        self.busy = len(self.running)
        self.deepest = max(self.deepest, self.depth)
        return job.done

    def _place(self, job: _Job) -> tuple[float, int]:
        """Return what orders running jobs; of those, less demand remains that ends earlier."""
        return (job.until if self.order == SHORTEST else job.rank[0]), job.rank[1]

    def _rank_now(self, job: _Job) -> tuple[float, int]:
        """Return the place of a running job in the station's order."""
        if self.order == SHORTEST:
            return job.until - self.env.now, job.rank[1]
        return job.rank

    def _run(self, job: _Job) -> None:
        job.until = self.env.now + job.left
        job.departure = after(self.env, job.left, DEPARTURE)
        assert job.departure.callbacks is not None
        job.departure.callbacks.append(lambda departure: self._leave(job, departure))
        self.running.append(job)

    def _pause(self, job: _Job) -> None:
        self.running.remove(job)
        job.rank = self._rank_now(job)
        job.left = job.until - self.env.now
        job.since = self.env.now
        job.departure = None
        self.pausing.append(job)

    def _leave(self, job: _Job, departure: simpy.Event) -> None:
        if departure is not job.departure:
            return  # it was interrupted
        now = self.env.now
        self.advance(now)
        self.running.remove(job)
        self.served += 1
        self.record_wait(job.paused)
        self._run_next()
        fire(job.done)

    def leave(self, event: simpy.Event) -> bool:
        """Take the job that `event` would end away."""
        self.advance(self.env.now)
        self.abandoned += 1
        for job in self.running:
            if job.done is event:
                self.running.remove(job)
                job.departure = None
                self._run_next()
                return True
        self.pausing = [job for job in self.pausing if job.done is not event]
        return True

    def _run_next(self) -> None:
        """Let the first of those that pause have the core that is free now."""
        if self.pausing:
            first = min(self.pausing, key=lambda each: each.rank)
            self.pausing.remove(first)
            first.paused += self.env.now - first.since
            self._run(first)
        self.busy = len(self.running)
