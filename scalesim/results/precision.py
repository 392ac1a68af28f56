"""Running trials until the intervals of some metrics are narrow enough."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from scalesim.recording import Recording
from scalesim.results.intervals import FEWEST_TRIALS, Estimate
from scalesim.results.results import Results
from scalesim.results.saturation import growing_line
from scalesim.results.warnings import Caution

__all__ = ["until_precise"]

_MOST_GROWTH = 4


def until_precise(
    run: Callable[[int, int], list[Recording]],
    read: Callable[[list[Recording], int], Results],
    precision: float,
    metrics: Sequence[str],
    trials: int,
    max_trials: int,
) -> Results:
    """Run trials until the interval of each metric is within `precision` of its value.

    Parameters
    ----------
    run : callable
        Runs the trials from one number to below another.
    read : callable
        Makes results of recordings and the number of trials asked for.
    trials, max_trials : int
        How many to begin with (5 at least), and the most in all.
    """
    count = max(trials, min(FEWEST_TRIALS, max_trials))
    recordings = run(0, count)
    while True:
        results = read(recordings, count)
        worst = max((results.estimate(each) for each in metrics), key=_relative)
        if _relative(worst) <= precision and not results.partial:
            return results
        if results.partial or growing_line(results) or count >= max_trials:
            break
        # The width goes with the root of the number of trials; a little more saves a round.
        wanted = 1.1 * count * min((_relative(worst) / precision) ** 2, _MOST_GROWTH)
        more = min(max(count + 1, math.ceil(wanted)), max_trials)
        recordings = recordings + run(count, more)
        count = more
    return results.noting(_not_reached(worst, precision, results))


def _relative(found: Estimate) -> float:
    return math.inf if math.isnan(found.relative) else found.relative


def _not_reached(worst: Estimate, asked: float, results: Results) -> Caution:
    reached, trials = _relative(worst), results.trials
    after = f"after {trials} {'trial' if trials == 1 else 'trials'}"
    how = "; allow more trials or run longer ones"
    if results.partial:
        after, how = f"{after}, when it was interrupted", ""
    text = (
        f"precision not reached: {worst.metric} is known to {reached:.2%} of its value {after}, "
        f"asked for were {asked:.2%}{how}"
        if math.isfinite(reached)
        else f"precision not reached: {worst}, {after}"
    )
    numbers = {"asked_ratio": asked, "reached_ratio": reached, "trials": trials}
    return Caution(worst.metric.partition("@")[2], "precision", text, numbers)
