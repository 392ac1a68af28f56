"""Figures and counts in texts that people read. Lowest layer: imports nothing of ours."""

from __future__ import annotations

import math

__all__ = ["counted", "duration", "number", "significant"]


def significant(value: float, digits: int = 4) -> str:
    """Return `value` rounded to so many digits, as people write it: without an exponent.

    >>> significant(55278.4), significant(112.3, 2), significant(0.0123456)
    ('55,280', '110', '0.01235')
    """
    if not math.isfinite(value) or not 1e-5 <= abs(value) < 1e15:
        return f"{value:.{digits}g}"
    rounded = float(f"{value:.{digits - 1}e}")
    places = max(digits - 1 - math.floor(math.log10(abs(rounded))), 0)
    text = f"{rounded:,.{places}f}"
    return text.rstrip("0").rstrip(".") if places else text


def counted(number: int, one: str, several: str) -> str:
    """Return a number and what it counts: ``1 line is``, ``2 lines are``."""
    return f"{number:,} {one if number == 1 else several}"


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
