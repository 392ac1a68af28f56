"""Measured scenarios as models: what a user of that stack would write down.

Each instance is a service whose workers are its threads, behind a balancer that stands for nginx.
A held step is a `sleep`; a pool of database connections is a service whose workers are the
connections, one pool for each instance. The calibration at low load gives what a step took beyond
what was asked, and the time outside the application. Nothing else is known to the model; nothing is
fitted to the outcome.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import scalesim as ss
from scalesim.components import cached
from scalesim.components.steps import Step
from scalesim.distributions import Distribution, Shifted
from scalesim.policies.eviction import SampledLru

__all__ = ["MISSING", "Scenario", "law_of", "read_scenarios", "topology"]

DATA = Path(__file__).parent / "data"

MISSING = {
    "kill": "an instance that is killed and comes back, and a balancer that finds out",
    "flushall": "a cache that is emptied during the run",
}
"""Scenarios that can't be posed, each with the feature that is missing."""

BYTES_A_KEY = 2648
"""Memory of one key: the mean of what was measured on an empty server (2663, 2643, 2640)."""

Draw = Callable[[Mapping[str, Any], int], Distribution]
"""Gives the demand of a step: of its law, or the recorded values of step number so and so."""


class Scenario(NamedTuple):
    """One measured file."""

    name: str
    title: str
    config: dict[str, Any]
    calibration: dict[str, Any]
    outcome: dict[str, Any]
    warmup: float
    cpu_bound: bool

    def beyond(self, name: str) -> float:
        """Return the mean [s] of something the calibration measured [ms]; 0 if it did not."""
        return float(self.calibration.get(name, {}).get("mean", 0.0)) / 1e3

    @property
    def duration(self) -> float:
        """Length of a run [s]."""
        load = self.config["load"]
        return float(load["phases"][-1]["to_s"] if load["phases"] else load["duration_s"])

    @property
    def filling(self) -> tuple[float, float] | None:
        """Rate [1/s] and time [s] of the accesses that filled the cache before the run."""
        found = re.search(r"at (\d+) accesses/s for (\d+) s", self.config.get("before_the_run", ""))
        return (float(found[1]), float(found[2])) if found else None

    @property
    def used(self) -> list[dict[str, Any]]:
        """The measured repetitions during which the machine was quiet enough."""
        wanted = self.outcome["summary"]["repetitions_used"]
        return [each for each in self.outcome["repetitions"] if each["rep"] in wanted]

    @property
    def busiest(self) -> float:
        """Measured utilization of the busiest instance's threads."""
        return max(max(r["thread_utilisation_per_instance"].values()) for r in self.used)

    @property
    def asserted(self) -> bool:
        """Whether the measurement was quiet enough to be held against a prediction."""
        return not self.cpu_bound and not self.outcome["summary"]["noisy_p99"]


def read_scenarios() -> list[Scenario]:
    """Return every measured scenario."""
    found = []
    for path in sorted(DATA.glob("*.json")):
        file = json.loads(path.read_text(encoding="utf-8"))
        found.append(
            Scenario(
                file["name"],
                file["description"],
                file["config"],
                file["calibration"],
                file["outcome"],
                float(file["measured_from_s"]),
                file["cpu_bound"],
            )
        )
    return found


def law_of(law: Mapping[str, Any], step: int = 0) -> Distribution:
    """Return the distribution that a law names."""
    mean = float(law["mean"])
    if law["law"] == "exp":
        return ss.Exponential(mean)
    if law["law"] == "lognormal":
        return ss.LogNormal(mean, cv=law["cv"])
    return ss.Constant(mean)


def topology(scenario: Scenario, draw: Draw = law_of) -> ss.Topology:
    """Return the model of a scenario, its demands given by `draw`."""
    config = scenario.config
    instances = config["instances"]
    targets, policy, weights = _upstream(config["nginx_conf"], len(instances))
    outside = scenario.beyond("outside_application__proxy_network_parsing_accept")
    parts: list[Any] = [
        ss.LoadBalancer("nginx", targets=targets, policy=policy, weights=weights, delay=outside)
    ]
    for target, instance in zip(targets, instances, strict=True):
        parts += _instance(scenario, target, instance, draw)
    entry = "nginx"
    direct: dict[str, list[Step]] = {}
    if "redis_get_hit" in scenario.calibration:
        parts.append(_redis(scenario))
        direct["fill"] = [cached("redis", [ss.sleep(0.0)])]
    if "consumers" in config:
        parts.append(_queue(scenario, draw))
        direct["burst"] = [ss.publish(parts[-1].name)]
    if direct:  # what reaches the back past nginx
        for path in config["application"]:
            direct[path] = [ss.call(f"nginx.{path}")]
        parts.append(ss.Service("outside", workers=100_000, endpoints=direct))
        entry = "outside"
    limit = re.search(r"limit_conn all (\d+);", config["nginx_conf"])
    if limit:
        paths = config["application"]
        steps = {path: [ss.call(f"nginx.{path}")] for path in paths}
        parts.append(ss.Service("limit", workers=int(limit[1]), backlog=0, endpoints=steps))
        entry = "limit"
    return ss.Topology(*parts, entry=entry)


