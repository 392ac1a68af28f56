"""Predictions for the measured scenarios, at two levels, and how far off they are.

* **laws**: arrivals and demands from their laws, in many runs as long as the measured ones. The
  mean of the runs is the prediction; how much they differ tells how much the few measured
  repetitions may.
* **replay**: the very arrivals and demands of each repetition.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from accuracy.realstack.reproduce import Arrivals, arrivals, demands
from accuracy.realstack.stack import Scenario, law_of, topology

import scalesim as ss
from scalesim.distributions import Distribution, Recorded
from scalesim.traffic import AnyTraffic

__all__ = ["FIGURES", "Comparison", "by_laws", "by_replay", "replayable"]

FIGURES = {
    "throughput": "throughput_ok_per_s",
    "mean": "latency_ms_ok.mean",
    "p50": "latency_ms_ok.p50",
    "p90": "latency_ms_ok.p90",
    "p99": "latency_ms_ok.p99",
    "failed": "failed_fraction",
    "hit ratio": "hit_ratio",
    "job wait": "jobs.wait_s.mean",
}
"""Figures that are compared: our name, and the path in a measured file."""

RUNS = 40
AFTER = 60.0
"""Time [s] after the last arrival in which those still in flight may finish."""


@dataclass(frozen=True)
class Comparison:
    """One figure of one scenario.

    Parameters
    ----------
    predicted, measured : float
        Means over runs and over repetitions.
    uncertainty : float
        Standard error that the measured mean has from the luck of its few repetitions, as the
        spread of the simulated runs tells; 0 for a replay.
    spread : float [ratio]
        (max - min) / mean of the measured repetitions.
    """

    scenario: str
    figure: str
    predicted: float
    measured: float
    uncertainty: float
    spread: float

    @property
    def error(self) -> float:
        """Relative deviation of the prediction."""
        return self.predicted / self.measured - 1 if self.measured else math.nan


def by_laws(scenario: Scenario, runs: int = RUNS) -> list[Comparison]:
    """Return the comparison of every figure, predicted from the laws."""
    model = topology(scenario)
    found = [figures(scenario, model, traffic(scenario, run), seed=run + 1) for run in range(runs)]
    repetitions = scenario.used
    measured = [observed(each) for each in repetitions]
    compared = []
    for name in measured[0]:
        values = [each[name] for each in found]
        error = float(np.std(values, ddof=1)) / math.sqrt(len(repetitions))
        compared.append(_compare(scenario, name, values, [each[name] for each in measured], error))
    return compared


def replayable(scenario: Scenario) -> str:
    """Return why a scenario can't be replayed; empty if it can."""
    load = scenario.config["load"]
    if not load["phases"]:
        return "closed users: their pauses were not recorded"
    if "client" in load:
        return "each attempt drew a demand of its own; `Recorded` has one value for a request"
    return ""


def by_replay(scenario: Scenario) -> list[Comparison]:
    """Return the comparison of every figure, each repetition simulated with its own requests."""
    found, measured = [], []
    for repetition in scenario.used:
        run = _run_of(scenario, repetition["seed"])
        model = topology(scenario, partial(_recorded, run=run, seed=repetition["seed"]))
        at = _replay(scenario, run)
        found.append(figures(scenario, model, at, seed=1))
        measured.append(observed(repetition))
    return [
        _compare(scenario, name, [x[name] for x in found], [x[name] for x in measured], 0.0)
        for name in measured[0]
    ]


def _compare(
    scenario: Scenario, name: str, values: list[float], measured: list[float], error: float
) -> Comparison:
    mean = float(np.mean(measured))
    spread = (max(measured) - min(measured)) / mean if mean else 0.0
    return Comparison(scenario.name, name, float(np.mean(values)), mean, error, spread)


