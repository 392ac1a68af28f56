"""Limits on the way in, and consumers that take batches, poll or own partitions, against theory.

Values are of exact chains or formulas, named where they stand; S is a mean service time.
"""

from __future__ import annotations

import math

import pytest
from theory.estimates import assert_covers, by_trial, of_station, simulate
from traces.tracing import metric

import scalesim as ss
from scalesim.components import RateLimiter

EXP = ss.Exponential


def run(*parts, rate, requests=1e6, **rest):
    topology = ss.Topology(*parts, entry=parts[0].name)
    return simulate(topology, ss.Traffic(rate, **rest), requests=requests, rate=rate)


def message_time(results, name="message_time", queue="jobs"):
    return by_trial(results, lambda trial: metric(trial, queue, f"{name}_mean_s"))


@pytest.mark.parametrize(
    ("rate", "burst", "rejected", "within"),
    [(90.0, 5, 0.0643618971855, 0.03), (150.0, 10, 0.333397014954, 0.01)],
)
def test_token_bucket(rate, burst, rejected, within) -> None:
    """The tokens that are missing are the workload of M/D/1/K with D = 1 / rate and K = burst."""
    results = run(RateLimiter("gate", rate=100.0, burst=burst), rate=rate, requests=3e6)
    assert_covers(by_trial(results, lambda trial: trial.error_ratio), rejected, within)
    assert_covers(of_station(results, "gate", "rate", "use"), rate * (1 - rejected) / 100.0, 0.01)


def test_leaky_bucket_that_delays() -> None:
    """The wait of M/D/1 by Pollaczek and Khinchine; a share rho waits at all."""
    gate = RateLimiter("gate", rate=100.0, on_excess="delay")
    results = run(gate, rate=80.0, requests=3e6)
    rho = 0.8
    assert_covers(of_station(results, "gate", "rate", "wait"), rho / (1 - rho) / 200, 0.05)
    assert_covers(of_station(results, "gate", "rate", "depth"), rho * rho / (1 - rho) / 2, 0.05)
    assert_covers(of_station(results, "gate", "rate", "use"), rho, 0.01)


def test_low_priority_is_shed_first() -> None:
    """Trunk reservation: a birth-death chain whose births depend on the slots in use."""
    c, low, high, shed, mu = 20, 150.0, 100.0, 15, 10.0
    weight = [1.0]
    for n in range(c):
        weight.append(weight[-1] * (high + (low if n < shed else 0.0)) / ((n + 1) * mu))
    total = math.fsum(weight)
    web = ss.Service(
        "web",
        workers=c,
        cores=c,
        backlog=0,
        endpoints={
            "high": [ss.compute(EXP(0.1))],
            "low": ss.Endpoint([ss.compute(EXP(0.1))], shed_above=shed),
        },
    )
    results = run(web, rate=low + high, mix={"high": high, "low": low})

    def rejected(endpoint):
        def share(trial):
            done, lost = (trial.latency_of(endpoint, x).count for x in ("completed", "rejected"))
            return lost / (done + lost)

        return by_trial(results, share)

    assert_covers(rejected("high"), weight[c] / total, 0.13)
    assert_covers(rejected("low"), math.fsum(weight[shed:]) / total, 0.01)
    assert weight[c] / total == pytest.approx(0.0148807409608, rel=1e-9)


@pytest.mark.parametrize(
    ("batch", "rate", "mean", "wait", "depth", "use", "size"),
    [
        ((1, 4), 120.0, 0.02, 0.0319912832889, 3.83895399467, 0.925143980621, 2.59419079654),
        ((3, 3), 70.0, 0.03, 0.0550175347519, 3.85122743263, 0.7, 3.0),
    ],
)
def test_bulk_service(batch, rate, mean, wait, depth, use, size) -> None:
    """The chain of (busy, waiting): Bailey (1954); Neuts' general bulk service rule (1967)."""
    jobs = ss.MessageQueue("jobs", handler=[ss.sleep(EXP(mean))], batch=batch)
    results = run(jobs, rate=rate)
    assert_covers(of_station(results, "jobs", "consumers", "wait"), wait, 0.07)
    assert_covers(of_station(results, "jobs", "consumers", "depth"), depth, 0.07)
    assert_covers(of_station(results, "jobs", "consumers", "use"), use, 0.015)
    sizes = by_trial(results, lambda trial: metric(trial, "jobs", "batch_size_mean"))
    assert_covers(sizes, size, 0.02)
    assert_covers(message_time(results), wait + mean, 0.06)


