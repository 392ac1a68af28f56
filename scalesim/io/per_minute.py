"""Traffic from a table of requests in each minute of a day. Layer: io."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from scalesim.errors import InvalidInput, Problem
from scalesim.io.atomic import read_text
from scalesim.traffic import RateProfile, Traffic

__all__ = ["CsvTraffic", "traffic_from_csv"]

_MINUTE = 60.0
_MAX_BYTES = 5_000_000
_SHOWN = 10


@dataclass(frozen=True)
class CsvTraffic:
    """What a per-minute table says.

    Parameters
    ----------
    traffic : Traffic
        With the rate profile of the table, repeated.
    minutes : int
    requests : float
        In the whole table.
    """

    traffic: Traffic
    minutes: int
    requests: float


def traffic_from_csv(path: str | Path) -> CsvTraffic:
    """Return the traffic of a CSV file with the columns ``minute`` (0, 1, 2, ...) and ``requests``.

    Every minute must be there: a gap is an error, since an absent minute may mean no request or no
    measurement. Rates are requests of the minute / 60 s.

    Raises
    ------
    InvalidInput
        With the line of each problem.
    """
    text = read_text(path, _MAX_BYTES, "table")
    first = text.lstrip("\ufeff").split("\n", 1)[0]
    rows = list(csv.reader(io.StringIO(text.lstrip("\ufeff")), delimiter=";" if ";" in first else ","))
    body = [(line, row) for line, row in enumerate(rows, 1) if any(cell.strip() for cell in row)]
    if body and not _is_number(body[0][1][0]):
        header = [cell.strip().lower() for cell in body[0][1]]
        if header != ["minute", "requests"]:
            raise InvalidInput(
                f"{path}:{body[0][0]}: the columns are {', '.join(header)}, allowed is minute, requests"
            )
        body = body[1:]
    if not body:
        raise InvalidInput(f"{path}: the table has no row; expected minute,requests in each line")
    counts: list[float] = []
    problems: list[Problem] = []
    for line, row in body:
        place = f"{path}:{line}"
        if len(row) != 2 or not all(_is_number(cell) for cell in row):
            problems.append(Problem("", f"got {','.join(row)!r}, allowed is two numbers", place=place))
            continue
        minute, requests = float(row[0]), float(row[1])
        if minute != len(counts) + len(problems):
            wanted = len(counts) + len(problems)
            message = f"minute {minute:g} where minute {wanted} was expected; minutes must be complete"
            problems.append(Problem("", message, place=place))
            break
        if not 0 <= requests < 1e9:
            problems.append(Problem("", f"got {requests:g} requests, allowed is 0 or more", place=place))
        counts.append(requests)
    if problems:
        raise InvalidInput(problems[:_SHOWN])
    if not any(counts):
        raise InvalidInput(f"{path}: no minute has a request")
    rates = tuple(count / _MINUTE for count in counts)
    traffic = Traffic(rate=RateProfile(rates, bucket=_MINUTE))
    return CsvTraffic(traffic, len(counts), sum(counts))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
