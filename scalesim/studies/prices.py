"""The price book: what a machine costs an hour, each price with its source and date.

Layer: studies. A price that is missing, zero, twice there, undated or unchecked is an error that
names the row, never 0. Prices ship in ``scalesim/data/prices.csv``, whose head states the sources,
their licenses and what "checked" means; `PriceBook.read` takes a file of the same form.
"""

from __future__ import annotations

import csv
import datetime
import io
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from scalesim.errors import InvalidInput, MissingPrice, Problem, nearest, shown
from scalesim.reading import read_bytes

__all__ = ["HOURS_PER_MONTH", "Price", "PriceBook"]

HOURS_PER_MONTH = 730
"""Hours in a month, as cloud bills count them (8760 a year / 12)."""

UNITS: Mapping[str, float] = {"instance-hour": 1.0, "instance-month": 1.0 / HOURS_PER_MONTH}
"""Unit of a row -> factor that makes dollars an hour of it."""

CHECKS = ("agrees", "second source", "vendor page", "own")
"""What column `check` may say: how the price was verified (see the head of prices.csv)."""

_REQUIRED = (
    "provider", "service", "item", "region", "unit", "price_usd", "source", "source_date",
)  # fmt: skip
_MAX_PROBLEMS = 20
_MAX_BYTES = 100_000_000


@dataclass(frozen=True)
class Price:
    """One row of a price book.

    Parameters
    ----------
    usd_per_hour : float [USD/h, > 0]
    provider, service, item, region : str
    source : str
        Where the price was read.
    source_date : str
        The day it was valid, ``2025-03-02``.
    """

    usd_per_hour: float
    provider: str
    service: str
    item: str
    region: str
    source: str
    source_date: str


@dataclass(frozen=True)
class PriceBook:
    """Prices of machines by item, region and provider.

    Parameters
    ----------
    name : str
        What messages and results call it: the file it came from.
    prices : tuple of Price
        At most one for each provider, item and region.
    default_region : str, optional
        Used where no region is asked for; results state it.
    """

    name: str
    prices: tuple[Price, ...]
    default_region: str | None = None

    @classmethod
    def default(cls) -> PriceBook:
        """Return the book that ships with scalesim; its default region is ``us-east-1``."""
        data = (resources.files("scalesim") / "data" / "prices.csv").read_bytes()
        return cls("scalesim/data/prices.csv", _parse(data, "prices.csv"), "us-east-1")

    @classmethod
    def read(cls, path: str | Path, *, default_region: str | None = None) -> PriceBook:
        """Read a book from a CSV file; lines that start with ``#`` are comments.

        Raises
        ------
        InvalidInput
            The file can't be read or rows are wrong; all problems, each with file:line.
        """
        data = read_bytes(path, _MAX_BYTES, "price book")
        book = cls(str(path), _parse(data, str(path)), default_region)
        if default_region is not None and default_region not in book.regions:
            raise InvalidInput([Problem("default_region", book._unknown_region(default_region))])
        return book

    @property
    def regions(self) -> tuple[str, ...]:
        """Every region in which anything has a price."""
        return tuple(sorted({price.region for price in self.prices}))

    def hourly(self, machine: str, region: str | None = None, provider: str | None = None) -> Price:
        """Return the price of an hour of `machine`.

        Parameters
        ----------
        machine : str
            An item, ``m7g.large``.
        region : str, optional
            The book's default region if absent; without one, the item must be known in one only.
        provider : str, optional
            Needed only where two providers have the item in the region.

        Raises
        ------
        MissingPrice
            No row fits, or more than one does; the message names what would.

        Examples
        --------
        >>> PriceBook.default().hourly("m7g.large", "us-east-1").usd_per_hour
        0.0816
        """
        region = region or self.default_region
        named = [price for price in self.prices if price.item == machine]
        if provider is not None:
            named = [price for price in named if price.provider == provider]
        found = [price for price in named if region in (None, price.region)]
        if len(found) == 1:
            return found[0]
        if not found:
            message = self._missing(machine, region, provider, named)
        elif len({price.region for price in found}) > 1:
            message = f"it has a price in {_names(found, 'region')}; say which region"
        else:
            message = (
                f"{_names(found, 'provider')} have it in {found[0].region}; say which provider"
            )
        where = f" in {region}" if region else ""
        raise MissingPrice([Problem(f'machine "{machine}"{where}', message)])

    def _missing(
        self, machine: str, region: str | None, provider: str | None, named: list[Price]
    ) -> str:
        """Return why there is no price, and what is near."""
        providers = {price.provider for price in self.prices}
        if provider is not None and provider not in providers:
            hint = nearest(provider, providers)
            known = ", ".join(sorted(providers)) or "none"
            return f'{self.name} has no provider "{provider}". {hint}Known: {known}'
        of = f" of {provider}" if provider else ""
        text = f"no price{of} in {self.name}. "
        if named:
            text += f"It has one in {_names(named, 'region')}. "
        elif region is None or region in self.regions:
            here = sorted({p.item for p in self.prices if region in (None, p.region)})
            text += nearest(machine, here) or f"Known: {', '.join(here[:8])}, ... "
        if region is not None and region not in self.regions:
            text = f"{self._unknown_region(region)}. "
        return f"{text}Or give cost_per_hour, or a price book that has it"

    def _unknown_region(self, region: str) -> str:
        hint = nearest(region, self.regions)
        known = ", ".join(self.regions) or "none"
        return f'{self.name} has no region "{region}". {hint}Known: {known}'


