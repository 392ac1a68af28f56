"""The three models in Cimba Python: worker processes that take requests from stores.

Cimba compiles a model with Numba and runs it on its C engine. A short run beforehand does the
compiling, which is not timed. A request in a store is the time at which it arrived.
"""

from __future__ import annotations

import cimba
import peer
from cimba import inputs


class Queue(cimba.Model):
    """Models a and b, apart from the number of workers."""

    gap: cimba.Input[float]
    service_time: cimba.Input[float] = inputs.dist.exponential(mean=1.0)
    line: cimba.Store[float]
    total: cimba.Output[float]
    completed: cimba.Output[int]

    @cimba.on_start
    def reset(self):
        self.total = 0.0
        self.completed = 0

    @cimba.process
    def arrivals(self):
        while True:
            cimba.hold(self.gap.next())
            self.line.put(cimba.now())

    @cimba.function
    def serve(self) -> None:
        arrived_at = self.line.get()
        cimba.hold(self.service_time.next())
        self.total += cimba.now() - arrived_at
        self.completed += 1


class OneWorker(Queue):
    @cimba.process
    def worker(self):
        while True:
            self.serve()


class EightWorkers(Queue):
    @cimba.process(copies=8)
    def worker(self):
        while True:
            self.serve()


class Web(cimba.Model):
    """One of the four servers of model c."""

    compute: cimba.Input[float] = inputs.dist.exponential(mean=0.005)
    lookup: cimba.Input[float] = inputs.dist.uniform(low=0.0, high=1.0)
    query: cimba.Input[float] = inputs.dist.exponential(mean=0.010)
    line: cimba.Store[float]
    connections: cimba.Ref[cimba.Resource]
    total: cimba.Output[float]
    completed: cimba.Output[int]

    @cimba.on_start
    def reset(self):
        self.total = 0.0
        self.completed = 0

    @cimba.process(copies=4)
    def worker(self):
        while True:
            arrived_at = self.line.get()
            cimba.hold(self.compute.next())
            if self.lookup.next() >= 0.5:
                self.connections.acquire()
                cimba.hold(self.query.next())
                self.connections.release()
            self.total += cimba.now() - arrived_at
            self.completed += 1


class Shop(cimba.Model):
    gap: cimba.Input[float] = inputs.dist.exponential(mean=1 / peer.RATE["c"])
    connections: cimba.Resource = cimba.Resource(capacity=8)
    web: list[Web]

    @cimba.process
    def arrivals(self):
        turn = 0
        while True:
            cimba.hold(self.gap.next())
            self.web[turn].line.put(cimba.now())
            turn = (turn + 1) % 4


def prepare(model: str, requests: int, seed: int) -> peer.Run:
    if model == "c":
        root = Shop()
        root.web = [Web() for _ in range(4)]
        for web in root.web:
            web.connections = root.connections
        counted = root.web
    else:
        root = {"a": OneWorker, "b": EightWorkers}[model]()
        root.gap = inputs.dist.exponential(mean=1 / peer.RATE[model])
        counted = [root]

    def experiment(requests: int) -> cimba.Experiment:
        window = cimba.Window(duration=requests / peer.RATE[model])
        return cimba.Experiment(root, window=window, seed=seed)

    def run() -> tuple[int, float]:
        results = experiment(requests).run(workers=1)
        completed = sum(int(results[part].completed[0, 0]) for part in counted)
        return completed, float(sum(results[part].total[0, 0] for part in counted)) / completed

    experiment(100).run(workers=1)
    return run


if __name__ == "__main__":
    peer.main("cimba", prepare)
