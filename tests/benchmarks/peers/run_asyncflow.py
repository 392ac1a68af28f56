"""The nearest that AsyncFlow comes to the three models: its service times are constants.

It also has no connection pool and gives the core back during input and output, so that in model c
nobody waits for the database. Models a and b run in milliseconds instead of seconds, since its
metrics are polled at least ten times a second; the latency is converted back.
"""

from __future__ import annotations

import logging

import numpy as np
import peer
import simpy
from asyncflow import AsyncFlow
from asyncflow.components import Client, Edge, Endpoint, LoadBalancer, Server
from asyncflow.runtime.simulation_runner import SimulationRunner
from asyncflow.settings import SimulationSettings
from asyncflow.workload import RqsGenerator

DEVIATION = "service times are constants; in c no connection pool, and no worker held meanwhile"


def prepare(model: str, requests: int, seed: int) -> peer.Run:
    unit = 1.0 if model == "c" else 1000.0
    rate = peer.RATE[model] * unit
    flow = AsyncFlow().add_client(Client(id="client"))
    flow.add_generator(
        RqsGenerator(
            id="source",
            avg_active_users={"mean": rate, "distribution": "normal", "variance": 0},
            avg_request_per_minute_per_user={"mean": 60, "distribution": "poisson"},
        )
    )
    if model == "c":
        # AsyncFlow picks an endpoint uniformly: half of the requests are hits.
        endpoints = [endpoint("hit", cpu(0.005)), endpoint("miss", cpu(0.005), io(0.010))]
        names = [f"web-{number}" for number in range(4)]
        balancer = LoadBalancer(id="edge", algorithms="round_robin", server_covered=set(names))
        flow.add_load_balancer(balancer)
        flow.add_servers(*(server(name, 4, endpoints) for name in names))
        flow.add_edges(edge("source", "client"), edge("client", "edge"))
        flow.add_edges(*(edge("edge", name) for name in names))
        flow.add_edges(*(edge(name, "client") for name in names))
    else:
        cores = {"a": 1, "b": 8}[model]
        flow.add_servers(server("server", cores, [endpoint("get", cpu(1.0 / unit))]))
        flow.add_edges(edge("source", "client"), edge("client", "server"), edge("server", "client"))
    duration = max(5, round(requests / rate))  # s; 5 is the least that AsyncFlow takes
    flow.add_simulation_settings(
        SimulationSettings(total_simulation_time=duration, sample_period_s=0.1)
    )
    runner = SimulationRunner(env=simpy.Environment(), simulation_input=flow.build_payload())
    runner.rng = np.random.default_rng(seed)

    def run() -> tuple[int, float]:
        stats = runner.run().get_latency_stats()
        return int(stats["total_requests"]), float(stats["mean"]) * unit

    return run


def cpu(seconds: float) -> dict[str, object]:
    return {"kind": "cpu_bound_operation", "step_operation": {"cpu_time": seconds}}


def io(seconds: float) -> dict[str, object]:
    return {"kind": "io_db", "step_operation": {"io_waiting_time": seconds}}


def endpoint(name: str, *steps: dict[str, object]) -> Endpoint:
    return Endpoint(endpoint_name=name, steps=list(steps))


def server(name: str, cores: int, endpoints: list[Endpoint]) -> Server:
    return Server(id=name, server_resources={"cpu_cores": cores}, endpoints=endpoints)


def edge(source: str, target: str) -> Edge:
    no_time = {"mean": 1e-12, "distribution": "exponential"}  # 0 is not allowed
    return Edge(
        id=f"{source}-{target}", source=source, target=target, latency=no_time, dropout_rate=0.0
    )


if __name__ == "__main__":
    logging.disable()
    peer.main("asyncflow-sim", prepare, deviation=DEVIATION)
