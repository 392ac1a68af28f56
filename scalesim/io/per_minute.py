"""Traffic from a table of requests in each minute of a day. Layer: io.

No number is made up: a minute that is not in the table may have had no request or no measurement,
so that it is an error unless the caller says which.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from scalesim.errors import InvalidInput, Problem, shown
from scalesim.reading import read_text
from scalesim.traffic import RateProfile, Traffic
from scalesim.words import counted

__all__ = ["CsvTraffic", "traffic_from_csv"]

_MAX_BYTES = 5_000_000
_MAX_MINUTES = 7 * 1440
_DAY = 1440
_SHOWN = 10
_COLUMNS = ("minute", "requests")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,2})?", re.A)
_WHOLE = re.compile(r"\d{1,6}", re.A)


@dataclass(frozen=True)
class CsvTraffic:
    """What a table of requests in each minute shows.

    Parameters
    ----------
    traffic : Traffic
        With the rate profile, repeated; who asks for what is not in the table.
    minutes : int
    requests : float
        In the whole table.
    notes : tuple of str
        What was assumed, in sentences.
    """

    traffic: Traffic
    minutes: int
    requests: float
    notes: tuple[str, ...]


def traffic_from_csv(
    path: str | os.PathLike[str], *, strict: bool = False, missing: str = "error"
) -> CsvTraffic:
    """Return the traffic of a table with the columns ``minute`` and ``requests``.

    Minutes count from 0 (midnight); the rate of a minute is its requests / 60 s. Commas, semicolons
    or tabs divide the columns; a first line that is no number names them, in any order and among
    others. Lines may be in any order.

    Parameters
    ----------
    path : path-like
    strict : bool
        Allow only a whole day, 0 to 1439 in order, with whole numbers of requests.
    missing : {"error", "zero"}
        What a minute is that is not in the table.

    Raises
    ------
    InvalidInput
        With the lines of the first problems.
    """
    if missing not in ("error", "zero"):
        raise InvalidInput(f"missing: got {shown(missing)}. Known: error, zero")
    table = _Table(os.fspath(path), strict)
    table.read(read_text(path, _MAX_BYTES, "table"))
    counts = table.complete(missing)
    notes = []
    if gaps := len(counts) - len(table.counts):
        minutes = counted(gaps, "minute is", "minutes are")
        notes.append(f"{minutes} not in the table: counted as 0 requests")
    if len(counts) != _DAY:
        notes.append(
            f"the table has {len(counts):,} minutes, not the {_DAY:,} of a day; the profile is of "
            "those, repeated"
        )
    rate = RateProfile(tuple(count / 60 for count in counts), bucket=60.0, repeat=True)
    return CsvTraffic(Traffic(rate=rate), len(counts), sum(counts), tuple(notes))


class _Table:
    """One pass over a table: its minutes, and all problems so far."""

    def __init__(self, source: str, strict: bool) -> None:
        self.source = source
        self.strict = strict
        self.counts: dict[int, float] = {}
        self.line_of: dict[int, int] = {}
        self.problems: list[Problem] = []

    def add(self, line: int, message: str) -> None:
        """Keep a problem of `line`."""
        self.problems.append(Problem("", message, place=f"{self.source}:{line}"))

    def read(self, text: str) -> None:
        """Read every row; raise if there is none."""
        rows = _rows(text, self.source)
        first_line, first = next(rows, (0, []))
        if not first:
            raise self._refused("this table is empty; its lines are minute,requests")
        minute, requests, width = 0, 1, 2
        if _NUMBER.fullmatch(first[0]):
            self._row(first_line, first, minute, requests, width)
        else:
            names = [name.lower() for name in first]
            if any(names.count(name) != 1 for name in _COLUMNS):
                message = f"the columns are {shown(', '.join(first))}; needed are minute, requests"
                self.add(first_line, message)
                self.finish()
            minute, requests, width = names.index("minute"), names.index("requests"), len(names)
        for line, row in rows:
            self._row(line, row, minute, requests, width)
        if not self.counts and not self.problems:
            raise self._refused("this table has a header and no minutes")

    def _row(self, line: int, row: list[str], minute_at: int, requests_at: int, width: int) -> None:
        if len(row) != width:
            self.add(line, f"got {shown(','.join(row))}, allowed are {width} columns")
            return
        minute_text, count_text = row[minute_at], row[requests_at]
        minute = int(minute_text) if _WHOLE.fullmatch(minute_text) else -1
        count = float(count_text) if _NUMBER.fullmatch(count_text) else -1.0
        limit = _DAY if self.strict else _MAX_MINUTES
        if not 0 <= minute < limit:
            self.add(line, f"minute: got {shown(minute_text)}, allowed is 0 to {limit - 1}")
        elif minute in self.line_of:
            message = f"minute {minute} was on line {self.line_of[minute]} already"
            self.add(line, message)
        elif self.strict and minute != len(self.line_of):
            self.add(line, f"minute: got {minute} where {len(self.line_of)} is expected (strict)")
        whole = self.strict and not count.is_integer()
        if not 0 <= count <= 1e9 or whole:
            what = "a whole number" if self.strict else "a number"
            self.add(line, f"requests: got {shown(count_text)}, allowed is {what} from 0 to 1e9")
        if 0 <= minute < limit:
            self.line_of.setdefault(minute, line)
            self.counts.setdefault(minute, count)

    def complete(self, missing: str) -> list[float]:
        """Return the requests of every minute from 0 to the last one."""
        last = max(self.counts, default=0)
        if self.strict and last < _DAY - 1 and not self.problems:
            self.problems.append(
                Problem("", f"ends with minute {last}, a day with 1439 (strict)", place=self.source)
            )
        if missing == "error" and not self.problems:
            self._find_gaps()
        self.finish()
        counts = [self.counts.get(minute, 0.0) for minute in range(last + 1)]
        if not any(counts):
            raise self._refused("no minute has a request")
        return counts

    def _find_gaps(self) -> None:
        ordered = sorted(self.counts)
        for before, after in zip([-1, *ordered], ordered, strict=False):
            if after == before + 1:
                continue
            gap = (
                f"minute {before + 1}"
                if after == before + 2
                else f"minutes {before + 1} to {after - 1}"
            )
            hint = "; minutes count from 0" if before < 0 else ""
            self.add(
                self.line_of[after],
                f"{gap} missing before minute {after}{hint}. If there was no request, add 0 or say "
                'missing="zero"',
            )

    def finish(self) -> None:
        """Raise the first problems, if there are any."""
        rest = len(self.problems) - _SHOWN
        if rest > 0:
            more = Problem("", f"and {rest} more", place=self.source)
            self.problems[_SHOWN:] = [more]
        if self.problems:
            raise InvalidInput(self.problems)

    def _refused(self, message: str) -> InvalidInput:
        return InvalidInput([Problem("", message, place=self.source)])


def _rows(text: str, source: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, cells) of each row that is not blank."""
    lines = text.splitlines()
    head = next((line for line in lines if line.strip()), "")
    delimiter = next((mark for mark in ";\t" if mark in head), ",")
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                yield reader.line_num, cells
    except csv.Error as error:
        problem = Problem("", f"not a table: {error}", place=f"{source}:{reader.line_num}")
        raise InvalidInput([problem]) from None
