"""Distributions of service times, sizes and pauses: frozen descriptions with exact moments.

Each class says its parameters in the words an engineer knows (mean, coefficient of variation) and
lowers itself to one row of the sampler table (`scalesim.kernels.sampling`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from scalesim.errors import Problem
from scalesim.fields import Description, Family, Integer, Kind, ListOf, Number, OneOf, param
from scalesim.kernels import sampling

__all__ = [
    "Constant",
    "Distribution",
    "Empirical",
    "Erlang",
    "Exponential",
    "HyperExponential",
    "LogNormal",
    "Pareto",
    "SamplerRow",
    "Uniform",
    "Weibull",
    "sizes",
    "times",
]


class SamplerRow(NamedTuple):
    """One row of the sampler table.

    `values` go to the shared table of floats; `size` is the number of phases, branches or values.
    """

    kind: int
    a: float = 0.0
    b: float = 0.0
    c: float = 1.0
    values: tuple[float, ...] = ()
    size: int = 0


def _constant(value: Any) -> Any:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return Constant(float(value)) if number and not 1e308 < value < math.inf else value


_FAMILY = Family("distribution", scalar=_constant)


class Distribution(Description):
    """Base of all distributions. Values are never negative."""

    family: ClassVar[Family] = _FAMILY

    if TYPE_CHECKING:  # a field in some members, computed in others

        @property
        def mean(self) -> float:
            """The exact mean, in the unit of the field it stands in."""

    @property
    def scv(self) -> float:
        """The squared coefficient of variation: variance / mean squared (``inf`` if infinite)."""
        raise NotImplementedError

    def row(self, scale: float) -> SamplerRow:
        """Return the sampler's row for this distribution multiplied by `scale`."""
        raise NotImplementedError


_measured_unit: ContextVar[str] = ContextVar("_measured_unit", default="s")
"""Unit of the field being read or written: the same classes measure times and sizes."""


@dataclass(frozen=True)
class _DistributionOf(OneOf):
    """A distribution of values in one unit."""

    unit: str = "s"

    def decode(self, node: Any) -> Any:
        return self._within(super().decode, node)

    def encode(self, value: Any) -> Any:
        return self._within(super().encode, value)

    def _within(self, work: Callable[[Any], Any], argument: Any) -> Any:
        token = _measured_unit.set(self.unit)
        try:
            return work(argument)
        finally:
            _measured_unit.reset(token)


def times() -> Kind:
    """Return the kind of a field that holds a distribution of times [s, >= 0]."""
    return _DistributionOf(_FAMILY, Number("s", at_least=0), "s")


def sizes() -> Kind:
    """Return the kind of a field that holds a distribution of sizes [bytes, >= 0]."""
    return _DistributionOf(_FAMILY, Number("B", at_least=0), "B")


class _Amount(Number):
    """A parameter of a distribution: a time or a size, whichever the field around it measures."""

    def decode(self, node: Any) -> Any:
        return Number(_measured_unit.get(), self.above, self.at_least).decode(node)

    def encode(self, value: Any) -> Any:
        return Number(_measured_unit.get()).encode(value)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [Number("s").schema(), Number("B").schema()]}


@_FAMILY.add("constant")
@dataclass(frozen=True)
class Constant(Distribution):
    """Always the same value.

    Parameters
    ----------
    value : float [s or bytes, >= 0]
    """

    primary = "value"
    value: float = param(_Amount(at_least=0), "the value", kw_only=False)

    @property
    def mean(self) -> float:
        return self.value

    @property
    def scv(self) -> float:
        return 0.0

    def row(self, scale: float) -> SamplerRow:
        return SamplerRow(sampling.CONSTANT, a=self.value * scale)


@_FAMILY.add("exponential")
@dataclass(frozen=True)
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
    mean: float = param(_Amount(above=0), "the mean", kw_only=False)

    @property
    def scv(self) -> float:
        return 1.0

    def row(self, scale: float) -> SamplerRow:
        return SamplerRow(sampling.EXPONENTIAL, a=self.mean * scale)


@_FAMILY.add("uniform")
@dataclass(frozen=True)
class Uniform(Distribution):
    """Equally likely between `low` and `high`.

    Parameters
    ----------
    low, high : float [s or bytes, 0 <= low < high]
    """

    low: float = param(_Amount(at_least=0), "the smallest value", kw_only=False)
    high: float = param(_Amount(above=0), "the largest value", kw_only=False)

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


@_FAMILY.add("lognormal")
@dataclass(frozen=True)
class LogNormal(Distribution):
    """The usual law of service times: a body and a longish tail.

    Parameters
    ----------
    mean : float [s or bytes, > 0]
    cv : float [ratio, > 0]
        Coefficient of variation: standard deviation / mean.
    """

    mean: float = param(_Amount(above=0), "the mean", kw_only=False)
    cv: float = param(Number(above=0), "standard deviation / mean", default=1.0)

    @property
    def scv(self) -> float:
        return self.cv**2

    def row(self, scale: float) -> SamplerRow:
        variance = math.log1p(self.cv**2)
        mu = math.log(self.mean) - variance / 2
        return SamplerRow(sampling.LOGNORMAL, a=mu, b=math.sqrt(variance), c=scale)


