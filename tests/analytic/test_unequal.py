"""The analytic engine where targets, loads or laws are not as even as its theorems need them.

Simulated values are of one long run each, with the half width of their 99 % intervals.
"""

from __future__ import annotations

import math

import pytest

import scalesim as ss
from scalesim.engines.analytic import capacity, solve
from scalesim.errors import UnsupportedByEngine
from scalesim.studies.agreement import STATED_ERROR

EXP = ss.Exponential


def sleeper(name, mean=0.01, **fields):
    """A service with one worker that sleeps."""
    return ss.Service(name, endpoints={"get": [ss.sleep(EXP(mean))]}, **fields)


def balanced(*targets, **fields):
    names = [each.name for each in targets]
    balancer = ss.LoadBalancer("lb", targets=names, **fields)
    return ss.Topology(balancer, *targets, entry="lb")


def approximate(figure, simulated, half) -> None:
    """Assert that a figure is not called exact and is as good as its label says."""
    assert figure.kind == "approximate", figure
    error = sum(STATED_ERROR[each] for each in figure.method.split(", ")) * figure.value
    assert abs(figure.value - simulated) <= error + half, figure


# Balancers that look at the load --------------------------------------------------------------

_REPLICATED = ss.Database(
    "db", connections=1, read=EXP(0.01), write=EXP(0.01), read_replicas=1, reads_from="all",
    balancing="least_connections",
)  # fmt: skip


@pytest.mark.parametrize("policy", ["least_connections", "power_of_two"])
@pytest.mark.parametrize(
    "topology",
    [
        lambda policy: balanced(sleeper("f", 0.005), sleeper("g", 0.02), policy=policy),
        lambda policy: balanced(
            sleeper("s"), sleeper("t"), policy=policy, weights={"s": 2.0, "t": 1.0}
        ),
        lambda policy: balanced(sleeper("s"), sleeper("t", workers=2), policy=policy),
    ],
)
def test_balancers_that_react_are_refused_over_unequal_targets(policy, topology) -> None:
    with pytest.raises(UnsupportedByEngine, match="alike"):
        solve(topology(policy), ss.Traffic(60.0))
    assert math.isnan(capacity(topology(policy), ss.Traffic(60.0)))  # 180.6/s were served of 100


def test_what_comes_from_elsewhere_makes_targets_unequal() -> None:
    topology = ss.Topology(_REPLICATED, entry="db")
    with pytest.raises(UnsupportedByEngine, match="alike"):
        solve(topology, ss.Traffic(50.0, mix={"read": 0.8, "write": 0.2}))
    assert solve(topology, ss.Traffic(50.0, mix={"read": 1.0, "write": 0.0})).capacity.value == 200


def test_equal_targets_are_so_whatever_they_are_called() -> None:
    apart = balanced(sleeper("s"), sleeper("t"), policy="least_connections")
    figure = solve(apart, ss.Traffic(160.0)).metric("wait_time_mean_s", "s")
    assert figure.kind == "exact"
    assert figure.value == pytest.approx(0.0195573661764, rel=1e-5)


def test_weighted_round_robin_over_services_is_approximate() -> None:
    topology = balanced(sleeper("s"), sleeper("t"), weights={"s": 2.0, "t": 1.0})
    results = solve(topology, ss.Traffic(110.0))
    approximate(results.metric("wait_time_mean_s", "s"), 0.0219, 0.0006)
    # Of one of three the gaps are sums of three, exactly: E3/M/1.
    three = solve(ss.Topology(sleeper("x", instances=3), entry="x"), ss.Traffic(110.0))
    value = results.metric("wait_time_mean_s", "t").value
    assert value == pytest.approx(three.metric("wait_time_mean_s", "x").value)