def observed(repetition: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of a measured repetition, latencies in milliseconds."""
    found = {}
    for name, path in FIGURES.items():
        value: Any = repetition
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None:
            found[name] = float(value)
    return found


def figures(
    scenario: Scenario, model: ss.Topology, asked: AnyTraffic, seed: int
) -> dict[str, float]:
    """Return the figures of a simulated run: of the requests that arrived in the measured time."""
    before = scenario.filling[1] if scenario.filling else 0.0
    start, end = before + scenario.warmup, before + scenario.duration
    results = ss.simulate(
        model,
        asked,
        duration=end + (AFTER if scenario.config["load"]["phases"] else 0.0),
        warmup=start,
        seed=seed,
        record_requests=1_000_000,
        progress=False,
    )
    table = results.attempts_table()
    table = table[(table["arrived_at_s"] >= start) & (table["endpoint"] != "burst")]
    if not scenario.config["load"]["phases"]:
        table = table[table["ended_at_s"].notna()]
    good = table[table["outcome"] == "completed"]
    latency = (good["ended_at_s"] - good["arrived_at_s"]) * 1e3
    found = {
        "throughput": len(good) / (end - start),
        "mean": float(latency.mean()),
        "failed": 1 - len(good) / len(table),
    }
    for name, q in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
        found[name] = float(latency.quantile(q))
    if "consumers" in scenario.config:
        found["job wait"] = results.estimate("wait_mean_s@jobs.consumers").value
    if scenario.filling:
        found["hit ratio"] = results.estimate("hit_ratio@redis").value
    return found


# Traffic -------------------------------------------------------------------------------------


def traffic(scenario: Scenario, run: int) -> AnyTraffic:
    """Return traffic of the scenario's law; `run` numbers the independent runs."""
    load = scenario.config["load"]
    mix = {each["path"]: each["share"] for each in load["endpoints"]}
    if not load["phases"]:
        think = ss.Exponential(load["think_mean_s"])
        return ss.ClosedTraffic(load["users"], think_time=think, mix=mix)
    if "consumers" in scenario.config or scenario.filling:  # more than its own law's arrivals
        return _replay(scenario, _run_of(scenario, run))
    lengths = [phase["to_s"] - phase["from_s"] for phase in load["phases"]]
    step = math.gcd(*map(int, lengths))
    rates = [
        float(phase["requests_per_s"])
        for phase, length in zip(load["phases"], lengths, strict=True)
        for _ in range(length // step)
    ]
    profile = ss.RateProfile(rates, bucket=step, repeat=False)
    return ss.Traffic(profile, mix=mix, **_client(load))


def _client(load: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the client does, beside the arrivals."""
    if "client" not in load:
        return {}
    client = load["client"]
    return {"timeout": client["timeout"], "retry": ss.Retry(client["attempts"])}


def _run_of(scenario: Scenario, seed: int) -> Arrivals:
    """Return all that arrives in the run of a seed: before it, too, where the cache was filled."""
    run = arrivals(scenario.config["load"], seed)
    if "consumers" in scenario.config:
        ((at, _, (_, count)),) = [each.values() for each in scenario.config["events"]]
        extra = Arrivals(np.full(count, float(at)), ["burst"] * count, np.zeros(count, int))
        return _merged(run, extra)
    if scenario.filling:
        rate, seconds = scenario.filling
        phase = {"from_s": 0.0, "to_s": seconds, "requests_per_s": rate}
        load = {**scenario.config["load"], "phases": [phase]}
        load["endpoints"] = [{"path": "fill", "share": 1}]
        return _merged(run._replace(at=run.at + seconds), arrivals(load, seed + 1))
    return run


def _merged(one: Arrivals, other: Arrivals) -> Arrivals:
    """Return the requests of both in order of arrival."""
    times = np.concatenate([one.at, other.at])
    order = np.argsort(times, kind="stable")
    paths = one.endpoint + other.endpoint
    keys = np.concatenate([one.key, other.key])
    return Arrivals(times[order], [paths[i] for i in order], keys[order])


def _recorded(law: Mapping[str, Any], step: int, *, run: Arrivals, seed: int) -> Distribution:
    """Return the demands that the requests of a run drew at a step."""
    if law["law"] == "const":
        return law_of(law)
    numbers, extra, usual = [], 0, 0
    for path in run.endpoint:
        if path in ("burst", "fill"):  # numbered apart
            numbers.append(1_000_000 + extra)
            extra += 1
        else:
            numbers.append(usual)
            usual += 1
    return Recorded(tuple(demands(law, seed, numbers, step)))


def _replay(scenario: Scenario, run: Arrivals) -> AnyTraffic:
    return ss.ReplayTraffic(
        tuple(run.at.tolist()),
        endpoint=tuple(run.endpoint),
        key=tuple(run.key.tolist()),
        **_client(scenario.config["load"]),
    )
