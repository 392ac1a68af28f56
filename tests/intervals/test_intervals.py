"""Intervals, warm-up detection, precision and paired comparison."""

from __future__ import annotations

import numpy as np
import pytest
from intervals.repeated_runs import single

import scalesim as ss
from scalesim.results.warmup import mser
from scalesim.studies.compare import compare

TOPOLOGY, RATE, TRUTH = single(1, 0.5)


def test_mser_cuts_a_transient_and_leaves_a_stationary_series() -> None:
    steady = np.tile([1.0, 2.0], 40)
    assert mser(steady) == 0
    assert mser(np.concatenate([[90.0, 70.0, 50.0], steady])) == 3


@pytest.mark.parametrize(("most", "reached"), [(200, True), (5, False)])
def test_precision_runs_trials_until_reached_or_says_it_is_not(most: int, reached: bool) -> None:
    results = ss.simulate(
        TOPOLOGY, ss.Traffic(RATE), duration=1_000.0, precision=0.03, max_trials=most
    )
    assert (results.estimate("latency_mean_s").relative <= 0.03) is reached
    assert any(each.what == "precision" for each in results.warnings) is not reached


def test_the_same_luck_narrows_the_difference_and_its_interval_holds_the_truth() -> None:
    faster, _, _ = single(2, 0.25)
    found = compare(
        TOPOLOGY, faster, ss.Traffic(RATE), duration=5_000.0, metrics=["latency_mean_s"]
    )["latency_mean_s"]
    # M/M/1 at 0.5: 2 s; M/M/2 at 0.25: 1 / (1 - 0.25^2) s.
    assert found.low <= 1 / (1 - 0.25**2) - 2.0 <= found.high
    assert found.significant
    assert found.variance_reduction > 1
