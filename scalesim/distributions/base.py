"""What every distribution is: a frozen description that lowers itself to a row of the sampler."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from scalesim.errors import Problem, shown
from scalesim.fields import Description, Family, Given, Kind, Number, OneOf, in_python

__all__ = ["FAMILY", "Amount", "Distribution", "SamplerRow", "amounts", "sizes", "times"]


class SamplerRow(NamedTuple):
    """One row of the sampler table.

    `values` go to the shared table of floats; `size` is the number of phases, branches or values;
    `parts` are rows of their own, which this one chooses from or adds to.
    """

    kind: int
    a: float = 0.0
    b: float = 0.0
    c: float = 1.0
    values: tuple[float, ...] = ()
    size: int = 0
    parts: tuple[SamplerRow, ...] = ()


def _constant(value: Any) -> Any:
    """Return the distribution that a bare number stands for."""
    from scalesim.distributions.simple import Constant

    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return Constant(float(value)) if number and not 1e308 < value < math.inf else value


FAMILY = Family("distribution", scalar=_constant)


class Distribution(Description):
    """Base of all distributions. Values are never negative."""

    family: ClassVar[Family] = FAMILY

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

    def check(self, value: Any) -> Iterator[Problem]:
        hint, inherited = in_python(value, self.unit), super().check
        if hint:
            yield Problem("", f"got {shown(value)}, {hint}")
        else:
            yield from self._within(lambda given: list(inherited(given)), value)

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


DistributionLike = Distribution | float
"""A number stands for a constant."""
AsDistribution = Given[Distribution, DistributionLike]
AsDistributionOrNone = Given[Distribution | None, DistributionLike | None]


def times() -> Kind:
    """Return the kind of a field that holds a distribution of times [s, >= 0]."""
    return _DistributionOf(FAMILY, Number("s", at_least=0), "s")


def sizes() -> Kind:
    """Return the kind of a field that holds a distribution of sizes [bytes, >= 0]."""
    return _DistributionOf(FAMILY, Number("B", at_least=0), "B")


class Amount(Number):
    """A parameter of a distribution: a time or a size, whichever the field around it measures."""

    def _measured(self) -> Number:
        return Number(_measured_unit.get(), self.above, self.at_least, self.at_most)

    def check(self, value: Any) -> Iterator[Problem]:
        yield from self._measured().check(value)

    def decode(self, node: Any) -> Any:
        return self._measured().decode(node)

    def encode(self, value: Any) -> Any:
        return Number(_measured_unit.get()).encode(value)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [Number("s").schema(), Number("B").schema()]}


def amounts() -> Kind:
    """Return the kind of a part of a distribution: a distribution of what the whole measures."""
    return OneOf(FAMILY, Amount(at_least=0))
