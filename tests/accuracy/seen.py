"""What was seen of one station in one trial: totals over its instances and the measured window."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property

import numpy as np
from accuracy.stations import Place
from accuracy.words import Unsupported, only

from scalesim.results import Results
from scalesim.results.latency import bucket_edges

__all__ = ["Seen"]


class Seen:
    """One place in one trial.

    Parameters
    ----------
    results : of one trial
    place : where the station is
    only : the one instance to look at, None for all together
    """

    def __init__(self, results: Results, place: Place, only: int | None = None) -> None:
        self.results, self.place, self.only = results, place, only
        self.time = results.measured_time

    def rows(self, resource: str) -> list[int]:
        if not resource:
            raise Unsupported(f"waiting at {self.place.components[0]}, which has no line")
        rows = [
            s for s, x in enumerate(self.results.plan.station_labels)
            if x.component in self.place.components and x.resource == resource
        ]  # fmt: skip
        return rows if self.only is None else [rows[self.only]]

    def total(self, resource: str, field: str) -> float:
        return float(self.results.station[field][self.rows(resource)].sum())

    def instances(self) -> Iterator[Seen]:
        for i in range(self.count):
            yield Seen(self.results, self.place, i)

    @cached_property
    def count(self) -> int:
        return len(self.rows(self.place.holding))

    @property
    def arrived(self) -> float:
        return self.total(self.place.holding, "arrived")

    @property
    def served(self) -> float:
        return self.total(self.place.holding, "served")

    @property
    def throughput(self) -> float:
        return self.served / self.time

    @property
    def held(self) -> float:
        """Mean number of slots held."""
        return self.total(self.place.holding, "busy") / self.time

    @property
    def held_ratio(self) -> float:
        return float(self.results.utilization[self.rows(self.place.holding)].mean())

    @property
    def in_flight(self) -> float:
        line = self.place.waiting and self.total(self.place.holding, "depth") / self.time
        return self.held + (line or 0.0) + self.depth_before

    @property
    def depth_before(self) -> float:
        """Mean number who have not yet come to the waiting line."""
        return self.total(self.place.before, "depth") / self.time if self.place.before else 0.0

    @property
    def response_mean(self) -> float:
        """Mean time at the station: Little's law on exact time averages and counts."""
        return self.in_flight / self.throughput

    @property
    def busy(self) -> float:
        return self.total(self.place.serving, "busy") / self.time

    @property
    def utilization(self) -> float:
        return (
            float(self.results.utilization[self.rows(self.place.serving)].mean())
            - self.blocked_ratio
        )

    @property
    def blocked_ratio(self) -> float:
        """Share of the slots held by those who wait for room at the next station."""
        if self.place.held_for is None:
            return 0.0
        next_place = Place((self.place.held_for[0],))
        waiting = Seen(self.results, next_place).total(self.place.held_for[1], "depth") / self.time
        return waiting / (self.place.slots or 1)

    @property
    def queue_depth(self) -> float:
        return self.total(self.place.waiting, "depth") / self.time + self.depth_before

    @property
    def deepest(self) -> int:
        return int(self.results.station["deepest"][self.rows(self.only_line)].max())

    @property
    def only_line(self) -> str:
        """Return the resource of the only line; a wait in two has no histogram."""
        if self.place.before:
            lines = f"the line for {self.place.before} and that for {self.place.waiting}"
            raise Unsupported(f"each one's wait in {lines}")
        return self.place.waiting

    @property
    def wait_mean(self) -> float:
        granted = self.total(self.place.waiting, "granted")
        waited = self.total(self.place.waiting, "waited")
        if self.place.before:
            waited += self.total(self.place.before, "waited")
        return waited / granted if granted else math.nan

    def waits(self) -> tuple[np.ndarray, int]:
        """Return the histogram of waits above zero, and how many were zero."""
        rows = self.rows(self.only_line)
        counts = self.results.histogram("wait", rows)
        return counts, int(self.total(self.place.waiting, "granted")) - int(counts.sum())

    @property
    def wait_probability(self) -> float:
        """Share of those let in that did not get a slot at once."""
        _, zeros = self.waits()
        resource = self.place.waiting
        return 1 - zeros / (self.total(resource, "arrived") - self.total(resource, "rejected"))

    @property
    def wait_std(self) -> float:
        """Standard deviation of the wait, its second moment read from the histogram."""
        counts, zeros = self.waits()
        edges = bucket_edges()
        middle = (edges[:-1] + edges[1:]) / 2
        second = float((counts * middle**2).sum() / (counts.sum() + zeros))
        return math.sqrt(second - self.wait_mean**2)

    @property
    def wait_longest(self) -> float:
        """The longest wait, read from the histogram."""
        counts, _ = self.waits()
        return float(bucket_edges()[np.flatnonzero(counts)[-1] + 1])

    def each_core(self) -> list[float]:
        """Return the share of time in which each core was busy."""
        component = only(self.place.components, "each core of a component")
        return [
            float(self.results.time_shares(component, f"core_{i}")[1])
            for i in range(self.place.slots or 0)
        ]

    def counter(self, name: str) -> float:
        """Return what the components' table says of the component under `name`."""
        table = self.results.components_table()
        component = only(self.place.components, f"{name} of a component")
        found = table[(table["component"] == component) & (table["metric"] == name)]["value"]
        return float(only(found, f"{name} at {component}"))
