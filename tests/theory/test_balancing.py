"""Power of two choices between two servers, with and without replacement, as a Markov chain.

Exponential times, one slot each; numbers (i, j) up to `MOST` each, which are never reached at the
loads below. Without replacement both are always drawn: the shorter line (Haight 1958).
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import spsolve
from theory.estimates import assert_covers, by_trial, simulate

import scalesim as ss
from scalesim.policies.load_balancing import PowerOfTwo

MOST = 60


def mean_response(rate: float, both: float) -> float:
    """Return the mean response time; both servers, of rate 1, are drawn with chance `both`."""
    n = MOST + 1
    flows = sparse.lil_matrix((n * n, n * n))
    for i in range(n):
        for j in range(n):
            here = i * n + j
            to_first = (1 - both) / 2 + both * ((i < j) + (i == j) / 2)
            for there, flow, possible in (
                (here + n, rate * to_first, i < MOST),
                (here + 1, rate * (1 - to_first), j < MOST),
                (here - n, 1.0, i > 0),
                (here - 1, 1.0, j > 0),
            ):
                if possible:
                    flows[there, here] += flow
                    flows[here, here] -= flow
    flows[0, :] = 1.0  # instead of one balance equation: the sum is one
    share = spsolve(flows.tocsr(), np.eye(1, n * n).ravel())
    total = np.add.outer(np.arange(n), np.arange(n)).ravel()
    return float(share @ total) / rate


@pytest.mark.parametrize(("distinct", "both"), [(False, 0.5), (True, 1.0)])
def test_two_choices_of_two(distinct, both) -> None:
    rate = 1.4
    pool = ss.Service("web", instances=2, endpoints={"get": [ss.compute(ss.Exponential(1.0))]})
    edge = ss.LoadBalancer("edge", targets="web", policy=PowerOfTwo(distinct=distinct))
    topology = ss.Topology(edge, pool, entry="edge")
    results = simulate(topology, ss.Traffic(rate), requests=1e6, rate=rate)
    expected = mean_response(rate, both)
    assert_covers(by_trial(results, lambda trial: trial.latency.mean), expected, 0.03)
