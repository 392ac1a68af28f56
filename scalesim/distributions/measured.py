"""Measured distributions: the quantiles of a sample, or the very values in their order."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

from scalesim.distributions.base import FAMILY, Amount, Distribution, SamplerRow
from scalesim.errors import Problem
from scalesim.fields import AsTuple, ListOf, described, param
from scalesim.kernels import sampling

__all__ = ["Empirical", "Recorded"]


@FAMILY.add("empirical")
@described
class Empirical(Distribution):
    """Measured: quantiles at equal steps of probability, straight lines between.

    Parameters
    ----------
    quantiles : sequence of float [s or bytes, >= 0], at least 2, not decreasing
        The value at probability 0, 1/(n-1), ..., 1: minimum first, maximum last.
    """

    primary = "quantiles"
    quantiles: AsTuple[float] = param(
        ListOf(Amount(at_least=0)), "values at equal steps of probability", kw_only=False
    )

    def check_together(self) -> Iterator[Problem]:
        if isinstance(self.quantiles, tuple):
            numbers = [q for q in self.quantiles if isinstance(q, (int, float))]
            if len(numbers) < 2:
                yield Problem("", f"got {len(numbers)} quantiles, at least 2 are needed")
            if any(a > b for a, b in pairwise(numbers)):
                yield Problem("", "the quantiles must not decrease")

    @property
    def mean(self) -> float:
        q = self.quantiles
        return sum((a + b) / 2 for a, b in pairwise(q)) / (len(q) - 1)

    @property
    def scv(self) -> float:
        q = self.quantiles
        second = sum((a * a + a * b + b * b) / 3 for a, b in pairwise(q))
        return second / (len(q) - 1) / self.mean**2 - 1 if self.mean else 0.0

    def row(self, scale: float) -> SamplerRow:
        return SamplerRow(
            sampling.EMPIRICAL, c=scale, values=self.quantiles, size=len(self.quantiles)
        )


@FAMILY.add("recorded")
@described
class Recorded(Distribution):
    """The very values, in their order: request n takes value n, and again from the first.

    With `ReplayTraffic` this repeats a recorded run: the demands go with the arrivals. All visits
    and attempts of one request take the same value. Of users' pauses, turn t of user u takes value
    ``u + t * users``.

    Parameters
    ----------
    values : sequence of float [s or bytes, >= 0], at least 1
    """

    primary = "values"
    values: AsTuple[float] = param(
        ListOf(Amount(at_least=0)), "value of each request", kw_only=False
    )

    def check_together(self) -> Iterator[Problem]:
        if self.values == ():
            yield Problem("", "got no values, at least 1 is needed", ("values",))

    @property
    def mean(self) -> float:
        return math.fsum(self.values) / len(self.values)

    @property
    def scv(self) -> float:
        mean = self.mean
        second = math.fsum((value - mean) ** 2 for value in self.values) / len(self.values)
        return second / mean**2 if mean else 0.0

    def row(self, scale: float) -> SamplerRow:
        return SamplerRow(sampling.RECORDED, c=scale, values=self.values, size=len(self.values))
