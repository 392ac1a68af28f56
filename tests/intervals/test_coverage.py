"""How often nominal 95 % intervals hold the truth, in 400 runs under fixed seeds.

The band is the binomial one around 95 %, two-sided, of which all figures of a healthy table miss
one in a hundred times together (Bonferroni). `repeated_runs.py` measures more, and longer.
"""

from __future__ import annotations

import pytest
from intervals.repeated_runs import HALF, MEAN, NINE, P99, TESTED, System, repeat
from scipy.stats import binom

RUNS = 400
FIGURES = sum(len(system.truth) for system, _ in TESTED)


def band(runs: int) -> tuple[int, int]:
    """Return how many of `runs` intervals hold the truth, at least and at most."""
    tail = 0.01 / FIGURES / 2
    return int(binom.ppf(tail, runs, 0.95)), int(binom.ppf(1 - tail, runs, 0.95))


@pytest.mark.parametrize(("system", "requests"), TESTED, ids=[each.name for each, _ in TESTED])
def test_intervals_hold_the_truth_as_often_as_they_say(system: System, requests: int) -> None:
    for metric, count in repeat(system, requests, {}, RUNS).items():
        least, most = band(count.runs)
        assert least <= count.covered <= most, metric
        # Which runs are warned of has to do with luck: the others must not be the lucky ones.
        assert count.trusted >= RUNS / 2, metric
        least, most = band(count.trusted)
        assert least <= count.trusted_covered <= most, metric


@pytest.mark.long
@pytest.mark.parametrize(("system", "requests"), [(HALF, 1_000), (NINE, 20_000)])
def test_so_do_those_of_independent_trials(system: System, requests: int) -> None:
    found = repeat(system, requests, {"trials": 10}, RUNS)
    least, most = band(RUNS)
    for metric in (MEAN, P99):
        assert least <= found[metric].covered <= most, metric


@pytest.mark.long
def test_stopping_when_an_interval_is_narrow_costs_a_few_per_cent() -> None:
    """A run stops the sooner the narrower its interval happens to be, so that it misses more."""
    count = repeat(HALF, 1_000, {"precision": 0.1}, RUNS)[MEAN]
    assert 0.85 * RUNS <= count.covered <= 0.98 * RUNS
