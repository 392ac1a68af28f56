"""Stations of the reference engine: a deque of waiting strands, a heap of sharing ones.

Areas advance at every change of busy slots or waiting strands: averages over time are exact.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from typing import Any

import simpy

from scalesim.engines.reference.clock import after, fire, later
from scalesim.kernels.draws import bucket
from scalesim.ops import DEPARTURE, ROUNDING

__all__ = ["SharedStation", "Station"]


class Station:
    """Slots with a first-come-first-served waiting line, or an amount without one."""

    contention = coherency = 0.0

    def __init__(self, env: simpy.Environment, slots: int, queue_limit: int, initial: int) -> None:
        self.env = env
        self.slots = slots
        self.queue_limit = queue_limit
        self.busy = initial
        self.line: deque[Any] = deque()
        self.since = 0.0
        self.reset()

    def reset(self) -> None:
        """Start a new bucket of the series."""
        self.arrived = self.granted = self.rejected = self.served = 0
        self.waited = self.busy_area = self.depth_area = 0.0
        self.deepest = self.depth
        self.waits: Counter[int] = Counter()

    @property
    def depth(self) -> int:
        """Strands waiting now."""
        return len(self.line)

    def advance(self, now: float) -> None:
        """Bring the areas up to `now`."""
        elapsed = now - self.since
        self.busy_area += self.busy * elapsed
        self.depth_area += self.depth * elapsed
        self.since = now

    def record_wait(self, wait: float) -> None:
        """Count a grant after `wait` seconds."""
        self.granted += 1
        if wait > 0.0:
            self.waited += wait
            self.waits[bucket(wait)] += 1

    def try_acquire(self) -> bool:
        """Take a free slot at once; False if there is none."""
        self.arrived += 1
        if self.busy >= self.slots:
            return False
        self.advance(self.env.now)
        self.busy += 1
        self.granted += 1
        return True

    def wait(self, service: float | None = None) -> simpy.Event | None:
        """Return the event of the grant, or of the end of `service`; None if rejected."""
        if self.queue_limit >= 0 and self.depth >= self.queue_limit:
            self.rejected += 1
            return None
        self.advance(self.env.now)
        event = simpy.Event(self.env)
        self.line.append((event, self.env.now, service))
        self.deepest = max(self.deepest, self.depth)
        return event

    def serve(self, service: float) -> simpy.Event | None:
        """Return the event of the end of a service; None if rejected."""
        if self.try_acquire():
            return after(self.env, service, DEPARTURE)
        return self.wait(service)

    def release(self) -> None:
        """Give a slot back; the first in line gets it, or starts its service, at once."""
        self.advance(self.env.now)
        self.served += 1
        if not self.line:
            self.busy -= 1
            return
        event, since, service = self.line.popleft()
        self.record_wait(self.env.now - since)
        if service is None:
            fire(event)
        else:
            later(event, service, DEPARTURE)

    def reserve(self, amount: int) -> bool:
        """Take an amount; False if it does not fit."""
        self.arrived += 1
        if self.busy + amount > self.slots:
            self.rejected += 1
            return False
        self.advance(self.env.now)
        self.busy += amount
        self.granted += 1
        return True

    def unreserve(self, amount: int) -> None:
        """Give an amount back."""
        self.advance(self.env.now)
        self.busy -= amount
        self.served += 1


class SharedStation(Station):
    """Processors shared equally. ``virtual`` is the work each strand got since it was last idle."""

    def __init__(self, *args: Any) -> None:
        self.sharing: list[tuple[float, int, simpy.Event, float, float]] = []
        self.virtual = self.touched = 0.0
        self.generation = self.entered = 0
        super().__init__(*args)

    @property
    def depth(self) -> int:
        """Strands beyond the number of cores."""
        return len(self.sharing) - min(len(self.sharing), self.slots)

    @property
    def rate(self) -> float:
        """Progress of each strand, in cores."""
        n = len(self.sharing)
        rate = 1.0 if n <= self.slots else self.slots / n
        if n > 1 and (self.contention or self.coherency):
            rate /= 1.0 + self.contention * (n - 1) + self.coherency * n * (n - 1)
        return rate

    def share(self, demand: float) -> simpy.Event:
        """Return the event of the end of `demand` seconds of processor time."""
        now = self.env.now
        self.virtual += (now - self.touched) * self.rate
        self.touched = now
        self.advance(now)
        self.arrived += 1
        rate = self.rate
        self.entered += 1
        done = simpy.Event(self.env)
        heapq.heappush(self.sharing, (self.virtual + demand, self.entered, done, now, demand))
        self._changed()
        if self.sharing[0][2] is done or self.rate != rate:
            self._schedule()
        return done

    def _changed(self) -> None:
        self.busy = min(len(self.sharing), self.slots)
        self.deepest = max(self.deepest, self.depth)

    def _schedule(self) -> None:
        """Schedule the next departure; what was scheduled before is void."""
        self.generation += 1
        left = self.sharing[0][0] - self.virtual
        delay = max(left, 0.0) / self.rate
        event = after(self.env, delay, DEPARTURE, self.generation)
        assert event.callbacks is not None
        event.callbacks.append(self._leave)

    def _leave(self, event: simpy.Event) -> None:
        if event.value != self.generation:
            return
        now = self.env.now
        self.advance(now)
        mark, _, done, since, demand = heapq.heappop(self.sharing)
        self.virtual, self.touched = mark, now
        self._changed()
        self.served += 1
        wait = now - since - demand
        self.record_wait(wait if wait > now * ROUNDING else 0.0)
        if self.sharing:
            self._schedule()
        else:
            self.virtual = 0.0
        fire(done)
