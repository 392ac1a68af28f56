"""Load balancing: which target gets the next request.

A policy's function has the signature ``choose(balancer, target, values, b, key, item, client) ->
t``: `balancer` and `target` are tables; row b of the former has ``first``, ``count``, ``cursor``,
``site``, ``equal`` (all weights are), ``by_item`` and ``setting`` (choices, less than 0 if
distinct; or where in the table `values` the hash ring stands); rows ``first`` .. ``first + count -
1`` of the latter have ``weight``, ``in_flight`` and ``current``. `item` is the number of the key
that is asked for. It returns a row of `target` and may move ``cursor`` and ``current``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from scalesim.fields import Description, Family, Flag, Integer, Name, described, param
from scalesim.kernels.draws import hash_below, u01
from scalesim.kernels.sampling import nth_of_permutation
from scalesim.policies.hash_ring import VIRTUAL_NODES, node_of

__all__ = [
    "BALANCING",
    "BalancingPolicy",
    "ConsistentHash",
    "InTurn",
    "IpHash",
    "LeastConnections",
    "PowerOfTwo",
    "Random",
    "RoundRobin",
    "balancing_code",
    "balancing_functions",
]

BALANCING = Family("load-balancing policy")


class BalancingPolicy(Description):
    """Base of load-balancing policies.

    `by` says what of the request decides: its ``key``, its ``client``, or neither.
    """

    choose: ClassVar[Callable[..., Any]]
    virtual_nodes: int = 0
    by: str = ""

    @property
    def setting(self) -> int:
        """The number that the policy's function finds in its balancer's row."""
        return 0


def balancing_functions() -> tuple[Callable[..., Any], ...]:
    """Return the functions of all policies; a policy's code is its index."""
    members = (*BALANCING.members.values(), InTurn)
    return tuple(member.choose for member in members)  # type: ignore[attr-defined]


def balancing_code(policy: BalancingPolicy) -> int:
    """Return the code of `policy`."""
    return balancing_functions().index(policy.choose)


def round_robin(balancer, target, values, b, key, item, client):
    """Smooth weighted round robin, as nginx does it: the heaviest lag gets the turn.

    With equal weights that is one after another, which needs no search.
    """
    first = balancer[b].first
    if balancer[b].equal:
        cursor = balancer[b].cursor
        following = cursor + 1
        balancer[b].cursor = following if following < balancer[b].count else 0
        return first + cursor
    best = first
    total = 0.0
    for t in range(first, first + balancer[b].count):
        target[t].current += target[t].weight
        total += target[t].weight
        if target[t].current > target[best].current:
            best = t
    target[best].current -= total
    return best


def least_connections(balancer, target, values, b, key, item, client):
    """Fewest requests in flight for its weight; ties go round robin from the cursor."""
    first = balancer[b].first
    count = balancer[b].count
    cursor = balancer[b].cursor
    best = first + cursor
    for step in range(1, count):
        t = first + (cursor + step) % count
        if target[t].in_flight * target[best].weight < target[best].in_flight * target[t].weight:
            best = t
    balancer[b].cursor = (best - first + 1) % count
    return best


def random(balancer, target, values, b, key, item, client):
    """Independent choice in proportion to the weights."""
    first = balancer[b].first
    last = first + balancer[b].count - 1
    total = 0.0
    for t in range(first, last + 1):
        total += target[t].weight
    left = u01(key, balancer[b].site, 0) * total
    for t in range(first, last):
        left -= target[t].weight
        if left < 0.0:
            return t
    return last


def ip_hash(balancer, target, values, b, key, item, client):
    """Return the target that the client's network always meets (weights are ignored)."""
    return balancer[b].first + hash_below(client, balancer[b].count)


