"""A node behind a balancer that counts more than the pool holds: transfers before and after it.

What is in flight at the node, wherever in it, is taken as a closed network whose throughput with n
inside is the node's speed with n (flow equivalence, as for what is inside a pool); the targets'
chain has these speeds, and the network says where the n are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from scalesim.engines.analytic import times
from scalesim.engines.analytic.arrivals import Balanced
from scalesim.engines.analytic.model import PoolSize
from scalesim.engines.analytic.pools import Pool
from scalesim.engines.analytic.stations import (
    MOST_SLOTS,
    Load,
    Station,
    StationAnswer,
    Unstable,
)
from scalesim.engines.analytic.times import NOTHING

if TYPE_CHECKING:
    from scalesim.engines.analytic.nodes import Node

__all__ = ["solve_in_flight"]


def solve_in_flight(
    node: Node, pool: Pool, outside: list[str], balanced: Balanced
) -> dict[str, StationAnswer]:
    """Return what the pool and the stations before and after it do, by name.

    Parameters
    ----------
    pool : Pool
        The one pool, whose line has no bound.
    outside : list of str
        The stations.

    Raises
    ------
    Unstable
    """
    outside = [name for name in outside if node.use_rate(name) > 0]
    own = Station(
        pool.name, pool.size.slots, False, pool.speed, pool.law.mean, pool.law.scv,
        bool(pool.exponential), min(pool.size.slots, MOST_SLOTS),
    )  # fmt: skip
    stations = [own, *(node.stations[name] for name in outside)]
    rates = [pool.rate, *(node.use_rate(name) for name in outside)]
    for each, rate in zip(stations, rates, strict=True):
        if float(each.speed(each.settles)[-1]) <= rate:
            raise Unstable(each.name)
    work = {
        each.name: (rate / pool.rate, each.demand)
        for each, rate in zip(stations, rates, strict=True)
    }
    load = Load("", pool.rate, NOTHING, work)
    bare = times.added([pool.law, *(times.fitted(s.demand, 0.0) for s in stations[1:])])
    whole = Pool("in flight", PoolSize(MOST_SLOTS), [load], stations, bare, node.arrivals_of)
    chain, doubts = balanced.chain(whole) or (None, frozenset())
    assert chain is not None  # there are requests, and stations
    doubts |= balanced.arrivals.doubts | pool.doubts | {"flow-equivalent"}
    answer = whole.settled(chain, pool.rate, doubts)
    found = dict(answer.stations)
    for each in stations[1:]:  # Allen and Cunneen's factor, as for a station on its own
        known = found[each.name]
        longer = max(known.response - each.demand, 0.0)
        found[each.name] = replace(
            known, response=known.response + longer * ((1 + each.scv) / 2 - 1)
        )
    return found
