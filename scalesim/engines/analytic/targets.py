"""Balancers that look at how busy their targets are: what that says needs targets that are alike.

Over targets of unequal speed or weight, or to some of which others come as well, the shares follow
from the state of all targets. The bottleneck law then has no fixed demands to speak of, either.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scalesim.components import Component
from scalesim.engines.analytic.model import Choice
from scalesim.errors import Problem, UnsupportedByEngine
from scalesim.topology import Topology

__all__ = ["Stream", "require_alike"]

_IRRELEVANT = frozenset({"name", "machine", "cost_per_hour", "instances"})


@dataclass
class Stream:
    """What reaches a facility through one balancer (or directly).

    Parameters
    ----------
    rates : dict of endpoint to float array [nodes] [1/s]
    poisson : bool
        Whether it is a Poisson stream before the balancer spreads it, exactly.
    choice : Choice or None
    """

    rates: dict[str, np.ndarray] = field(default_factory=dict)
    poisson: bool = True
    choice: Choice | None = None


def require_alike(topology: Topology, streams: Mapping[str, Mapping[str, Stream]]) -> None:
    """Refuse balancers that react to load if their targets are not alike in all that matters.

    Parameters
    ----------
    streams : mapping of component to (mapping of owner to Stream)

    Raises
    ------
    UnsupportedByEngine
    """
    kinds: dict[tuple[str, int], set[Any]] = {}
    for component, own in streams.items():
        for owner, stream in own.items():
            choice = stream.choice
            if choice is None or choice.targets == 1 or not choice.reacts:
                continue
            others = [other for name, other in own.items() if name != owner]
            for place, node in enumerate(np.flatnonzero(choice.shares > 0)):
                # Shards have a balancer each, whose targets stand together.
                group = kinds.setdefault((owner, place // choice.targets), set())
                beside = _rates(others, int(node))
                group.add((choice.even, beside, *_nature(topology.components[component])))
    for (owner, _), found in kinds.items():
        if len(found) > 1 or not next(iter(found))[0]:
            raise UnsupportedByEngine(
                [
                    Problem(
                        f'"{owner}": policy',
                        "least connections and power of two are covered over targets that are "
                        "alike: equal components and weights, and as much from elsewhere; "
                        'simulate it instead: engine="compiled"',
                    )
                ]
            )


def _rates(streams: list[Stream], node: int) -> tuple[tuple[str, float], ...]:
    """Return what comes to a node by endpoint."""
    return tuple(
        sorted(
            (endpoint, float(f"{rates[node]:.9g}"))
            for stream in streams
            for endpoint, rates in stream.rates.items()
            if rates[node] > 0
        )
    )


def _nature(part: Component) -> tuple[Any, ...]:
    """Return what a component is, but for its name and its price."""
    values = [
        getattr(part, each.name)
        for each in dataclasses.fields(part)
        if each.name not in _IRRELEVANT
    ]
    return (part.type_name, repr(values))
