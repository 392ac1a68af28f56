"""The model that is solved: what a topology says, in the words of queueing theory.

A *place* is an endpoint of a component. A *facility* is a component: equal nodes with pools of
slots, resources, and a program for each place. A program is a list of parts. Numbers come later:
rates (`flows`), then waits (`solver`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from scalesim.components import Failures, RateLimiter, Retry
from scalesim.distributions import Distribution
from scalesim.policies.load_balancing import BalancingPolicy, LeastConnections, PowerOfTwo

__all__ = [
    "ROOT",
    "Ask",
    "Choice",
    "Either",
    "Facility",
    "Failing",
    "Fork",
    "Part",
    "Pause",
    "Place",
    "PoolSize",
    "Program",
    "Resource",
    "Send",
    "Use",
    "Visits",
    "choice_of",
    "parts_within",
]

Place = tuple[str, str]
"""(component, endpoint)."""
ROOT = "client"
"""The facility of those who send requests."""


class Use(NamedTuple):
    """Be served by a resource of the node."""

    resource: str
    law: Distribution


class Pause(NamedTuple):
    """Let time pass without queueing."""

    law: Distribution


@dataclass(frozen=True, eq=False)
class Choice:
    """How a balancer spreads requests over the nodes of one facility.

    Parameters
    ----------
    owner : str
        The balancer; all that comes through it is one stream.
    policy : BalancingPolicy
    shares : float array [nodes]
        Of what goes to this facility; sum 1.
    targets : int
        How many nodes the balancer has, all facilities counted.
    part : float
        This facility's share of what comes through the balancer.
    even : bool
        Whether all its targets have the same weight.
    """

    owner: str
    policy: BalancingPolicy
    shares: np.ndarray
    targets: int
    part: float = 1.0
    even: bool = True

    @property
    def reacts(self) -> bool:
        """Whether shares follow from how busy the targets are."""
        return isinstance(self.policy, (LeastConnections, PowerOfTwo))


@dataclass(frozen=True, eq=False)
class Ask:
    """Call a place and wait for the answer."""

    to: Place
    probability: float = 1.0
    choice: Choice | None = None
    timeout: float | None = None
    retry: Retry | None = None
    missed: str = ""
    """The cache whose miss makes the call; empty: the call is always made."""


@dataclass(frozen=True, eq=False)
class Either:
    """Make one of several calls, each with its probability: what a balancer does."""

    asks: tuple[Ask, ...]


class Failing(NamedTuple):
    """Fail with some probability."""

    probability: float


@dataclass(frozen=True, eq=False)
class Visits:
    """Call places again and again; the probability of each call is its mean number."""

    asks: tuple[Ask, ...]


@dataclass(frozen=True, eq=False)
class Send:
    """Start something that nobody waits for."""

    to: Place


class Fork(NamedTuple):
    """Run branches at once and wait for so many as are needed; 0: all, and their ends."""

    branches: tuple[tuple[Part, ...], ...]
    needed: int = 0


Part = Use | Pause | Ask | Either | Visits | Failing | Send | Fork


@dataclass(frozen=True)
class Program:
    """What a place does: some parts while a slot of `pool` is held, others before and after.

    The least `urgency` is served first where that counts.
    """

    pool: str = ""
    before: tuple[Part, ...] = ()
    inside: tuple[Part, ...] = ()
    after: tuple[Part, ...] = ()
    urgency: int = 0


class Resource(NamedTuple):
    """A resource of one node.

    Parameters
    ----------
    slots : int
    shared : bool
        Processor sharing, else first come first served.
    alone : bool
        Never more users than slots: nobody waits or shares.
    contention, coherency : float
        Of the universal scalability law.
    order : {"fifo", "priority", "priority_preemptive"}
        Who is served first, if not all are.
    failures : Failures or None
    """

    slots: int
    shared: bool = False
    alone: bool = False
    contention: float = 0.0
    coherency: float = 0.0
    order: str = "fifo"
    failures: Failures | None = None

    @property
    def slowed(self) -> bool:
        """Whether those who compute at once slow each other down."""
        return bool(self.contention or self.coherency)

    def speeds(self, demand: float, count: int) -> np.ndarray:
        """Return the completions a second with 1 .. `count` present, each of `demand` [s]."""
        n = np.arange(1, count + 1)
        slowdown = 1 + self.contention * (n - 1) + self.coherency * n * (n - 1)
        rates: np.ndarray = np.minimum(n, self.slots) / slowdown / demand
        return rates


class PoolSize(NamedTuple):
    """Slots of one node's pool, and how many may wait (None: any number)."""

    slots: int
    limit: int | None = None


@dataclass(frozen=True, eq=False)
class Facility:
    """One component.

    Parameters
    ----------
    component : str
    type_name : str
    nodes : int
    pools, resources : dict
        By name; equal at all nodes.
    programs : dict
        By endpoint.
    spread : dict of endpoint to Choice
        How requests choose a node where no balancer in front does.
    line : {"fifo", "lcfs", "priority"}
        Who of those waiting for a slot gets the next one.
    patience : Distribution or None
        How long they wait at most.
    meter : RateLimiter or None
        What its pool stands for; a pass holds nothing.
    shard_of : int array [keys], optional
        Which shard a key belongs to.
    homes : dict of pool to int
        At how many nodes it is, if not at all of them.
    looked_up : bool
        Whether it has entries that are looked up by key.
    """

    component: str
    type_name: str
    nodes: int = 1
    pools: dict[str, PoolSize] = field(default_factory=dict)
    resources: dict[str, Resource] = field(default_factory=dict)
    programs: dict[str, Program] = field(default_factory=dict)
    spread: dict[str, Choice] = field(default_factory=dict)
    line: str = "fifo"
    patience: Distribution | None = None
    meter: RateLimiter | None = None
    shard_of: np.ndarray | None = None
    homes: dict[str, int] = field(default_factory=dict)

    def nodes_with(self, pool: str) -> int:
        """Return at how many nodes a pool is."""
        return self.homes.get(pool, self.nodes)

    looked_up: bool = False

    def loses(self, pool: str) -> bool:
        """Whether requests may be turned away by a pool, leave its line, or are metered."""
        limited = self.pools[pool].limit is not None
        return limited or self.patience is not None or self.meter is not None


def choice_of(part: Ask | Send, facility: Facility) -> Choice | None:
    """Return how a call or message chooses one of the nodes of `facility`, to which it goes."""
    choice = part.choice if isinstance(part, Ask) else None
    if choice is None or len(choice.shares) < facility.nodes:  # a balancer sees one database
        choice = facility.spread.get(part.to[1])
    return choice


def parts_within(parts: tuple[Part, ...]) -> Iterator[Part]:
    """Yield the parts, and those of all branches and alternatives."""
    for part in parts:
        yield part
        if isinstance(part, (Either, Visits)):
            yield from part.asks
        elif isinstance(part, Fork):
            for branch in part.branches:
                yield from parts_within(branch)
