"""LoadBalancer: sends each request to one of its targets' instances."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from scalesim import ops
from scalesim.components.base import COMPONENTS, Emitter, MachineComponent, Reference
from scalesim.distributions import Constant, times
from scalesim.distributions.base import AsDistribution
from scalesim.errors import Problem, nearest
from scalesim.fields import (
    AsTuple,
    Given,
    ListOf,
    MapOf,
    Name,
    Number,
    OneOf,
    Values,
    described,
    param,
)
from scalesim.policies.load_balancing import BALANCING, BalancingPolicy, RoundRobin

__all__ = ["LoadBalancer"]


@COMPONENTS.add("load_balancer")
@described
class LoadBalancer(MachineComponent):
    """Spreads requests over the instances of its targets, or over other balancers.

    It offers the endpoints that all its targets offer. It counts a request as in flight at a
    target from the choice until the target's program ends.

    Parameters
    ----------
    targets : str or sequence of str
        Components; each instance of each is one target.
    policy : BalancingPolicy or str
    weights : mapping of str to float or sequence of float [> 0]
        Weight of each instance of a target (one number: of all its instances); 1 if absent.
    delay : Distribution or float [s]
        Time that forwarding takes, without queueing.
    """

    targets: AsTuple[str] = param(
        ListOf(Name("a component"), alone=True), "components that get the requests"
    )
    policy: Given[BalancingPolicy, BalancingPolicy | str] = param(
        OneOf(BALANCING), "how a target is chosen", default=RoundRobin()
    )
    weights: Given[
        dict[str, tuple[float, ...]] | None, Mapping[str, Values[float] | float] | None
    ] = param(
        MapOf(ListOf(Number(above=0, at_most=1e6), alone=True), "a target"),
        "weights of the targets' instances",
        default=None,
    )
    delay: AsDistribution = param(times(), "time that forwarding takes", default=Constant(0.0))

    def endpoint_names(self) -> tuple[str, ...]:
        return ()

    def forwards_to(self) -> tuple[str, ...]:
        return self.targets

    def check_together(self) -> Iterator[Problem]:
        yield from super().check_together()
        if isinstance(self.targets, tuple):
            counts = Counter(each for each in self.targets if isinstance(each, str))
            for target in sorted(each for each, count in counts.items() if count > 1):
                yield Problem("", f'"{target}" is listed twice', ("targets",))
            for name in self.weights or ():
                if name not in self.targets:
                    hint = nearest(name, [t for t in self.targets if isinstance(t, str)])
                    yield Problem("", f'"{name}" is not a target. {hint}', ("weights", name))

    def references(self) -> Iterator[Reference]:
        for index, target in enumerate(self.targets):
            yield Reference(("targets", index), target)

    def members(self, emit: Emitter) -> list[tuple[str, int, float]]:
        """Return (component, instance, weight) of every target."""
        members = []
        for target in self.targets:
            found = emit.members_of(target)
            weights = (self.weights or {}).get(target, (1.0,))
            for (name, instance), position in zip(found, range(len(found)), strict=True):
                weight = weights[position] if len(weights) > 1 else weights[0]
                members.append((name, instance, float(weight)))
        return members

    def lower(self, emit: Emitter) -> None:
        balancer = emit.balancer(self.name, self.policy, self.members(emit))
        forward = self.delay != Constant(0.0)
        for index, endpoint in enumerate(emit.endpoints_of(self.name)):
            emit.program(f"{self.name}.{endpoint}")
            if forward:
                site = (self.name, endpoint, "delay")
                emit.op(ops.DELAY, b=emit.sampler(self.delay), site=site)
            emit.route(balancer, index)
