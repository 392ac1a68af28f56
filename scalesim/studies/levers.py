"""Levers: the changes that could relieve a resource, each of a size that should carry the load."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from scalesim.components import Cache, Component, Database, MessageQueue, RateLimiter, Service
from scalesim.fields import params
from scalesim.topology import Topology

__all__ = ["Lever", "levers_for"]

_SERVICE = {
    "workers": ("workers", "instances"),
    "cpu": ("instances", "cores"),
    "memory": ("instances", "memory"),
    "network_in": ("instances", "network_in"),
    "network_out": ("instances", "network_out"),
}
_DATABASE = {
    "connections": ("connections", "read_replicas", "shards"),
    "cpu": ("read_replicas", "cores", "shards"),
    "disk": ("read_replicas", "disk_iops", "shards"),
    "apply": ("cores", "shards"),
}
_MACHINE_SIZE = {"cores", "memory", "network_in", "network_out", "disk_iops"}


@dataclass(frozen=True)
class Lever:
    """One change of one field.

    Parameters
    ----------
    component, field : str
    before, after : object
    """

    component: str
    field: str
    before: Any
    after: Any

    @property
    def changes(self) -> dict[str, Any]:
        """The argument for `Topology.vary`."""
        return {f"{self.component}.{self.field}": self.after}

    def __str__(self) -> str:
        return f"{self.component}.{self.field} {_text(self.before)} -> {_text(self.after)}"


def _text(value: Any) -> str:
    return f"{value:,.6g}" if isinstance(value, float) else str(value)


def levers_for(
    topology: Topology, component: str, resource: str, factor: float, sharded_by: bool
) -> Iterator[Lever]:
    """Yield the levers that could relieve `resource` of `component` by `factor` (> 1).

    A bigger machine is offered only where the component has no price, since the price book tells
    the price of more nodes, not of another machine. Shards are offered only if the traffic has
    keys (or clients) to shard by.
    """
    part = topology[component]
    priced = getattr(part, "machine", None) is not None or getattr(part, "cost_per_hour", None)
    for field in _fields(part, resource):
        if field in _MACHINE_SIZE and priced:
            continue
        if field == "shards" and not sharded_by:
            continue
        before = getattr(part, field)
        if before is None or (field == "cores" and getattr(part, "core_speeds", None)):
            continue
        if field == "read_replicas" and isinstance(part, Database):
            after: Any = math.ceil(max(before, 1) * factor)
        elif isinstance(before, int):
            after = max(math.ceil(before * factor), before + 1)
        else:
            after = before * factor
        if not list(params(type(part))[field].kind.check(after)):
            yield Lever(component, field, before, after)


def _fields(part: Component, resource: str) -> tuple[str, ...]:
    if isinstance(part, Service):
        return _SERVICE.get(resource, ())
    if isinstance(part, Database):
        return _DATABASE.get(resource, ())
    if isinstance(part, MessageQueue):
        return {"consumers": ("consumers",), "room": ("consumers", "capacity")}.get(resource, ())
    if isinstance(part, Cache):
        return ("concurrency",)
    if isinstance(part, RateLimiter) and part.window is None:  # a window holds whole requests
        return ("rate",)
    return ()
