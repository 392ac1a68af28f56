"""The three models in Cimba Python: worker processes that draw requests from stores.

Cimba compiles the model with Numba and runs it on its C engine (coroutines). The compilation is
done by a short run beforehand and not timed.
"""

from __future__ import annotations

import cimba as cb
import peer
from cimba import inputs


class Queue(cb.Model):
    """One line of requests (their arrival times) and what their latencies come to."""

    gap: cb.Input[float]
    service_time: cb.Input[float] = inputs.dist.exponential(mean=1.0)
    line: cb.Store[float]
    total: cb.Output[float]
    completed: cb.Output[int]

    @cb.process
    def arrivals(self):
        while True:
            cb.hold(self.gap.next())
            self.line.put(cb.now())

    @cb.function
    def work(self) -> None:
        while True:
            arrived_at = self.line.get()
            cb.hold(self.service_time.next())
            self.total += cb.now() - arrived_at
            self.completed += 1


class MM1(Queue):
    @cb.process
    def worker(self):
        self.work()


class MM8(Queue):
    @cb.process(copies=8)
    def worker(self):
        self.work()


if __name__ == "__main__":
    m = MM1()
    m.gap = inputs.dist.exponential(mean=1 / 0.8)
    r = cb.Experiment(m, replications=1, window=cb.Window(warmup=0.0, duration=100000), seed=1).run(workers=1)
    print(r[m].total, r[m].completed, r.meta)
