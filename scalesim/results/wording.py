"""Numbers and times in sentences: a few digits, a unit that fits, never a power of ten."""

from __future__ import annotations

import math

__all__ = ["duration", "number"]


def number(value: float, digits: int = 3) -> str:
    """Return a number in about so many digits, whole from where they all stand before the point.

    Examples
    --------
    >>> number(18.46), number(9512.3), number(0.000012)
    ('18.5', '9,512', '0')
    """
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{round(value, 4):.{digits}g}"


def duration(seconds: float, digits: int = 3) -> str:
    """Return a time in milliseconds, or in seconds from one on.

    Examples
    --------
    >>> duration(0.0185), duration(9.5)
    ('18.5 ms', '9.5 s')
    """
    if math.isnan(seconds):
        return "unknown"
    if seconds >= 1:
        return f"{number(seconds, digits)} s"
    return f"{number(seconds * 1e3, digits)} ms"