def _upstream(conf: str, count: int) -> tuple[tuple[str, ...], str, dict[str, float]]:
    """Return names of the instances, balancing policy and weights of nginx' upstream block."""
    block = re.search(r"upstream app \{(.*?)\}", conf, re.DOTALL)
    assert block is not None
    servers = re.findall(r"server [\d.:]+([^;]*);", block[1])
    assert len(servers) == count
    names = tuple(f"web{i}" for i in range(count))
    given = [re.search(r"weight=(\d+)", each) for each in servers]
    weights = {
        name: float(each[1]) if each else 1.0 for name, each in zip(names, given, strict=True)
    }
    policy = "least_connections" if "least_conn;" in block[1] else "round_robin"
    return names, policy, weights


def _instance(
    scenario: Scenario, name: str, instance: Mapping[str, Any], draw: Draw
) -> list[ss.Service]:
    """Return one instance and its pools of connections."""
    config = scenario.config
    queries: dict[str, dict[str, list[Step]]] = {}
    endpoints = {}
    for path, script in config["application"].items():
        steps = []
        for number, step in enumerate(script["steps"]):
            steps += _step(scenario, name, path, step, number, instance, draw, queries)
        endpoints[path] = [*steps, ss.sleep(scenario.beyond("application_code_besides_steps"))]
    threads = instance["threads"]
    pools = [
        ss.Service(
            f"{name}-{pool}",
            workers=config["pools"][pool]["connections_per_instance"],
            endpoints=scripts,
        )
        for pool, scripts in queries.items()
    ]
    return [ss.Service(name, workers=threads, endpoints=endpoints), *pools]


def _step(
    scenario: Scenario,
    name: str,
    path: str,
    step: Mapping[str, Any],
    number: int,
    instance: Mapping[str, Any],
    draw: Draw,
    queries: dict[str, dict[str, list[Step]]],
) -> list[Step]:
    """Return the steps of the model for one step of the application."""
    kind = step["kind"]
    if kind == "sleep":
        law = {**step, "mean": step["mean"] * instance["held_time_factor"]}
        return [ss.sleep(Shifted(scenario.beyond("held_step_overshoot"), draw(law, number)))]
    if kind == "cpu":
        return [ss.compute(draw(step, number))]
    if kind == "enqueue":
        return [ss.publish(step["queue"])]
    if kind == "cache":
        miss: list[Step] = []
        for place, inner in enumerate(step["miss"]):
            miss += _step(scenario, name, path, inner, 10 + place, instance, draw, queries)
        return [cached("redis", miss)]
    assert kind == "db", kind
    extra = scenario.beyond("query_time_on_connection_minus_asked")
    query = [ss.sleep(Shifted(extra, draw(step, number)))]
    queries.setdefault(step["pool"], {})[path] = query
    return [ss.call(f"{name}-{step['pool']}.{path}")]


def _redis(scenario: Scenario) -> ss.Cache:
    """Return the cache, as many keys large as fit beside the clients that the calibration saw."""
    redis, memory = scenario.config["redis"], scenario.calibration["redis_memory"]
    clients = memory["used_memory_at_end"] - memory["used_memory_empty"]
    clients -= memory["keys_at_end"] * BYTES_A_KEY
    room = redis["maxmemory"] - memory["used_memory_empty"] - clients
    return ss.Cache(
        "redis",
        capacity=int(room / BYTES_A_KEY),
        eviction=SampledLru(samples=redis["maxmemory_samples"]),
        delay=scenario.beyond("redis_get_hit"),
    )


def _queue(scenario: Scenario, draw: Draw) -> ss.MessageQueue:
    """Return the work queue and its consumers."""
    consumers = scenario.config["consumers"]
    ((name, law),) = consumers["laws"].items()
    extra = scenario.beyond("job_hold_minus_asked")
    handler = [ss.sleep(Shifted(extra, draw(law, 77)))]
    return ss.MessageQueue(name, handler=handler, consumers=consumers["n"])
