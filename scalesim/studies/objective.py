"""The objective: what users are promised, so that "breaks" has a meaning.

Layer: studies. Only the declaration and its words; `forecast` measures against it.
"""

from __future__ import annotations

from collections.abc import Iterator

from scalesim.errors import Problem
from scalesim.fields import Description, Number, described, param

__all__ = ["Objective"]


@described
class Objective(Description):
    """Limits that the service keeps; at least one of `latency` and `error_ratio`.

    Parameters
    ----------
    latency : float, optional [s, > 0]
        Largest allowed value of the `quantile` of the latency of completed requests.
    quantile : float [ratio, > 0, <= 0.99999]
        Which quantile `latency` limits.
    error_ratio : float, optional [ratio, 0 to 1]
        Largest allowed share of finished requests that did not complete.

    Examples
    --------
    >>> Objective(latency=0.3, error_ratio=0.001).describe()
    'p99 latency <= 300 ms and error ratio <= 0.1 %'
    """

    latency: float | None = param(
        Number("s", above=0), "largest allowed latency at the quantile", default=None
    )
    quantile: float = param(
        Number(above=0, at_most=0.99999), "quantile of the latency that is limited", default=0.99
    )
    error_ratio: float | None = param(
        Number(at_least=0, at_most=1), "largest allowed share of requests that fail", default=None
    )

    def check_together(self) -> Iterator[Problem]:
        """Yield a problem if nothing is limited."""
        if self.latency is None and self.error_ratio is None:
            yield Problem("", "neither latency nor error_ratio is given; give at least one")

    @property
    def quantile_name(self) -> str:
        """The quantile as people say it: ``p99``, ``p99.9``."""
        return f"p{100 * self.quantile:.7g}"

    def describe(self) -> str:
        """Return the objective in words, with units."""
        limits = []
        if self.latency is not None:
            ms = self.latency < 1
            time = f"{1000 * self.latency:.6g} ms" if ms else f"{self.latency:.6g} s"
            limits.append(f"{self.quantile_name} latency <= {time}")
        if self.error_ratio is not None:
            limits.append(f"error ratio <= {100 * self.error_ratio:.6g} %")
        return " and ".join(limits) or "no limit"
