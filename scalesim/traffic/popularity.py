"""Popularity: how often each of many keys (or clients) is asked for, the most popular first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scalesim.errors import Problem
from scalesim.fields import Description, Family, Integer, ListOf, Number, param

if TYPE_CHECKING:
    import numpy as np
from scalesim.fields import AsTuple, described

__all__ = ["POPULARITY", "Measured", "Popularity", "UniformKeys", "Zipf"]

POPULARITY = Family("popularity")


class Popularity(Description):
    """Base of popularities."""

    if TYPE_CHECKING:

        @property
        def count(self) -> int:
            """Number of keys."""

    def weights(self) -> np.ndarray | None:
        """Return the keys' weights, float array [count], or None when all are equal."""
        raise NotImplementedError


@POPULARITY.add("uniform")
@described
class UniformKeys(Popularity):
    """Every key is as popular as any other.

    Parameters
    ----------
    count : int [>= 1]
    """

    primary = "count"
    count: int = param(Integer(1, 100_000_000), "number of keys", kw_only=False)

    def weights(self) -> np.ndarray | None:
        return None


@POPULARITY.add("zipf")
@described
class Zipf(Popularity):
    """Key number i (from 1) has weight ``i ** -exponent``.

    Parameters
    ----------
    count : int [>= 1]
    exponent : float [0 .. 10]
    """

    count: int = param(Integer(1, 100_000_000), "number of keys", kw_only=False)
    exponent: float = param(Number(at_least=0, at_most=10), "steepness", kw_only=False)

    def weights(self) -> np.ndarray | None:
        import numpy as np

        return np.arange(1, self.count + 1, dtype=np.float64) ** -float(self.exponent)


@POPULARITY.add("measured")
@described
class Measured(Popularity):
    """Counted in a log.

    Parameters
    ----------
    counts : sequence of float [>= 0, not all 0]
        Requests for each key, the most popular first.
    tail_keys : int [>= 0]
        Further keys, equally popular among themselves ...
    tail_count : float [>= 0]
        ... that got so many requests together.
    """

    primary = "counts"
    counts: AsTuple[float] = param(
        ListOf(Number(at_least=0)), "requests for each key", kw_only=False
    )
    tail_keys: int = param(Integer(0, 100_000_000), "further keys", default=0)
    tail_count: float = param(Number(at_least=0), "requests for all further keys", default=0.0)

    def check_together(self) -> Iterator[Problem]:
        numbers = isinstance(self.counts, tuple) and all(
            isinstance(each, (int, float)) for each in self.counts
        )
        if numbers and not sum(self.counts) + self.tail_count > 0:
            yield Problem("", "all counts are zero", ("counts",))
        if self.tail_count and not self.tail_keys:
            yield Problem("", "tail_count needs tail_keys", ("tail_count",))

    @property
    def count(self) -> int:
        return len(self.counts) + self.tail_keys

    def weights(self) -> np.ndarray | None:
        import numpy as np

        tail = self.tail_count / self.tail_keys if self.tail_keys else 0.0
        return np.concatenate([np.asarray(self.counts, float), np.full(self.tail_keys, tail)])
