"""Quantiles of waits for one server, against methods that know no grid."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable

import numpy as np
import pytest

import scalesim as ss
from scalesim.distributions import Distribution, Mixture
from scalesim.engines.analytic import times
from scalesim.engines.analytic.server_waits import one_server

Transform = Callable[[complex], complex]


def _later(transform: Transform, mean: float, load: float, time: float) -> float:
    """Return P(wait > time) by Euler inversion of Pollaczek and Khinchine's transform.

    Abate and Whitt, "Numerical inversion of Laplace transforms of probability distributions",
    ORSA Journal on Computing 7 (1995), algorithm EULER.
    """
    terms, extra, accuracy = 300, 14, 22.0

    def late(k: int) -> float:
        s = complex(accuracy / 2, k * math.pi) / time
        residual = (1 - transform(s)) / (s * mean)
        return (-1) ** k * ((1 - (1 - load) / (1 - load * residual)) / s).real

    sums = np.cumsum([late(0) / 2, *(late(k) for k in range(1, terms + extra + 1))])[terms:]
    weights = [math.comb(extra, j) * 2.0**-extra for j in range(extra + 1)]
    return math.exp(accuracy / 2) / time * float(np.dot(weights, sums))


def _lognormal(law: ss.LogNormal) -> Transform:
    width = math.sqrt(math.log1p(law.cv**2))
    z = np.linspace(-9, 9, 4001)
    weights = np.exp(-z * z / 2) / np.exp(-z * z / 2).sum()
    values = law.mean * np.exp(width * z - width * width / 2)
    return lambda s: complex((weights * np.exp(-s * values)).sum())


_SMOOTH: list[tuple[Distribution, Transform]] = [
    (ss.Exponential(0.01), lambda s: 1 / (1 + 0.01 * s)),
    (ss.Uniform(0, 0.02), lambda s: (1 - cmath.exp(-0.02 * s)) / (0.02 * s)),
    (ss.LogNormal(0.01, cv=4.0), _lognormal(ss.LogNormal(0.01, cv=4.0))),
    (
        Mixture(probabilities=(0.9, 0.1), parts=(ss.Exponential(0.005), ss.Uniform(0.05, 0.06))),
        lambda s: (
            0.9 / (1 + 0.005 * s) + 0.1 * (cmath.exp(-0.05 * s) - cmath.exp(-0.06 * s)) / (0.01 * s)
        ),
    ),
]


@pytest.mark.parametrize("load", [0.1, 0.5, 0.85, 0.99])
@pytest.mark.parametrize(("law", "transform"), _SMOOTH, ids=lambda x: type(x).__name__)
def test_wait_quantiles_are_those_of_the_inverted_transform(
    law: Distribution, transform: Transform, load: float
) -> None:
    mean = load * (1 + law.scv) * law.mean / 2 / (1 - load)
    wait = one_server(load, times.drawn(law), mean)
    for p in (1 - 0.98 * load, 1 - load / 2, 1 - load / 100, 1 - load / 10_000):
        quantile = wait.quantile(p)
        near = 1e-4 * max(quantile, mean)
        assert _later(transform, law.mean, load, quantile + near) < 1 - p
        assert quantile < near or _later(transform, law.mean, load, quantile - near) > 1 - p


@pytest.mark.parametrize("load", [0.1, 0.5, 0.85])
def test_wait_quantiles_with_constant_service_are_crommelins(load: float) -> None:
    # Crommelin, "Delay probability formulae", Post Office Electrical Engineers Journal 26 (1934).
    def sooner(x: float) -> float:
        terms = [
            math.exp(load * (x - k)) * (load * (k - x)) ** k / math.factorial(k)
            for k in range(int(x) + 1)
        ]
        return (1 - load) * math.fsum(terms)

    wait = one_server(load, times.constant(0.01), load * 0.01 / 2 / (1 - load))
    for p in (1 - 0.98 * load, 1 - load / 2, 1 - load / 100):
        assert sooner(wait.quantile(p) / 0.01) == pytest.approx(p, rel=1e-5)


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("rate", [1e-3, 1e-6, 1.0])
def test_nobody_waits_where_requests_come_seldom_and_evenly(rate: float, slots: int) -> None:
    server = ss.Service("s", workers=slots, endpoints={"get": [ss.sleep(ss.Exponential(0.01))]})
    traffic = ss.Traffic(rate, arrivals="constant")
    topology = ss.Topology(server, entry="s")
    results = ss.simulate(topology, traffic, duration=1, engine="analytic")
    assert results.metric("wait_time_mean_s", "s").value == pytest.approx(0.0, abs=1e-12)
