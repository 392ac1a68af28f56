"""A circuit breaker in front of what fails by chance, as a renewal process.

Poisson calls (rate r) that are answered at once and fail with probability q. Until k fail in a row
(1 - q^k) / (q^k (1 - q)) calls are made. Open it is for its time and until the next call, which is
the first of m trials: of these (1 - (1 - q)^m) / q are made, and all succeed with probability
(1 - q)^m.
"""

from __future__ import annotations

import pytest
from theory.estimates import assert_covers, by_trial, simulate

import scalesim as ss
from scalesim.components import CircuitBreaker, fail


@pytest.mark.parametrize(("q", "in_a_row", "trials"), [(0.5, 3, 2), (0.3, 2, 4)])
def test_shares_of_time_in_each_state(q, in_a_row, trials) -> None:
    rate, open_time = 10.0, 1.0
    breaker = CircuitBreaker(consecutive_failures=in_a_row, open_time=open_time, trial_calls=trials)
    front = ss.Service("front", workers=99, endpoints={"get": [ss.call("back", breaker=breaker)]})
    back = ss.Service("back", workers=99, endpoints={"get": [fail(q)]})
    topology = ss.Topology(front, back, entry="front")
    results = simulate(topology, ss.Traffic(rate), requests=1e6, rate=rate)
    closed = (1 - q**in_a_row) / (q**in_a_row * (1 - q)) / rate
    success = (1 - q) ** trials
    opened = (open_time + 1 / rate) / success
    half_open = ((1 - success) / q - 1) / rate / success
    cycle = closed + opened + half_open
    for state, time in enumerate((closed, half_open, opened)):
        shares = by_trial(
            results, lambda x, s=state: x.time_shares("front", "breaker[get.0->back]")[s]
        )
        assert_covers(shares, time / cycle, 0.05)
