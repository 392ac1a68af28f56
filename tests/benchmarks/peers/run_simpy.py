"""The three models as SimPy's documentation would write them: processes and resources."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import peer
import simpy

Handler = Callable[[int], Iterator[simpy.Event]]


def prepare(model: str, requests: int, seed: int) -> peer.Run:
    rng = random.Random(seed)
    env = simpy.Environment()
    latencies: list[float] = []
    if model == "c":
        handle = shop(env, rng, latencies)
    else:
        handle = queue(env, rng, latencies, slots={"a": 1, "b": 8}[model])

    def source() -> Iterator[simpy.Event]:
        for number in range(requests):
            yield env.timeout(rng.expovariate(peer.RATE[model]))
            env.process(handle(number))

    def run() -> tuple[int, float]:
        env.process(source())
        env.run()
        return len(latencies), sum(latencies) / len(latencies)

    return run


def queue(
    env: simpy.Environment, rng: random.Random, latencies: list[float], slots: int
) -> Handler:
    server = simpy.Resource(env, capacity=slots)

    def handle(number: int) -> Iterator[simpy.Event]:
        arrived_at = env.now
        with server.request() as slot:
            yield slot
            yield env.timeout(rng.expovariate(1.0))
        latencies.append(env.now - arrived_at)

    return handle


def shop(env: simpy.Environment, rng: random.Random, latencies: list[float]) -> Handler:
    servers = [simpy.Resource(env, capacity=4) for _ in range(4)]
    connections = simpy.Resource(env, capacity=8)

    def handle(number: int) -> Iterator[simpy.Event]:
        arrived_at = env.now
        with servers[number % 4].request() as worker:
            yield worker
            yield env.timeout(rng.expovariate(1 / 0.005))
            if rng.random() >= 0.5:
                with connections.request() as connection:
                    yield connection
                    yield env.timeout(rng.expovariate(1 / 0.010))
        latencies.append(env.now - arrived_at)

    return handle


if __name__ == "__main__":
    peer.main("simpy", prepare)
