"""The judge: how often right numbers fail, how often wrong ones do, and what is largest."""

from __future__ import annotations

import numpy as np
import pytest
from accuracy.judge import FALSE_ALARM, Estimated, Expected, Largest, judge
from accuracy.suite import TRIALS

FIGURES = 20


def _suites(count: int, mean: float) -> np.ndarray:
    """Return normal trials of suites of figures, each 1 % apart from trial to trial."""
    draw = np.random.default_rng(7)
    return mean + 0.01 * draw.standard_normal((count, FIGURES, TRIALS))


def test_one_suite_in_a_hundred_raises_a_false_alarm() -> None:
    expected, alarms, suites = Expected(1.0), 0, 4000
    for suite in _suites(suites, 1.0):
        # A suite fails if its worst figure does.
        error = suite.std(axis=1, ddof=1) / np.sqrt(TRIALS)
        worst = int(np.argmax(np.abs(suite.mean(axis=1) - 1.0) / error))
        alarms += not judge(expected, list(suite[worst]), FIGURES)[0].ok
    assert 0.5 * FALSE_ALARM < alarms / suites < 1.5 * FALSE_ALARM


@pytest.mark.parametrize("spread", [0.01, 0.025, 0.035])
def test_power_is_how_often_an_error_of_two_percent_fails(spread: float) -> None:
    draw = np.random.default_rng(11)
    expected, failed, said, runs = Expected(1.0), 0, 0.0, 700
    for trials in 1.02 + spread * draw.standard_normal((runs, TRIALS)):
        verdict = judge(expected, list(trials), FIGURES)[0]
        failed += verdict.wrong
        said += verdict.power
    assert failed / runs == pytest.approx(said / runs, abs=0.06)


def test_the_largest_of_equal_means_is_no_larger() -> None:
    """Three equal consumers: each trial's largest is biased upwards, the largest mean is not.

    This is what was wrong with the worst consumer of three partitions: 3 % of its time.
    """
    draw = np.random.default_rng(3)
    trials = 0.1 + 0.002 * draw.standard_normal((TRIALS, 3))
    naive = judge(Expected(0.1), list(trials.max(axis=1)), FIGURES)[0]
    assert not naive.ok
    assert naive.got == pytest.approx(0.1 + 0.846 * 0.002, abs=0.0005)  # mean of the largest of 3
    assert judge(Expected(0.1), [Largest(tuple(each)) for each in trials], FIGURES)[0].ok


def test_an_estimate_with_its_error_is_judged_as_its_trials_are() -> None:
    trials = _suites(1, 1.0)[0, 0]
    error = trials.std(ddof=1) / np.sqrt(TRIALS)
    whole = judge(Expected(1.0), list(trials), FIGURES)[0]
    told = judge(Expected(1.0), [Estimated(trials.mean(), error, TRIALS)], FIGURES)[0]
    assert told.half == pytest.approx(whole.half)
    assert (told.ok, told.got) == (whole.ok, pytest.approx(whole.got))
