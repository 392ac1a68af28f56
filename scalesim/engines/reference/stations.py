"""Stations of the reference engine: a sorted line of waiting strands, a heap of sharing ones.

Areas advance at every change of busy slots or waiting strands: averages over time are exact.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections import Counter
from dataclasses import dataclass
from typing import Any

import simpy

from scalesim.engines.reference.clock import after, fire, later
from scalesim.engines.reference.model import Message
from scalesim.kernels.draws import bucket
from scalesim.ops import COMPLETED, DEPARTURE, ROUNDING
from scalesim.plan.tables import LCFS, PRIORITY, SHORTEST

__all__ = ["BatchStation", "RateStation", "SharedStation", "Station", "Waiter"]


@dataclass(eq=False)
class Waiter:
    """One strand in a waiting line; it goes on with `event`, which tells whether it was granted."""

    rank: tuple[float, int]
    event: simpy.Event
    since: float
    service: float | None = None


class Station:
    """Slots with a waiting line, or an amount without one."""

    def __init__(self, env: simpy.Environment, row: Any) -> None:
        self.env = env
        self.slots = int(row["slots"])
        self.queue_limit = int(row["queue_limit"])
        self.order = int(row["order"])
        self.busy = int(row["initial"])
        self.line: list[Any] = []
        self.switched_on = False
        self.entered = 0
        self.since = 0.0
        self.reset()

    def reset(self) -> None:
        """Start a new bucket of the series."""
        self.arrived = self.granted = self.rejected = self.abandoned = self.served = 0
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

    def rank(self, priority: int, demand: float) -> tuple[float, int]:
        """Return the place in the station's order of who comes now; the smallest goes first."""
        self.entered += 1
        if self.order == LCFS:
            return 0.0, -self.entered
        if self.order == SHORTEST:
            return demand, self.entered
        return float(priority) if self.order == PRIORITY else 0.0, self.entered

    def wait(self, priority: int, service: float | None = None) -> Waiter | None:
        """Join the line for a slot, or for one to be served in at once; None if rejected."""
        if self.queue_limit >= 0 and self.depth >= self.queue_limit:
            self.rejected += 1
            return None
        self.advance(self.env.now)
        rank = self.rank(priority, service or 0.0)
        waiter = Waiter(rank, simpy.Event(self.env), self.env.now, service)
        insort(self.line, waiter, key=lambda each: each.rank)
        self.deepest = max(self.deepest, self.depth)
        return waiter

    def serve(self, service: float, priority: int) -> simpy.Event | None:
        """Return the event of the end of a service; None if rejected."""
        if self.try_acquire():
            return after(self.env, service, DEPARTURE)
        waiter = self.wait(priority, service)
        return None if waiter is None else waiter.event

    def release(self) -> None:
        """Give a slot back; the first in line gets it, or starts its service, at once."""
        self.advance(self.env.now)
        self.served += 1
        if not self.line:
            self.busy -= 1
            return
        first = self.line.pop(0)
        self.record_wait(self.env.now - first.since)
        if first.service is None:
            fire(first.event, COMPLETED)
        else:
            later(first.event, first.service, DEPARTURE)

    def leave(self, event: simpy.Event) -> bool:
        """Take the strand that `event` would resume out of the line; False if it is not there."""
        for place, waiter in enumerate(self.line):
            if waiter.event is event:
                self.advance(self.env.now)
                del self.line[place]
                self.abandoned += 1
                return True
        return False

    def release_unserved(self) -> None:
        """Take a slot back from a strand that is withdrawn."""
        self.release()
        self.served -= 1

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

    def __init__(self, env: simpy.Environment, row: Any) -> None:
        self.contention, self.coherency = float(row["contention"]), float(row["coherency"])
        self.sharing: list[tuple[float, int, simpy.Event, float, float]] = []
        self.virtual = self.touched = 0.0
        self.generation = 0
        super().__init__(env, row)

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

    def leave(self, event: simpy.Event) -> bool:
        """Take the strand that `event` would resume out of the sharing."""
        now = self.env.now
        self.virtual += (now - self.touched) * self.rate
        self.touched = now
        self.advance(now)
        rate, first = self.rate, self.sharing[0]
        self.sharing = [each for each in self.sharing if each[2] is not event]
        heapq.heapify(self.sharing)
        self._changed()
        self.abandoned += 1
        if not self.sharing:
            self.virtual = 0.0
            self.generation += 1
        elif self.sharing[0] is not first or self.rate != rate:
            self._schedule()
        return True

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


class RateStation(Station):
    """A rate that is kept: each that passes uses its share, 1 / rate, of the time."""

    def __init__(self, *args: Any) -> None:
        self.waiting = 0
        super().__init__(*args)

    @property
    def depth(self) -> int:
        """Strands that are not through yet."""
        return self.waiting

    def join(self, gap: float) -> None:
        """Take a place in the rate's schedule."""
        self.advance(self.env.now)
        self.busy_area += gap
        self.waiting += 1

    def give_up(self) -> None:
        """Let one go that will not come through; its place in the schedule stays empty."""
        self.advance(self.env.now)
        self.waiting -= 1
        self.abandoned += 1

    def passed(self, wait: float) -> None:
        """Be through after `wait` seconds."""
        self.advance(self.env.now)
        self.waiting -= 1
        self.record_wait(wait)
        self.served += 1


class BatchStation(Station):
    """Consumers that take several messages, which are what its line holds, at once."""

    def due(self, least: int) -> bool:
        """Whether enough wait, or the first has waited for long enough."""
        return self.depth >= least or (self.depth > 0 and self.line[0].overdue)

    def join(self, message: Message) -> None:
        """Wait in line."""
        self.advance(self.env.now)
        self.arrived += 1
        self.line.append(message)

    def take(self) -> Message:
        """Take the first out of the line."""
        message: Message = self.line.pop(0)
        message.taken = True
        self.record_wait(self.env.now - message.since)
        return message
