"""Growth: by what factor traffic is larger in a later month."""

from __future__ import annotations

import math
from itertools import pairwise

from scalesim.fields import (
    AsTuple,
    Description,
    Family,
    ListOf,
    Number,
    OneOf,
    described,
    param,
)

__all__ = ["GROWTH", "Compound", "FactorTable", "Growth", "Linear", "growth_kind"]

GROWTH = Family(
    "growth",
    scalar=lambda value: (
        Compound(float(value))
        if isinstance(value, (int, float)) and not isinstance(value, bool)
        else value
    ),
)


class Growth(Description):
    """Base of growth laws. Month 0 is today, with factor 1."""

    def factor(self, month: float) -> float:
        """Return traffic in `month` as a multiple of today's; ``inf`` if it overflows."""
        raise NotImplementedError

    def monthly_factors(self, months: int) -> list[float]:
        """Return the factors of months 0, which is today, to `months`."""
        return [self.factor(month) for month in range(months + 1)]

    def month_of(self, factor: float) -> float:
        """Return the first time [months] at which the factor is reached; ``inf`` if never."""
        raise NotImplementedError


def growth_kind() -> OneOf:
    """Return the kind of a field or argument that holds a growth law."""
    return OneOf(GROWTH, scalar=Number("1/month", above=-1, at_most=100))


@GROWTH.add("compound")
@described
class Compound(Growth):
    """The same ratio on top every month.

    Parameters
    ----------
    per_month : float [ratio a month, > -1]
        0.15 is 15 % a month, compounded.
    """

    primary = "per_month"
    per_month: float = param(
        Number("1/month", above=-1, at_most=100), "growth a month, compounded", kw_only=False
    )

    def factor(self, month: float) -> float:
        try:
            return float((1.0 + self.per_month) ** month)
        except OverflowError:
            return math.inf

    def month_of(self, factor: float) -> float:
        if factor <= 1.0:
            return 0.0
        return math.log(factor) / math.log1p(self.per_month) if self.per_month > 0 else math.inf


@GROWTH.add("linear")
@described
class Linear(Growth):
    """The same amount on top every month.

    Parameters
    ----------
    per_month : float [ratio of today's traffic a month, >= 0]
    """

    primary = "per_month"
    per_month: float = param(
        Number("1/month", at_least=0, at_most=1e6), "growth a month, of today's", kw_only=False
    )

    def factor(self, month: float) -> float:
        return 1.0 + self.per_month * month

    def month_of(self, factor: float) -> float:
        if factor <= 1.0:
            return 0.0
        return (factor - 1.0) / self.per_month if self.per_month > 0 else math.inf


@GROWTH.add("table")
@described
class FactorTable(Growth):
    """Factors month by month, straight lines between; constant after the last.

    Parameters
    ----------
    factors : sequence of float [> 0]
        For month 1, 2, ...; month 0 is 1.
    """

    primary = "factors"
    factors: AsTuple[float] = param(
        ListOf(Number(above=0, at_most=1e9)), "factor in month 1, 2, ...", kw_only=False
    )

    def factor(self, month: float) -> float:
        table = (1.0, *self.factors)
        low = min(int(month), len(table) - 1)
        high = min(low + 1, len(table) - 1)
        return table[low] + (month - low) * (table[high] - table[low]) if high > low else table[low]

    def month_of(self, factor: float) -> float:
        if factor <= 1.0:
            return 0.0
        table = (1.0, *self.factors)
        for month, (low, high) in enumerate(pairwise(table)):
            if high >= factor:
                return month + (factor - low) / (high - low)
        return math.inf
