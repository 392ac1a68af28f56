"""What every component is: a frozen description that can check itself and lower itself.

Layer: components. A component knows its own fields, the endpoints it offers, whom it refers to, and
how its endpoints read as operations. It knows nothing of engines or of other components' insides.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Container, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol

from scalesim.distributions import Distribution
from scalesim.errors import Problem
from scalesim.fields import Description, Family, Name, Number, param

if TYPE_CHECKING:
    from scalesim.policies.load_balancing import BalancingPolicy

from scalesim.fields import described

__all__ = ["COMPONENTS", "Component", "Emitter", "MachineComponent", "Reference"]

COMPONENTS = Family("component type")


class Reference(NamedTuple):
    """A name in one component that means another: where it stands and what it says."""

    path: tuple[str | int, ...]
    target: str
    must_be: str = "component"
    """``component``, ``message_queue``, ``cache``, ``endpoint``, and of an endpoint ``scattered``
    or ``replicas``: one that can be called at every instance, or at any."""
    endpoint: str = ""
    """The endpoint of the component that makes this call; empty: all of them."""
    reached: int = 0
    """How many instances there must be."""


class Emitter(Protocol):
    """What lowering may do; `scalesim.plan.lower` implements it. All operands are in base units."""

    def station(
        self,
        component: str,
        resource: str,
        *,
        count: int = 1,
        slots: int,
        kind: str = "slots",
        queue_limit: int | None = None,
        initial: int = 0,
        absent: Container[int] = (),
        order: str = "fifo",
        leaving: bool = False,
        slowdown: tuple[float, float] = (0.0, 0.0),
        core_speeds: Sequence[float] = (),
        random_core: bool = False,
    ) -> int:
        """Declare `count` equal stations, one an instance; return the first's index.

        Instances in `absent` have none: nothing may use theirs, and results leave it out. `order`:
        who goes first, ``fifo``, ``lcfs``, ``shortest`` or ``priority``. `leaving`: whether who
        waits may leave the line, as ACQUIRE_WITHIN lets it. `slowdown` is (contention, coherency)
        of shared processors; `core_speeds` are of the kind ``cores``, which take work at random or
        fastest first.
        """

    def level(self, component: str, name: str, *, count: int = 1, first: int = 0, size: int) -> int:
        """Declare a level, kept apart from 0 to `size` - 1, for `count` instances from `first` on.

        Returns the index of the first.
        """

    def sampler(self, distribution: Distribution, scale: float = 1.0) -> int:
        """Declare a sampler for `distribution` times `scale`; return its index."""

    def balancer(
        self, component: str, policy: BalancingPolicy, members: list[tuple[str, int, float]]
    ) -> int:
        """Declare a balancer over (component, instance, weight); return its index."""

    def ring(self, points: Sequence[int]) -> int:
        """Declare a hash ring with so many points of each node; return where it stands."""

    def cache(self, component: str, *, count: int = 1, **settings: object) -> int:
        """Declare `count` equal caches, one an instance; return the first's index."""

    def versions(self, component: str, count: int) -> int:
        """Declare the versions of keys that `count` nodes have; return their index."""

    def retry(self, waits: Sequence[float], **settings: float) -> int:
        """Declare a retry rule, perhaps with the waits one by one; return its index."""

    def rule(self, table: str, **settings: float) -> int:
        """Declare a rule, ``breaker``, ``limiter``, ``batch``, ``partition``; return its index."""

    def background(
        self, program: str, instance: int, tag: tuple[str | int, ...], *, item: int = -1
    ) -> None:
        """Let a strand run `program` at `instance` from the beginning, `item` being its key.

        Nobody waits for it.
        """

    def counter(self, component: str, name: str) -> int:
        """Declare a counter; return its index."""

    def tally(self, component: str, name: str) -> int:
        """Declare a tally of durations; return its index."""

    def program(self, name: str) -> None:
        """Start the program `name`; operations go to it until the next one starts."""

    def subprogram(self, name: str) -> AbstractContextManager[str]:
        """Emit into a program of its own inside the ``with``; gives its full name."""

    def op(
        self,
        op: int,
        *,
        a: int | str = 0,
        b: int | str = 0,
        c: int = 0,
        x: float = 0.0,
        on_fail: str = "",
        site: tuple[str | int, ...] = (),
        tag: tuple[str | int, ...] = (),
    ) -> None:
        """Append an operation; strings are labels or names of programs, resolved at the end."""

    def route(self, balancer: int, endpoint: int, *, by_instance: bool = False) -> None:
        """Append what ends a program: route to a target's endpoint, settle, return."""

    def label(self, name: str) -> None:
        """Name the place of the next operation; local to the program."""

    def call(self, target: str, *, on_fail: str) -> None:
        """Append a call of ``component.endpoint``."""

    def program_of(self, target: str) -> tuple[str, int, tuple[str | int, ...]]:
        """Return what a call of ``component.endpoint`` runs: program, instance, and its tag.

        The instance is -1 for the caller's own.
        """

    def branches_of(self, target: str) -> list[tuple[str, int]]:
        """Return the (program, instance) pairs at which an endpoint can be called one by one."""

    def endpoints_of(self, component: str) -> tuple[str, ...]:
        """Return the endpoints that a component offers."""

    def copies_of(self, component: str) -> int:
        """Return how many copies there are: of what lives in a service, one an instance of it."""

    def members_of(self, component: str) -> list[tuple[str, int]]:
        """Return (component, instance) pairs that a balancer may send to."""


@described
class Component(Description):
    """Base of all components.

    Parameters
    ----------
    name : str
        Unique in the topology.
    """

    family: ClassVar[Family] = COMPONENTS
    name: str = param(Name(), "unique name of the component", kw_only=False)

    @property
    def instance_count(self) -> int:
        """How many instances a balancer sees."""
        return 1

    def scattered(self, endpoint: str) -> tuple[str, Sequence[int]]:
        """Return the program and the instances at which an endpoint can be called one by one."""
        return "", ()

    @abstractmethod
    def endpoint_names(self) -> tuple[str, ...]:
        """Return the endpoints this component offers; empty: those of its targets."""

    def forwards_to(self) -> tuple[str, ...]:
        """Return the components whose endpoints this one offers; empty: it has endpoints itself."""
        return ()

    def references(self) -> Iterator[Reference]:
        """Yield every name that must exist elsewhere in the topology."""
        yield from ()

    @abstractmethod
    def lower(self, emit: Emitter) -> None:
        """Declare stations and emit one program per endpoint."""


@described
class MachineComponent(Component):
    """A component that runs on machines somebody pays for.

    Parameters
    ----------
    machine : str, optional
        Item of the price book, ``m7g.large``; each node is one.
    cost_per_hour : float, optional [USD an hour and node, >= 0]
        Instead of `machine`: a price of your own.
    """

    machine: str | None = param(
        Name("an item of the price book, as m7g.large", pattern=r"[A-Za-z0-9][\w.-]*"),
        "price-book item of one node",
        default=None,
    )
    cost_per_hour: float | None = param(
        Number("USD/h", at_least=0), "price of one node, instead of machine", default=None
    )

    @property
    def nodes(self) -> int:
        """How many machines this component is made of."""
        return self.instance_count

    def check_together(self) -> Iterator[Problem]:
        if self.machine is not None and self.cost_per_hour is not None:
            yield Problem("", "machine and cost_per_hour are both given; give one", ("machine",))