@_FAMILY.add("erlang")
@dataclass(frozen=True)
class Erlang(Distribution):
    """Sum of `phases` equal exponentials: less variable than one.

    Parameters
    ----------
    mean : float [s or bytes, > 0]
    phases : int [>= 1]
    """

    mean: float = param(_Amount(above=0), "the mean", kw_only=False)
    phases: int = param(Integer(1, 1000), "how many exponentials are added")

    @property
    def scv(self) -> float:
        return 1.0 / self.phases

    def row(self, scale: float) -> SamplerRow:
        return SamplerRow(sampling.ERLANG, a=self.mean * scale / self.phases, size=self.phases)


@_FAMILY.add("hyperexponential")
@dataclass(frozen=True)
class HyperExponential(Distribution):
    """One of several exponentials, chosen by probability: more variable than one.

    Parameters
    ----------
    probabilities : sequence of float [ratio, sum 1]
    means : sequence of float [s or bytes, > 0]
    """

    probabilities: tuple[float, ...] = param(
        ListOf(Number(at_least=0, at_most=1)), "probability of each branch"
    )
    means: tuple[float, ...] = param(ListOf(_Amount(above=0)), "mean of each branch")

    def check_together(self) -> Iterator[Problem]:
        if isinstance(self.probabilities, tuple) and isinstance(self.means, tuple):
            if len(self.probabilities) != len(self.means):
                yield Problem(
                    "",
                    f"{len(self.probabilities)} probabilities for {len(self.means)} means; "
                    "there must be one for each",
                )
            total = sum(p for p in self.probabilities if isinstance(p, (int, float)))
            if not math.isclose(total, 1.0, rel_tol=1e-9):
                yield Problem("", f"the probabilities sum to {total:g}; they must sum to 1")

    @property
    def mean(self) -> float:
        return sum(p * m for p, m in zip(self.probabilities, self.means, strict=True))

    @property
    def scv(self) -> float:
        second = sum(2 * p * m * m for p, m in zip(self.probabilities, self.means, strict=True))
        return second / self.mean**2 - 1

    def row(self, scale: float) -> SamplerRow:
        total, cumulated = 0.0, []
        for probability in self.probabilities:
            total += probability
            cumulated.append(total)
        return SamplerRow(
            sampling.HYPEREXPONENTIAL,
            c=scale,
            values=(*cumulated, *self.means),
            size=len(self.means),
        )


@_FAMILY.add("pareto")
@dataclass(frozen=True)
class Pareto(Distribution):
    """Heavy tail: P(X > x) = (scale / x) ** shape from `scale` on.

    Parameters
    ----------
    scale : float [s or bytes, > 0]
        The smallest value.
    shape : float [> 1]
        Tail exponent; at 2 or below the variance is infinite, at 1 or below the mean would be.
    """

    scale: float = param(_Amount(above=0), "the smallest value", kw_only=False)
    shape: float = param(Number(above=1), "tail exponent; at most 2 means infinite variance")

    @property
    def mean(self) -> float:
        return self.scale * self.shape / (self.shape - 1)

    @property
    def scv(self) -> float:
        return 1 / (self.shape * (self.shape - 2)) if self.shape > 2 else math.inf

    def row(self, scale: float) -> SamplerRow:
        return SamplerRow(sampling.PARETO, a=self.scale * scale, b=self.shape)


@_FAMILY.add("weibull")
@dataclass(frozen=True)
class Weibull(Distribution):
    """P(X > x) = exp(-(x / scale) ** shape): heavier than exponential for shape < 1.

    Parameters
    ----------
    mean : float [s or bytes, > 0]
    shape : float [> 0]
    """

    mean: float = param(_Amount(above=0), "the mean", kw_only=False)
    shape: float = param(Number(at_least=0.1), "below 1: heavy tail; above 1: light")

    @property
    def scv(self) -> float:
        first = math.gamma(1 + 1 / self.shape)
        return math.gamma(1 + 2 / self.shape) / first**2 - 1

    def row(self, scale: float) -> SamplerRow:
        width = self.mean / math.gamma(1 + 1 / self.shape)
        return SamplerRow(sampling.WEIBULL, a=width * scale, b=self.shape)


@_FAMILY.add("empirical")
@dataclass(frozen=True)
class Empirical(Distribution):
    """Measured: quantiles at equal steps of probability, straight lines between.

    Parameters
    ----------
    quantiles : sequence of float [s or bytes, >= 0], at least 2, not decreasing
        The value at probability 0, 1/(n-1), ..., 1: minimum first, maximum last.
    """

    primary = "quantiles"
    quantiles: tuple[float, ...] = param(
        ListOf(_Amount(at_least=0)), "values at equal steps of probability", kw_only=False
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


def _ordered(high: Any, low: Any) -> bool:
    return all(isinstance(x, (int, float)) for x in (high, low)) and not low < high
