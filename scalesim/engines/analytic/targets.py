"""Balancers that look at how busy their targets are: what that says needs targets that are alike.

Over targets of unequal speed or weight, or to some of which others come as well, the shares follow
from the state of all targets. The bottleneck law then has no fixed demands to speak of, either.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scalesim.components import Component
from scalesim.engines.analytic.model import Choice
from scalesim.errors import Problem, UnsupportedByEngine
from scalesim.policies.load_balancing import IpHash, Random
from scalesim.topology import Topology

__all__ = ["Stream", "at_random", "keeps_poisson", "require_alike"]

_IRRELEVANT = frozenset({"name", "machine", "cost_per_hour", "instances"})


@dataclass
class Stream:
    """What reaches a facility through one balancer (or directly).

    Parameters
    ----------
    rates : dict of endpoint to float array [nodes] [1/s]
    choice : Choice or None
    ahead : Choice or None
        How a balancer in front chose this facility, which then spreads its requests itself.
    """

    rates: dict[str, np.ndarray] = field(default_factory=dict)
    choice: Choice | None = None
    ahead: Choice | None = None


def at_random(choice: Choice | None) -> bool:
    """Return whether a choice leaves a Poisson stream one: there is none, or it is at random."""
    return choice is None or choice.targets == 1 or isinstance(choice.policy, (Random, IpHash))


def keeps_poisson(stream: Stream) -> bool:
    """Return whether a Poisson stream reaches each node as one."""
    return at_random(stream.choice) and at_random(stream.ahead)


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
        nature = _nature(topology.components[component])
        for owner, stream in own.items():
            choice, ahead = stream.choice, stream.ahead
            if choice is not None and choice.targets > 1 and choice.reacts:
                others = [other for name, other in own.items() if name != owner]
                for place, node in enumerate(np.flatnonzero(choice.shares > 0)):
                    # Shards have a balancer each, whose targets stand together.
                    group = kinds.setdefault((owner, place // choice.targets), set())
                    group.add((choice.even, _rates(others, [int(node)]), *nature))
            if ahead is not None and ahead.targets > 1 and ahead.reacts:
                others = [
                    other for other in own.values()
                    if other.ahead is None or other.ahead.owner != ahead.owner
                ]  # fmt: skip
                nodes = range(len(next(iter(stream.rates.values()))))
                group = kinds.setdefault((ahead.owner, 0), set())
                group.add((ahead.even, _rates(others, nodes), *nature))
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


def _rates(streams: list[Stream], nodes: Iterable[int]) -> tuple[tuple[str, int, float], ...]:
    """Return what comes to some nodes by endpoint; which of them is counted from the first."""
    return tuple(
        sorted(
            (endpoint, place, float(f"{rates[node]:.9g}"))
            for stream in streams
            for endpoint, rates in stream.rates.items()
            for place, node in enumerate(nodes)
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