def power_of_two(balancer, target, values, b, key, item, client):
    """Draw targets and take the one with fewest requests in flight; the first drawn, of several.

    A negative setting is minus their number, without replacement.
    """
    first = balancer[b].first
    count = balancer[b].count
    site = balancer[b].site
    choices = balancer[b].setting
    distinct = choices < 0
    if distinct:
        choices = min(-choices, count)
    best = first + int(u01(key, site, 0) * count)
    for k in range(1, choices):
        t = first
        if distinct:
            t += nth_of_permutation(key, site, k, count)
        else:
            t += int(u01(key, site, k) * count)
        if target[t].in_flight * target[best].weight < target[best].in_flight * target[t].weight:
            best = t
    return best


def consistent_hash(balancer, target, values, b, key, item, client):
    """Return the target of the next point on the hash ring."""
    value = item if balancer[b].by_item else client
    return balancer[b].first + node_of(values, balancer[b].setting, value)


def in_turn(balancer, target, values, b, key, item, client):
    """Return the next target from the cursor on with fewer in flight than the setting.

    There is one: who asks has got one of all their places.
    """
    first = balancer[b].first
    count = balancer[b].count
    cursor = balancer[b].cursor
    while target[first + cursor].in_flight >= balancer[b].setting:
        cursor = (cursor + 1) % count
    balancer[b].cursor = (cursor + 1) % count
    return first + cursor


@BALANCING.add("round_robin")
@described
class RoundRobin(BalancingPolicy):
    """Targets in turn; with weights, smooth weighted round robin (nginx's)."""

    choose = staticmethod(round_robin)


@BALANCING.add("least_connections")
@described
class LeastConnections(BalancingPolicy):
    """The target with fewest requests in flight relative to its weight; ties round robin."""

    choose = staticmethod(least_connections)


@BALANCING.add("random")
@described
class Random(BalancingPolicy):
    """Independent random choice, in proportion to the weights."""

    choose = staticmethod(random)


@BALANCING.add("ip_hash")
@described
class IpHash(BalancingPolicy):
    """The same target for every request of a client's network; needs traffic with ``clients``.

    A client number stands for one network (nginx hashes the first three octets of an address), so
    clients behind one network are one number. The hash is SplitMix64's finalizer, not nginx's.
    """

    choose = staticmethod(ip_hash)
    by = "client"


@BALANCING.add("power_of_two")
@described
class PowerOfTwo(BalancingPolicy):
    """The target with fewest requests in flight of ``choices`` drawn at random: power of d choices.

    Relative to weights, which do not decide who is drawn; of several the first drawn. Mitzenmacher,
    "The power of two choices in randomized load balancing", IEEE TPDS 12 (2001).

    Parameters
    ----------
    choices : int [2 .. 64]
    distinct : bool
        Draw without replacement, as nginx's ``random two`` does; all targets if there are no more
        than `choices`.
    """

    choose = staticmethod(power_of_two)
    choices: int = param(Integer(2, 64), "how many targets are drawn", default=2)
    distinct: bool = param(Flag(), "draw without replacement", default=False)

    @property
    def setting(self) -> int:
        return -self.choices if self.distinct else self.choices


@BALANCING.add("consistent_hash")
@described
class ConsistentHash(BalancingPolicy):
    """The same target for every request of a client, or for a key: by a hash ring.

    A further target takes its values from all the others, about one in (targets + 1), and no others
    move. Needs traffic with ``clients`` or ``keys``.

    Parameters
    ----------
    by : {"client", "key"}
        What is hashed.
    virtual_nodes : int [1 .. 10,000]
        Points of a target of weight 1; others have their weight times as many. 160, as in libketama
        and nginx. The coefficient of variation of the shares is about 1 / sqrt(``virtual_nodes``).
    """

    choose = staticmethod(consistent_hash)
    by: str = param(Name(choices=("client", "key")), "what is hashed", default="client")
    virtual_nodes: int = param(
        Integer(1, 10_000), "points of a target of weight 1", default=VIRTUAL_NODES
    )


@described
class InTurn(BalancingPolicy):
    """How a message queue hands messages to consumers: in turn, `limit` to each. Not for models."""

    choose = staticmethod(in_turn)
    limit: int = param(Integer(1), "what a target may have in flight", default=1)

    @property
    def setting(self) -> int:
        return self.limit