def _names(prices: Iterable[Price], field: str) -> str:
    return " and ".join(sorted({str(getattr(price, field)) for price in prices}))


class _Row(NamedTuple):
    """A row of the file: its line and its cells by column."""

    line: int
    cells: Mapping[str, str]


def _parse(data: bytes, name: str) -> tuple[Price, ...]:
    """Return the prices in `data`; every problem raises, together."""
    problems: list[Problem] = []
    prices: list[Price] = []
    first_at: dict[tuple[str, str, str], int] = {}
    for row in _rows(data, name):
        price, wrong = _price(row.cells)
        if price is not None:
            key = (price.provider, price.item, price.region)
            if key in first_at:
                wrong = [f"it has a price already, in line {first_at[key]}; keep one of the two"]
            first_at.setdefault(key, row.line)
            prices.append(price)
        subject = f"price of {shown(row.cells['item'])} in {shown(row.cells['region'])}"
        problems += [Problem(subject, each, place=f"{name}:{row.line}") for each in wrong]
    if len(problems) > _MAX_PROBLEMS:
        more = Problem("", f"and {len(problems) - _MAX_PROBLEMS} more of the kind", place=name)
        problems = [*problems[:_MAX_PROBLEMS], more]
    if not prices and not problems:
        problems = [Problem("price book", "the file has no price", place=name)]
    if problems:
        raise InvalidInput(problems)
    return tuple(prices)


def _rows(data: bytes, name: str) -> Iterator[_Row]:
    """Yield the rows below the header, with their line numbers in the file."""

    def refuse(message: str, line: int = 1) -> InvalidInput:
        return InvalidInput([Problem("price book", message, place=f"{name}:{line}")])

    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise refuse("not text in UTF-8; save it as CSV in UTF-8", line) from None
    # Comments become empty lines, which the csv module skips while it counts them.
    lines = ("\n" if line.startswith("#") else line for line in io.StringIO(text, newline=""))
    reader = csv.reader(lines, strict=True)
    header: list[str] = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if not header:
                header = [cell.strip() for cell in cells]
                missing = [column for column in _REQUIRED if column not in header]
                if missing or len(set(header)) < len(header):
                    wrong = f"missing: {', '.join(missing)}" if missing else "one is there twice"
                    needed = ", ".join(_REQUIRED)
                    raise refuse(f"wrong columns ({wrong}); needed are {needed}", reader.line_num)
            elif len(cells) != len(header):
                message = f"got {len(cells)} cells, the header has {len(header)}"
                raise refuse(f"{message}; quote a text that has a comma", reader.line_num)
            else:
                stripped = (cell.strip() for cell in cells)
                yield _Row(reader.line_num, dict(zip(header, stripped, strict=True)))
    except csv.Error as error:
        raise refuse(f"not CSV: {error}", max(reader.line_num, 1)) from None
    if not header:
        raise refuse(f"the file is empty; columns needed are {', '.join(_REQUIRED)}")


def _price(cells: Mapping[str, str]) -> tuple[Price | None, list[str]]:
    """Return the price that a row states, or None and what is wrong."""
    wrong = [f"{column} is empty" for column in _REQUIRED if not cells[column]]
    unit, check = cells["unit"], cells.get("check", "own")
    number = _number(cells["price_usd"])
    if cells["price_usd"] and not (0 < number < math.inf):
        wrong.append(f"price_usd is {shown(cells['price_usd'])}; a price is a number above 0")
    if unit and unit not in UNITS:
        hint = nearest(unit, UNITS)
        wrong.append(f"unit {shown(unit)} is not known. {hint}Known: {', '.join(UNITS)}")
    if cells["source_date"] and not _is_day(cells["source_date"]):
        got = shown(cells["source_date"])
        wrong.append(f"source_date is {got}; write the day of the price as 2025-03-02")
    if check not in CHECKS:
        known = ", ".join(CHECKS)
        wrong.append(f"check is {shown(check)}: an unverified price is not used. Known: {known}")
    if wrong:
        return None, wrong
    texts = {
        column: cells[column]
        for column in ("provider", "service", "item", "region", "source", "source_date")
    }
    return Price(number * UNITS[unit], **texts), []


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _is_day(text: str) -> bool:
    try:
        return datetime.date.fromisoformat(text).isoformat() == text  # not 20250302
    except ValueError:
        return False
