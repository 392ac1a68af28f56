"""Arrivals that are not Poisson: G/M/1, batches, bursts; and two groups of closed users.

G/M/1: Kleinrock, "Queueing systems" I (1975), ch. 6. M^X/M/1: Gross et al., "Fundamentals of
queueing theory" (2008), 3.1. MMPP/M/1: solved as a quasi-birth-death chain. Two groups of users at
two processor-sharing stations: exact mean-value analysis (Reiser & Lavenberg, J. ACM 27, 1980).
"""

from __future__ import annotations

import pytest
from theory.estimates import assert_covers, by_trial, one_server, simulate

import scalesim as ss
from scalesim.distributions import Erlang, HyperExponential, Uniform
from scalesim.traffic import Batches, Bursts, Renewal, UserGroups, Users

S = 0.01
"""Mean service time [s]."""

H2 = HyperExponential(
    probabilities=(0.887298334621, 0.112701665379), means=(0.00805011895566, 0.0633784524729)
)


@pytest.mark.parametrize(
    ("rate", "arrivals", "mean", "within"),
    [
        (80.0, Renewal(Erlang(1.0, phases=2)), 0.0384397976699, 0.02),
        (90.0, "constant", 0.0517865942215, 0.03),
        (70.0, Renewal(H2), 0.0657305163373, 0.04),
        (75.0, Batches(5), 0.12, 0.04),
        (80.0, Batches(4, law="geometric"), 0.2, 0.05),
        (67.5, Bursts(rates=(40, 150), switch_rates=((0, 0.5), (1.5, 0))), 0.35428492953, 0.08),
    ],
    ids=["erlang", "constant", "hyperexponential", "batches", "geometric batches", "bursts"],
)
def test_mean_latency_of_one_exponential_server(rate, arrivals, mean, within):
    traffic = ss.Traffic(rate, arrivals=arrivals)
    results = simulate(one_server(ss.Exponential(S)), traffic, requests=16e6, rate=rate)
    assert_covers(by_trial(results, lambda trial: trial.latency.mean), mean, within)


def test_uniform_gaps_and_erlang_demands_wait_less_than_kingmans_bound():
    """Kingman, "The single server queue in heavy traffic" (1961)."""
    traffic = ss.Traffic(80.0, arrivals=Renewal(Uniform(0.0, 1.0)))
    results = simulate(one_server(Erlang(S, phases=3)), traffic, requests=1e6, rate=80.0)
    assert results.latency.mean - S < 0.0170833333333


def test_two_groups_of_users_on_shared_processors():
    def station(name: str, browse: float, report: float) -> ss.Service:
        steps = {"browse": [ss.compute(ss.Exponential(browse))]}
        steps["report"] = [ss.compute(ss.Exponential(report))]
        return ss.Service(name, workers=100, endpoints=steps)

    each = {name: [ss.call(f"web.{name}"), ss.call(f"db.{name}")] for name in ("browse", "report")}
    model = ss.Topology(
        ss.Service("client", workers=100, endpoints=each),
        station("web", 0.03, 0.2),
        station("db", 0.02, 0.6),
        entry="client",
    )
    groups = {
        "browse": Users(20, think_time=ss.Exponential(2.0), mix={"browse": 1, "report": 0}),
        "report": Users(4, think_time=ss.Exponential(5.0), mix={"browse": 0, "report": 1}),
    }
    results = simulate(model, UserGroups(groups=groups), requests=4e6, rate=10.2)
    for name, mean, within in (("browse", 0.0895439918146, 0.01), ("report", 1.39441890142, 0.03)):
        values = by_trial(results, lambda trial, name=name: trial.latency_of(name).mean)
        assert_covers(values, mean, within)
