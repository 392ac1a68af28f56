"""Distributions made of others: a choice between several, a shift of one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

from scalesim.distributions.base import (
    FAMILY,
    Amount,
    AsDistribution,
    Distribution,
    DistributionLike,
    SamplerRow,
    amounts,
)
from scalesim.errors import Problem
from scalesim.fields import AsTuple, Given, ListOf, Number, described, param
from scalesim.kernels import sampling

__all__ = ["HyperExponential", "Mixture", "Shifted"]


@FAMILY.add("hyperexponential")
@described
class HyperExponential(Distribution):
    """One of several exponentials, chosen by probability: more variable than one.

    Parameters
    ----------
    probabilities : sequence of float [ratio, sum 1]
    means : sequence of float [s or bytes, > 0]
    """

    probabilities: AsTuple[float] = param(
        ListOf(Number(at_least=0, at_most=1)), "probability of each branch"
    )
    means: AsTuple[float] = param(ListOf(Amount(above=0)), "mean of each branch")

    def check_together(self) -> Iterator[Problem]:
        yield from _one_for_each(self.probabilities, self.means, "means")

    @property
    def mean(self) -> float:
        return sum(p * m for p, m in zip(self.probabilities, self.means, strict=True))

    @property
    def scv(self) -> float:
        second = sum(2 * p * m * m for p, m in zip(self.probabilities, self.means, strict=True))
        return second / self.mean**2 - 1

    def row(self, scale: float) -> SamplerRow:
        return SamplerRow(
            sampling.HYPEREXPONENTIAL,
            c=scale,
            values=(*accumulate(self.probabilities), *self.means),
            size=len(self.means),
        )


@FAMILY.add("shifted")
@described
class Shifted(Distribution):
    """At least `shift`, and a random time on top: a network's delay, a page's fixed cost.

    Parameters
    ----------
    shift : float [s or bytes, >= 0]
    rest : Distribution or float [s or bytes]

    Examples
    --------
    >>> Shifted(0.020, Exponential(0.005)).mean
    0.025
    """

    shift: float = param(Amount(at_least=0), "the smallest value", kw_only=False)
    rest: AsDistribution = param(amounts(), "what is added", kw_only=False)

    @property
    def mean(self) -> float:
        return self.shift + self.rest.mean

    @property
    def scv(self) -> float:
        return self.rest.scv * (self.rest.mean / self.mean) ** 2 if self.mean else 0.0

    def row(self, scale: float) -> SamplerRow:
        return SamplerRow(sampling.SHIFTED, a=self.shift * scale, parts=(self.rest.row(scale),))


@FAMILY.add("mixture")
@described
class Mixture(Distribution):
    """One of several distributions, chosen by probability: most fast, some slow.

    Parameters
    ----------
    probabilities : sequence of float [ratio, sum 1]
    parts : sequence of Distribution or float [s or bytes]

    Examples
    --------
    >>> Mixture(probabilities=(0.99, 0.01), parts=(0.010, 1.0)).mean
    0.0199
    """

    probabilities: AsTuple[float] = param(
        ListOf(Number(at_least=0, at_most=1)), "probability of each part"
    )
    parts: Given[tuple[Distribution, ...], Sequence[DistributionLike]] = param(
        ListOf(amounts()), "the distributions chosen from"
    )

    def check_together(self) -> Iterator[Problem]:
        yield from _one_for_each(self.probabilities, self.parts, "parts")

    @property
    def mean(self) -> float:
        return sum(p * each.mean for p, each in zip(self.probabilities, self.parts, strict=True))

    @property
    def scv(self) -> float:
        second = sum(
            p * (each.scv + 1) * each.mean**2
            for p, each in zip(self.probabilities, self.parts, strict=True)
            if p > 0
        )
        return second / self.mean**2 - 1 if self.mean else 0.0

    def row(self, scale: float) -> SamplerRow:
        return SamplerRow(
            sampling.MIXTURE,
            values=tuple(accumulate(self.probabilities)),
            size=len(self.parts),
            parts=tuple(each.row(scale) for each in self.parts),
        )


def _one_for_each(probabilities: Any, others: Any, name: str) -> Iterator[Problem]:
    """Yield what is wrong with the probabilities of `others`."""
    if isinstance(probabilities, tuple) and isinstance(others, tuple):
        if len(probabilities) != len(others):
            yield Problem(
                "",
                f"{len(probabilities)} probabilities for {len(others)} {name}; "
                "there must be one for each",
            )
        total = sum(p for p in probabilities if isinstance(p, (int, float)))
        if not math.isclose(total, 1.0, rel_tol=1e-9):
            yield Problem("", f"the probabilities sum to {total:g}; they must sum to 1")
