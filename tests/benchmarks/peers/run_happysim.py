"""The three models in happysim: source, server or queued resource, sink."""

from __future__ import annotations

import random
from collections.abc import Iterator

import peer
from happysimulator import Resource, Server, Simulation, Sink, Source
from happysimulator.components.load_balancer import LoadBalancer, RoundRobin
from happysimulator.components.queued_resource import QueuedResource
from happysimulator.distributions import ExponentialLatency


class Web(QueuedResource):
    """One of the four servers of model c."""

    def __init__(self, name: str, connections: Resource, sink: Sink) -> None:
        super().__init__(name)
        self.connections = connections
        self.sink = sink
        self.busy = 0
        self.compute = ExponentialLatency(0.005)
        self.query = ExponentialLatency(0.010)

    def has_capacity(self) -> bool:
        return self.busy < 4

    def handle_queued_event(self, event) -> Iterator[object]:
        self.busy += 1
        yield self.compute.get_latency(self.now).to_seconds()
        if random.random() >= 0.5:
            grant = yield self.connections.acquire()
            yield self.query.get_latency(self.now).to_seconds()
            grant.release()
        self.busy -= 1
        return [self.forward(event, self.sink)]


def prepare(model: str, requests: int, seed: int) -> peer.Run:
    random.seed(seed)
    sink = Sink()
    if model == "c":
        connections = Resource("connections", capacity=8)
        servers = [Web(f"web {number}", connections, sink) for number in range(4)]
        entry = LoadBalancer("edge", backends=servers, strategy=RoundRobin())
        entities = [entry, *servers, connections, sink]
    else:
        workers = {"a": 1, "b": 8}[model]
        entry = Server("server", workers, service_time=ExponentialLatency(1.0), downstream=sink)
        entities = [entry, sink]
    simulation = Simulation(
        sources=[Source.poisson(rate=peer.RATE[model], target=entry)],
        entities=entities,
        duration=requests / peer.RATE[model],
    )

    def run() -> tuple[int, float]:
        simulation.run()
        return sink.events_received, sink.average_latency()

    return run


if __name__ == "__main__":
    peer.main("happysim", prepare)
