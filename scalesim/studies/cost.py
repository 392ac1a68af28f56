"""What an architecture costs each month, component by component.

Layer: studies. Only machines are priced: nodes x price of an hour x 730 h. What is not priced is
always said, by name; a cost that nobody asked for (no component has a price) is None, never 0.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scalesim.components import Component, MachineComponent
from scalesim.errors import InvalidInput, MissingPrice, Problem
from scalesim.studies.prices import HOURS_PER_MONTH, PriceBook
from scalesim.topology import Topology

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ComponentCost", "Cost", "CostChange", "monthly_cost"]

LEFT_OUT = "not priced: egress, storage, disk I/O, calls of managed services, discounts, tax"


@dataclass(frozen=True)
class ComponentCost:
    """What one component costs; None where it has no price.

    Parameters
    ----------
    component : str
    nodes : int
        Machines it is made of.
    machine : str or None
        Item of the price book; None with a price of the model's own.
    usd_per_node_hour, usd_per_month : float or None
    region, source, source_date : str or None
        Where the price is from.
    """

    component: str
    nodes: int
    machine: str | None = None
    usd_per_node_hour: float | None = None
    usd_per_month: float | None = None
    region: str | None = None
    source: str | None = None
    source_date: str | None = None


@dataclass(frozen=True)
class Cost:
    """The monthly cost of a topology.

    Parameters
    ----------
    components : tuple of ComponentCost
        All of them, in order of the topology.
    region : str or None
        Where prices were looked up; None if no price was.
    book : str or None
        The price book they are from; None if no price was looked up.
    requests_per_month : float or None [requests, > 0]
    hours_per_month : int [h]
    """

    components: tuple[ComponentCost, ...]
    region: str | None
    book: str | None
    requests_per_month: float | None = None
    hours_per_month: int = HOURS_PER_MONTH

    @property
    def total_usd_per_month(self) -> float | None:
        """Sum over the priced components; None if there are none: the cost was not asked for."""
        priced = [row.usd_per_month for row in self.components if row.usd_per_month is not None]
        return math.fsum(priced) if priced else None

    @property
    def usd_per_million_requests(self) -> float | None:
        """Cost of a million requests; None without a cost or `requests_per_month`."""
        total = self.total_usd_per_month
        if total is None or self.requests_per_month is None:
            return None
        return total / self.requests_per_month * 1e6

    @property
    def unpriced(self) -> tuple[str, ...]:
        """Names of the components that have no price, and so are not in the total."""
        return tuple(row.component for row in self.components if row.usd_per_month is None)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the total rests on and what it leaves out, a sentence each."""
        if self.total_usd_per_month is None:
            return ("cost not asked for: no component has machine or cost_per_hour",)
        notes = [f"nodes run all {self.hours_per_month} hours of a month"]
        if self.book is not None:
            dates = sorted({row.source_date for row in self.components if row.source_date})
            span = " to ".join(dict.fromkeys((dates[0], dates[-1])))
            notes.append(f"on-demand prices of {self.region} from {self.book}, dated {span}")
        if self.unpriced:
            names = ", ".join(self.unpriced)
            notes.append(f"not in the total, without machine and cost_per_hour: {names}")
        return (*notes, LEFT_OUT)

    def describe(self) -> str:
        """Return the cost in a sentence, with what it leaves out."""
        total, each = self.total_usd_per_month, self.usd_per_million_requests
        if total is None:
            return self.notes[0]
        head = f"{total:,.2f} USD a month"
        if each is not None:
            head += f", {each:,.3g} USD for a million requests"
        return f"{head} ({'; '.join(self.notes)})"

    def minus(self, other: Cost) -> CostChange:
        """Return this cost less `other`: what the step from `other` to this adds to the bill."""
        return CostChange(other, self)

    def table(self) -> pd.DataFrame:
        """Return a table, one row a component; NaN where there is no price."""
        import pandas as pd

        table = pd.DataFrame(self._records())
        money = ["cost_usd_per_node_hour", "cost_usd_per_month"]
        return table.astype(dict.fromkeys(money, float))

    def _records(self) -> list[dict[str, Any]]:
        return [
            {f"cost_{key}" if key.startswith("usd_") else key: value for key, value in row.items()}
            for row in map(dataclasses.asdict, self.components)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, units in the names."""
        return {
            "cost_usd_per_month": self.total_usd_per_month,
            "cost_usd_per_million_requests": self.usd_per_million_requests,
            "requests_per_month": self.requests_per_month,
            "hours_per_month": self.hours_per_month,
            "region": self.region,
            "price_book": self.book,
            "components": self._records(),
            "unpriced": list(self.unpriced),
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class CostChange:
    """The step from one cost to another.

    Parameters
    ----------
    before, after : Cost
    """

    before: Cost
    after: Cost

    @property
    def usd_per_month(self) -> float | None:
        """What the step adds to the bill; None unless all that it adds has a price."""
        before, after = self.before.total_usd_per_month, self.after.total_usd_per_month
        return None if before is None or after is None or self.unknown else after - before

    @property
    def unknown(self) -> tuple[str, ...]:
        """Components that change and lack a price before or after, so what they add is unknown."""
        return tuple(
            name
            for name, (old, new) in self._pairs().items()
            if (_nodes(old) != _nodes(new) and (_lacks(old) or _lacks(new)))
            or (old and new and _lacks(old) != _lacks(new))
        )

    @property
    def components(self) -> dict[str, float]:
        """Component -> USD a month that it adds, of those that change and have prices."""
        added = {
            name: _usd(new) - _usd(old)
            for name, (old, new) in self._pairs().items()
            if name not in self.unknown
        }
        return {name: usd for name, usd in added.items() if usd != 0.0}

    def _pairs(self) -> dict[str, tuple[ComponentCost | None, ComponentCost | None]]:
        before = {row.component: row for row in self.before.components}
        after = {row.component: row for row in self.after.components}
        return {name: (before.get(name), after.get(name)) for name in {**before, **after}}

    def describe(self) -> str:
        """Return the change in a sentence: ``+238.27 USD a month (web +238.27)``."""
        change = self.usd_per_month
        parts = ", ".join(f"{name} {usd:+,.2f}" for name, usd in self.components.items())
        if change is not None:
            return f"{change:+,.2f} USD a month" + (f" ({parts})" if parts else "")
        if not self.unknown or self.after.total_usd_per_month is None:
            return "cost change not known: no component has machine or cost_per_hour"
        rest = f"; the rest adds, in USD a month: {parts}" if parts else ""
        return f"cost change not known: no price for {', '.join(self.unknown)}{rest}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, units in the names."""
        return {
            "cost_change_usd_per_month": self.usd_per_month,
            "components_usd_per_month": self.components,
            "unknown": list(self.unknown),
        }


def _nodes(row: ComponentCost | None) -> int:
    return 0 if row is None else row.nodes


def _usd(row: ComponentCost | None) -> float:
    return 0.0 if row is None else row.usd_per_month or 0.0


def _lacks(row: ComponentCost | None) -> bool:
    """Whether a component is there and has no price."""
    return row is not None and row.usd_per_month is None


def monthly_cost(
    topology: Topology,
    book: PriceBook | None = None,
    region: str | None = None,
    *,
    requests_per_month: float | None = None,
) -> Cost:
    """Return what the machines of `topology` cost each month.

    Parameters
    ----------
    topology : Topology
    book : PriceBook, optional
        `PriceBook.default` if absent.
    region : str, optional
        Where the machines are; the book's default region if absent.
    requests_per_month : float, optional [requests, > 0]
        For the cost of a million requests: traffic over the whole month, not at its peak.

    Raises
    ------
    MissingPrice
        Machines without a price in the region, all of them together.
    InvalidInput
        `requests_per_month` is not a finite number above 0.
    """
    if requests_per_month is not None and not 0 < requests_per_month < math.inf:
        message = f"got {requests_per_month}, allowed is a finite number above 0"
        raise InvalidInput([Problem("requests_per_month", message)])
    book = PriceBook.default() if book is None else book
    rows, problems = [], []
    for component in topology.components.values():
        try:
            rows.append(_row(component, book, region))
        except MissingPrice as error:
            subject = f'{component.type_name} "{component.name}": '
            problems += [
                dataclasses.replace(each, subject=subject + each.subject).under(
                    component.name, "machine"
                )
                for each in error.problems
            ]
    if problems:
        raise MissingPrice(problems)
    regions = sorted({row.region for row in rows if row.region})
    return Cost(
        components=tuple(rows),
        region=" and ".join(regions) or None,
        book=book.name if regions else None,
        requests_per_month=requests_per_month,
    )


def _row(component: Component, book: PriceBook, region: str | None) -> ComponentCost:
    """Return the cost of one component."""
    name = component.name
    if not isinstance(component, MachineComponent):
        return ComponentCost(name, component.instance_count)
    nodes = component.nodes
    where: tuple[str | None, str, str | None]
    if component.machine is not None:
        price = book.hourly(component.machine, region)
        hourly, where = price.usd_per_hour, (price.region, price.source, price.source_date)
    elif component.cost_per_hour is not None:
        hourly, where = float(component.cost_per_hour), (None, "cost_per_hour of the model", None)
    else:
        return ComponentCost(name, nodes)
    monthly = nodes * hourly * HOURS_PER_MONTH
    return ComponentCost(name, nodes, component.machine, hourly, monthly, *where)