@pytest.mark.parametrize(
    ("rate", "service", "nap"),
    [(60.0, EXP(0.01), ss.Constant(0.2)), (75.0, ss.Constant(0.01), EXP(0.05))],
)
def test_a_consumer_that_sleeps(rate, service, nap) -> None:
    """Multiple vacations add E[V^2] / 2E[V] to the wait of M/G/1 (Fuhrmann & Cooper 1985)."""
    jobs = ss.MessageQueue("jobs", handler=[ss.sleep(service)], poll_interval=nap)
    results = run(jobs, rate=rate)
    rho = rate * service.mean
    wait = rho * service.mean * (1 + service.scv) / 2 / (1 - rho) + nap.mean * (1 + nap.scv) / 2
    assert_covers(of_station(results, "jobs", "consumers", "wait"), wait, 0.03)
    assert_covers(of_station(results, "jobs", "consumers", "use"), rho, 0.01)


def test_a_consumer_that_polls_at_fixed_times() -> None:
    """Half the interval to the poll; then (N - 1) N / 2N of those taken with it go first."""
    jobs = ss.MessageQueue(
        "jobs",
        handler=[ss.sleep(0.001)],
        batch=(1, None),
        batch_handling="one_by_one",
        poll_interval=2.0,
        poll="fixed",
    )
    results = run(jobs, rate=40.0)
    assert_covers(of_station(results, "jobs", "consumers", "wait"), 1.0, 0.01)
    assert_covers(message_time(results), 1.0 + 0.001 * (1 + 80 / 2), 0.01)
    assert_covers(of_station(results, "jobs", "consumers", "use"), 0.04, 0.01)


@pytest.mark.parametrize(
    ("partitions", "consumers", "rate", "mean"), [(6, 4, 150.0, 0.015), (3, 5, 120.0, 0.02)]
)
def test_partitions(partitions, consumers, rate, mean) -> None:
    """A consumer of k of P partitions is M/M/1 at k / P of the rate."""
    jobs = ss.MessageQueue(
        "jobs",
        handler=[ss.sleep(EXP(mean))],
        partitions=partitions,
        consumers=consumers,
        partition_by="random",
    )
    results = run(jobs, rate=rate)
    owned = [len(range(c, partitions, consumers)) for c in range(consumers)]
    loads = [k / partitions * rate * mean for k in owned]
    for c, load in enumerate(loads):
        used = by_trial(results, lambda trial, c=c: trial.utilization[c])
        assert_covers(used, load, 0.02)
    expected = sum(k / partitions * mean / (1 - load) for k, load in zip(owned, loads, strict=True))
    assert_covers(message_time(results), expected, 0.07)


@pytest.mark.parametrize(
    ("rate", "backlog", "mean", "capacity", "rejected", "time", "blocked", "held"),
    [
        (60.0, 10, 0.012, 2, 0.0132432889145, 0.0716219566539, 0.146659605191, 0.738713631842),
        (50.0, 5, 0.010, 0, 0.0311458520165, 0.0444764676506, 0.187541659193, 0.671968733185),
    ],
)
def test_blocking_after_service(
    rate, backlog, mean, capacity, rejected, time, blocked, held
) -> None:
    """Two stations; the first keeps its slot until the second has room (Perros 1994)."""
    first = ss.Service(
        "first", backlog=backlog, endpoints={"do": [ss.compute(EXP(0.01)), ss.publish("second")]}
    )
    second = ss.MessageQueue(
        "second", handler=[ss.sleep(EXP(mean))], capacity=capacity, when_full="block"
    )
    results = run(first, second, rate=rate)
    assert_covers(by_trial(results, lambda trial: trial.error_ratio), rejected, 0.2)
    assert_covers(message_time(results, "end_to_end_time", "second"), time, 0.06)
    waits_for = "room" if capacity else "consumers"
    assert_covers(of_station(results, "second", waits_for, "depth"), blocked, 0.05)
    assert_covers(of_station(results, "first", "workers", "use"), held, 0.02)
    assert_covers(
        of_station(results, "second", "consumers", "use"), rate * (1 - rejected) * mean, 0.02
    )
