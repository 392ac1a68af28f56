"""Distributions with one or two parameters, in the words an engineer knows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from scalesim.distributions.base import FAMILY, Amount, Distribution, SamplerRow
from scalesim.errors import Problem
from scalesim.fields import Integer, Number, described, param
from scalesim.kernels import sampling

__all__ = ["Constant", "Erlang", "Exponential", "LogNormal", "Pareto", "Uniform", "Weibull"]


@FAMILY.add("constant")
@described
class Constant(Distribution):
    """Always the same value.

    Parameters
    ----------
    value : float [s or bytes, >= 0]
    """

    primary = "value"
    value: float = param(Amount(at_least=0), "the value", kw_only=False)

    @property
    def mean(self) -> float:
        return self.value

    @property
    def scv(self) -> float:
        return 0.0

    def row(self, scale: float) -> SamplerRow:
        return SamplerRow(sampling.CONSTANT, a=self.value * scale)


@FAMILY.add("exponential")
@described
class Exponential(Distribution):
    """Memoryless; coefficient of variation 1.

    Parameters
    ----------
    mean : float [s or bytes, > 0]

    Examples
    --------
    >>> Exponential(0.005).scv
    1.0
    """

    primary = "mean"
    mean: float = param(Amount(above=0), "the mean", kw_only=False)

    @property
    def scv(self) -> float:
        return 1.0

    def row(self, scale: float) -> SamplerRow:
        return SamplerRow(sampling.EXPONENTIAL, a=self.mean * scale)


@FAMILY.add("uniform")
@described
class Uniform(Distribution):
    """Equally likely between `low` and `high`.

    Parameters
    ----------
    low, high : float [s or bytes, 0 <= low < high]
    """

    low: float = param(Amount(at_least=0), "the smallest value", kw_only=False)
    high: float = param(Amount(above=0), "the largest value", kw_only=False)

    def check_together(self) -> Iterator[Problem]:
        if _ordered(self.high, self.low):
            yield Problem(
                "", f"low is {self.low:g} and high is {self.high:g}; low must be below high"
            )

    @property
    def mean(self) -> float:
        return (self.low + self.high) / 2

    @property
    def scv(self) -> float:
        return (self.high - self.low) ** 2 / 12 / self.mean**2

    def row(self, scale: float) -> SamplerRow:
        return SamplerRow(sampling.UNIFORM, a=self.low * scale, b=self.high * scale)


@FAMILY.add("lognormal")
@described
class LogNormal(Distribution):
    """The usual law of service times: a body and a longish tail.

    Parameters
    ----------
    mean : float [s or bytes, > 0]
    cv : float [ratio, > 0]
        Coefficient of variation: standard deviation / mean.
    """

    mean: float = param(Amount(above=0), "the mean", kw_only=False)
    cv: float = param(Number(above=0), "standard deviation / mean", default=1.0)

    @property
    def scv(self) -> float:
        return self.cv**2

    def row(self, scale: float) -> SamplerRow:
        variance = math.log1p(self.cv**2)
        mu = math.log(self.mean) - variance / 2
        return SamplerRow(sampling.LOGNORMAL, a=mu, b=math.sqrt(variance), c=scale)


@FAMILY.add("erlang")
@described
class Erlang(Distribution):
    """Sum of `phases` equal exponentials: less variable than one.

    Parameters
    ----------
    mean : float [s or bytes, > 0]
    phases : int [>= 1]
    """

    mean: float = param(Amount(above=0), "the mean", kw_only=False)
    phases: int = param(Integer(1, 1000), "how many exponentials are added")

    @property
    def scv(self) -> float:
        return 1.0 / self.phases

    def row(self, scale: float) -> SamplerRow:
        return SamplerRow(sampling.ERLANG, a=self.mean * scale / self.phases, size=self.phases)


@FAMILY.add("pareto")
@described
class Pareto(Distribution):
    """Heavy tail: P(X > x) = (scale / x) ** shape from `scale` on.

    Parameters
    ----------
    scale : float [s or bytes, > 0]
        The smallest value.
    shape : float [> 1]
        Tail exponent; at 2 or below the variance is infinite, at 1 or below the mean would be.
    """

    scale: float = param(Amount(above=0), "the smallest value", kw_only=False)
    shape: float = param(Number(above=1), "tail exponent; at most 2 means infinite variance")

    @property
    def mean(self) -> float:
        return self.scale * self.shape / (self.shape - 1)

    @property
    def scv(self) -> float:
        return 1 / (self.shape * (self.shape - 2)) if self.shape > 2 else math.inf

    def row(self, scale: float) -> SamplerRow:
        return SamplerRow(sampling.PARETO, a=self.scale * scale, b=self.shape)


@FAMILY.add("weibull")
@described
class Weibull(Distribution):
    """P(X > x) = exp(-(x / scale) ** shape): heavier than exponential for shape < 1.

    Parameters
    ----------
    mean : float [s or bytes, > 0]
    shape : float [> 0]
    """

    mean: float = param(Amount(above=0), "the mean", kw_only=False)
    shape: float = param(Number(at_least=0.1), "below 1: heavy tail; above 1: light")

    @property
    def scv(self) -> float:
        first = math.gamma(1 + 1 / self.shape)
        return math.gamma(1 + 2 / self.shape) / first**2 - 1

    def row(self, scale: float) -> SamplerRow:
        width = self.mean / math.gamma(1 + 1 / self.shape)
        return SamplerRow(sampling.WEIBULL, a=width * scale, b=self.shape)


def _ordered(high: Any, low: Any) -> bool:
    return all(isinstance(x, (int, float)) for x in (high, low)) and not low < high
