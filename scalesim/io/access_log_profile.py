"""From the times of requests to the rate profile of a day. Layer: io.

Time of day is local time at the UTC offset of the first line; where clocks are changed in between,
the offset is kept, so that no hour is counted twice.
"""

from __future__ import annotations

import math
from collections import Counter
from datetime import datetime, timedelta

from scalesim.traffic import RateProfile
from scalesim.units import format_quantity
from scalesim.words import counted

__all__ = ["Clock", "clock_text", "duration_text"]

_DAY = 86_400
_PEAK = 900.0
_LONGEST_TEXT = 10  # 0.1234567/s


class Clock:
    """Counts requests by bucket of time, in any order.

    Parameters
    ----------
    bucket : int [s]
        Divides a day.
    """

    def __init__(self, bucket: int) -> None:
        self.bucket = bucket
        self.buckets: Counter[int] = Counter()
        self.days: dict[int, tuple[int, int]] = {}  # day -> first and last time of day [s]
        self.offsets: Counter[int] = Counter()
        self.backwards = 0
        self.furthest_back = 0
        self.first = self.last = 0

    def add(self, at: int, offset: int) -> None:
        """Count a request at `at` [s since 1970, UTC]."""
        if not self.offsets:
            self.first = self.last = at
        self.offsets[offset] += 1
        if at < self.last:
            self.backwards += 1
            self.furthest_back = max(self.furthest_back, self.last - at)
            self.first = min(self.first, at)
        else:
            self.last = at
        local = at + next(iter(self.offsets))
        self.buckets[local // self.bucket] += 1
        day, time = divmod(local, _DAY)
        low, high = self.days.get(day, (time, time))
        self.days[day] = (min(low, time), max(high, time))

    @property
    def span(self) -> int:
        """Time from the first request to the last [s]."""
        return self.last - self.first

    def profile(self) -> tuple[RateProfile, tuple[str, ...]]:
        """Return the average day, or the stretch of it that the log covers; and what was done.

        The log covers the time between its first and its last second, without the days that have
        no line. A bucket's rate is its requests / the seconds of it that are covered.
        """
        size, number = self.bucket, _DAY // self.bucket
        covered = self._covered()
        total = [0] * number
        for bucket, count in self.buckets.items():
            total[bucket % number] += count
        whole = all(covered)
        start = 0 if whole else min(self.buckets) % number
        order = [b for b in (*range(start, number), *range(start)) if covered[b]]
        rates = _pooled([(total[b], covered[b]) for b in order], size)
        profile = RateProfile(rates, bucket=float(size), repeat=True)
        said = self._said(covered) if whole else self._said_short(start, sum(covered))
        return profile, (said, *self._notes())

    def _covered(self) -> list[int]:
        """Return the seconds of each bucket of the day that the log covers."""
        size = self.bucket
        covered = [0] * (_DAY // size)
        for day, (first, last) in self.days.items():
            start = 0 if day - 1 in self.days else first
            end = _DAY if day + 1 in self.days else last + 1
            for bucket in range(start // size, (end - 1) // size + 1):
                covered[bucket] += min(end, (bucket + 1) * size) - max(start, bucket * size)
        return covered

    def busiest(self) -> tuple[float, int]:
        """Return (mean rate [requests/s], start [local s since 1970]) of the busiest 15 minutes."""
        width = math.ceil(_PEAK / self.bucket)
        ordered = sorted(self.buckets.items())
        best, best_start, inside, head = 0, 0, 0, 0
        for bucket, count in ordered:
            inside += count
            while ordered[head][0] <= bucket - width:
                inside -= ordered[head][1]
                head += 1
            if inside > best:
                best, best_start = inside, ordered[head][0]
        return best / (width * self.bucket), best_start * self.bucket

    def _said(self, covered: list[int]) -> str:
        fewest, most = (round(f(covered) / self.bucket, 1) for f in (min, max))
        days = f"{most:g}" if fewest == most else f"{fewest:g} to {most:g}"
        return (
            f"the log spans {duration_text(self.span)}; the profile is the average day from "
            f"midnight ({self._zone()}), each bucket the mean of {days} days"
        )

    def _said_short(self, start: int, covered: int) -> str:
        return (
            f"the log covers {duration_text(covered)} of the day, from "
            f"{_time(start * self.bucket)} ({self._zone()}); the profile is that stretch, "
            "repeated: it says nothing of the rest of the day, nor does a cost computed from it"
        )

    def _notes(self) -> list[str]:
        notes = []
        missing = max(self.days) - min(self.days) + 1 - len(self.days)
        if missing:
            days = counted(missing, "day in between has", "days in between have")
            notes.append(f"{days} no line; they count as not logged")
        if self.backwards:
            notes.append(
                f"{counted(self.backwards, 'line is', 'lines are')} earlier than one before, by at "
                f"most {duration_text(self.furthest_back)}; each is counted at its own time"
            )
        if len(self.offsets) > 1:
            zones = ", ".join(map(_zone, sorted(self.offsets)))
            notes.append(f"lines have UTC offsets {zones}; times of day are at {self._zone()}")
        return notes

    def _zone(self) -> str:
        return _zone(next(iter(self.offsets)))


def _pooled(buckets: list[tuple[int, int]], size: int) -> tuple[float, ...]:
    """Return the rate of each (requests, covered seconds), thin ones pooled with a neighbor.

    The first and last minute of a short log are covered in part; alone they say too little.
    """
    groups: list[list[tuple[int, int]]] = []
    full = True
    for each in buckets:
        if full:
            groups.append([])
        groups[-1].append(each)
        full = sum(seconds for _, seconds in groups[-1]) >= size
    if not full and len(groups) > 1:
        groups[-2:] = [groups[-2] + groups[-1]]
    rates: list[float] = []
    for group in groups:
        requests, seconds = (sum(column) for column in zip(*group, strict=True))
        rates += [_short(requests / seconds)] * len(group)
    return tuple(rates)


def _short(rate: float) -> float:
    """Return a rate that files show without 17 digits: exact as 16/min, or to 7 digits."""
    exact = len(format_quantity(rate, "1/s")) <= _LONGEST_TEXT
    return rate if exact else float(f"{rate:.7g}")


def duration_text(seconds: float) -> str:
    """Return a length of time in the unit that suits it.

    >>> duration_text(90), duration_text(5400), duration_text(300_000)
    ('90 s', '1.5 h', '3.47 days')
    """
    for unit, length, least in (("days", _DAY, 1.5), ("h", 3600, 1.5), ("min", 60, 2)):
        if seconds >= least * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:g} s"


def clock_text(second: int) -> str:
    """Return the local time `second` [s since 1970] as ``2015-05-17 10:05``."""
    return f"{datetime(1970, 1, 1) + timedelta(seconds=second):%Y-%m-%d %H:%M}"


def _time(second: int) -> str:
    return f"{second // 3600:02d}:{second % 3600 // 60:02d}"


def _zone(offset: int) -> str:
    minutes = abs(offset) // 60
    return f"{'-' if offset < 0 else '+'}{minutes // 60:02d}{minutes % 60:02d}"
