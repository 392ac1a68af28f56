"""A replica: queries in one pool, the applying of writes in another, on the same processors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scalesim.distributions import Exponential
from scalesim.engines.analytic import times
from scalesim.engines.analytic.arrivals import AT_RANDOM
from scalesim.engines.analytic.beside import Stream, beside_each_other
from scalesim.engines.analytic.occupancy import Occupancy
from scalesim.engines.analytic.stations import AS_POISSON, MOST_SLOTS, PoolAnswer, StationAnswer
from scalesim.engines.analytic.times import NOTHING

if TYPE_CHECKING:
    from scalesim.engines.analytic.nodes import Node

__all__ = ["solve_replica"]


def solve_replica(node: Node, names: list[str]) -> bool:
    """Put what both pools of a replica do into the node's answer; return whether it is known.

    Only the processors are shared, by processor sharing; exact if all work is exponential.
    """
    pools = node.facility.pools
    if list(pools) != ["connections", "apply"] or names != ["cpu"]:
        return False
    resource = node.facility.resources["cpu"]
    uses = [use for use in node.uses("cpu") if node.answer.rates[use[0]] * use[3] > 0]
    if not resource.shared or {where for _, _, where, _ in uses} != set(pools):
        return False
    if len(node.stations) > 1 or pools["connections"].slots > MOST_SLOTS:
        return False
    streams, laws = {}, {}
    for name, (slots, limit) in pools.items():
        own = [(node.answer.rates[e] * w, use.law) for e, use, where, w in uses if where == name]
        rate = math.fsum(r for r, _ in own)
        demand = math.fsum(r * law.mean for r, law in own) / rate
        streams[name] = Stream(rate, demand, slots, None if limit is None else slots + limit)
        laws[name] = {law for _, law in own}

    def share(count: int) -> float:
        return float(resource.speeds(1.0, count)[-1]) / count

    chains = beside_each_other(streams["connections"], streams["apply"], share)
    if chains is None:
        return False
    doubts: frozenset[str] = frozenset()
    for name in pools:
        balanced = node.balanced(name)
        doubts |= balanced.arrivals.as_poisson().doubts
        if balanced.targets:
            doubts |= {AT_RANDOM}
    single = all(len(each) == 1 for each in laws.values())
    if not single or not all(
        isinstance(law, Exponential) for each in laws.values() for law in each
    ):
        doubts |= {"cpu as if exponential"}
    *pooled, computing = chains
    through = 0.0
    for (name, stream), chain in zip(streams.items(), pooled, strict=True):
        answer = _answer(node, name, stream, chain, doubts)
        node.answer.pools[name] = answer
        node.answer.leaving[name] = AS_POISSON
        through += stream.rate * (1 - answer.rejected)
    node.answer.resources["cpu"] = StationAnswer(
        computing, computing.mean / through, through, doubts
    )
    return True


def _answer(
    node: Node, name: str, stream: Stream, chain: Occupancy, doubts: frozenset[str]
) -> PoolAnswer:
    lost = float(chain.probability[-1]) if len(chain.probability) - 1 == stream.most else 0.0
    through = stream.rate * (1 - lost)
    depth = chain.excess(stream.slots)
    blocked = (chain.at_least(stream.slots) - lost) / (1 - lost)
    wait = depth / through
    held = (chain.mean - depth) / through
    holds = {}
    for endpoint, program in node.facility.programs.items():
        if program.pool == name:
            own = math.fsum(u.law.mean for e, u, _, _ in node.uses("cpu") if e == endpoint)
            mean = held * own / stream.demand
            holds[endpoint] = times.fitted(mean, mean * mean)
    law = times.fitted(wait, wait * wait * (2 / max(blocked, 1e-12) - 1)) if wait else NOTHING
    return PoolAnswer(
        law, holds, lost, chain.mean - depth, depth, blocked,
        wait_doubts=doubts, hold_doubts=doubts, theorem="Markov chain of both pools",
    )  # fmt: skip
