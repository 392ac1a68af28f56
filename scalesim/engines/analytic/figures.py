"""Figures with a label each: exact, approximate (by what method), or a bound.

They are read from a solution on demand, by metric name; names have their unit at the end.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator

from scalesim.engines.analytic.labels import Figure, labelled
from scalesim.engines.analytic.model import ROOT, Ask, Send, parts_within
from scalesim.engines.analytic.replies import DONE, Reply, one_of
from scalesim.engines.analytic.solver import Solution, Solver
from scalesim.engines.analytic.uses import NodeAnswer
from scalesim.errors import InvalidInput, nearest

__all__ = ["Figures", "resource_names"]

_OWN = ("apply", "message")
"""Endpoints that only their own component asks for."""
_OF_BOTH = ("arrival_rate_rps", "in_flight_mean", "response_time_mean_s")
"""Figures of a component and of each resource of it."""
_NOT_BY_ENDPOINT = ("busy_mean", "utilization", "queue_depth_mean", "in_flight_mean",
                    "response_time_mean_s")  # fmt: skip
_QUANTILE = re.compile(r"^(latency|response_time|wait_time)_p(\d+)(?:_(\d+))?_s$")


def resource_names(solver: Solver) -> list[tuple[str, str]]:
    """Return (component, resource) of everything that has slots, pools first."""
    return [
        (name, resource)
        for name, facility in solver.facilities.items()
        for resource in (*facility.pools, *facility.resources)
    ]


class Figures:
    """The figures of one solution.

    Parameters
    ----------
    solver : Solver
    solution : Solution
    extra : frozenset of str
        Approximations on which all figures rest.
    """

    def __init__(
        self, solver: Solver, solution: Solution, extra: frozenset[str] = frozenset()
    ) -> None:
        self.solver, self.solution, self.extra = solver, solution, extra
        self._rate_doubts = self._find_rate_doubts()

    # Whole model ----------------------------------------------------------------------------

    def reply(self, endpoint: str | None = None) -> Reply:
        """Return what clients get: of one endpoint, or of all."""
        weighted = [
            (share, self.solution.replies[ROOT, name])
            for name, share in self.solver.shares.items()
            if endpoint is None or name == endpoint
        ]
        if not weighted:
            raise _unknown(endpoint or "", self.solver.shares, "endpoint")
        return one_of([(weight or 1e-300, reply) for weight, reply in weighted])

    def metric(
        self,
        name: str,
        component: str | None = None,
        resource: str | None = None,
        endpoint: str | None = None,
    ) -> Figure:
        """Return one figure by name.

        Raises
        ------
        InvalidInput
            There is no such metric, component, resource or endpoint.
        """
        if component is None:
            return self._of_clients(name, endpoint)
        facilities = [each for each in self.solver.facilities if each != ROOT]
        if component not in facilities:
            raise _unknown(component, facilities, "component")
        return self._of_component(name, component, resource, endpoint)

    def _of_clients(self, name: str, endpoint: str | None) -> Figure:
        reply = self.reply(endpoint)
        rate = self.solution.rate
        if endpoint is not None:
            rate *= self.solver.shares[endpoint]
        doubts = reply.doubts | self.extra
        timed = doubts | reply.time_doubts
        quantile = _QUANTILE.match(name)
        if quantile:
            return self._quantile(reply, quantile)
        failed = 1 - reply.completed
        asks = [
            part
            for program in self.solver.facilities[ROOT].programs.values()
            for part in parts_within(program.before)
            if isinstance(part, Ask)
        ]
        lossless = doubts if failed > 1e-15 else self.extra
        known: dict[str, Callable[[], Figure]] = {
            "latency_mean_s": lambda: labelled(reply.time.mean, timed, "sum of means"),
            "throughput_rps": lambda: labelled(rate * reply.completed, lossless, "flow balance"),
            "arrival_rate_rps": lambda: labelled(rate, self.extra, "flow balance"),
            "error_ratio": lambda: labelled(failed, lossless, "product of shares"),
            "rejected_ratio": lambda: labelled(reply.rejected, lossless, "product of shares"),
            "timed_out_ratio": lambda: labelled(reply.timed_out, lossless, "tail of the law"),
            "failed_ratio": lambda: labelled(reply.failed, lossless, "product of shares"),
            "in_flight_mean": lambda: labelled(
                rate * reply.spent, doubts | lossless, "Little"
            ),
            "retry_amplification": lambda: labelled(
                math.fsum(self.solution.flows.rate[ask.to] for ask in asks) / self.solution.rate,
                lossless, "attempts for each request",
            ),
        }  # fmt: skip
        if name not in known:
            raise _unknown(name, [*known, "latency_p99_s"], "metric of the whole model")
        return known[name]()

    def _quantile(self, reply: Reply, match: re.Match[str]) -> Figure:
        whole, part = match.group(2), match.group(3) or ""
        p = float(f"{whole}.{part or 0}") / 100
        if not 0 < p < 1:
            raise InvalidInput(f"{match.string}: a quantile is above 0 and below 100 percent")
        doubts = reply.doubts | reply.time_doubts | self.extra
        if not reply.law_known:
            doubts |= {"gamma-fitted law"}
        # Sums may have constants in part of their cases, which fall between points of the grid.
        close = match.group(1) == "wait_time" and reply.time.fine > 1
        error = "0.01 % of it or of the mean" if close else "0.5 %"
        return labelled(reply.time.quantile(p), doubts, f"law on a grid, within {error}")

    # One component ---------------------------------------------------------------------------

    def _of_component(
        self, name: str, component: str, resource: str | None, endpoint: str | None
    ) -> Figure:
        facility = self.solver.facilities[component]
        if endpoint is not None and endpoint not in facility.programs:
            raise _unknown(endpoint, facility.programs, f'endpoint of "{component}"')
        if resource is None:
            resource = self._meant(name, component) if endpoint is None else ""
            if not resource:
                figure = self._of_whole(name, component, endpoint)
                if figure is not None:
                    return figure
                resource = next(iter((*facility.pools, *facility.resources)), "")
        elif resource == "consumers" and name == "rejected_ratio":
            return labelled(0.0, frozenset(), "messages are turned away from the room")
        return self._of_station(name, component, resource, endpoint)

    def _meant(self, name: str, component: str) -> str:
        """Return the resource whose figure simulations give for the component, its only one."""
        facility = self.solver.facilities[component]
        known = [*facility.pools, *facility.resources]
        # A service has processors, used or not.
        several = len(known) != 1 or facility.type_name == "service" or self._has_room(component)
        return known[0] if name in _OF_BOTH and not several else ""

    def _of_whole(self, name: str, component: str, endpoint: str | None) -> Figure | None:
        """Return a figure of a component, None if that one is of resources only."""
        flows = self.solution.flows
        if name == "hit_ratio" and component in flows.miss:
            doubts = self.extra | flows.hit_doubts(component)
            return labelled(1 - flows.miss[component], doubts, "hits of each key")
        if name.startswith(("response_time_", "replication_lag_", "message_time_")):
            reply = self._response(name, component, endpoint)
            quantile = _QUANTILE.match(name)
            if quantile:
                return self._quantile(reply, quantile)
            if name.endswith("_mean_s"):
                doubts = reply.doubts | reply.time_doubts | self.extra
                return labelled(reply.time.mean, doubts, "sum of means")
        if name in ("arrival_rate_rps", "in_flight_mean"):
            return self._through(name, component, endpoint)
        return None

    def _of_station(self, name: str, component: str, resource: str, endpoint: str | None) -> Figure:
        facility = self.solver.facilities[component]
        if resource == "room" and self._has_room(component):
            return self._of_room(name, component)
        if resource in facility.pools:
            return self._of_pool(name, component, resource, endpoint, _QUANTILE.match(name))
        if resource not in facility.resources:
            known = [*facility.pools, *facility.resources]
            raise _unknown(resource, known, f'resource of "{component}"')
        if endpoint is not None:
            raise InvalidInput(f'"{component}.{resource}" has no figures of one endpoint')
        return self._of_resource(name, component, resource)

    def _response(self, name: str, component: str, endpoint: str | None) -> Reply:
        """Return what a component, or one endpoint, answers; publishers of a queue do not wait."""
        what = name.rsplit("_", 2)[0]
        if what == "response_time" and "message" in self.solver.facilities[component].programs:
            what = "message_time"
        endpoint = {"replication_lag": "apply", "message_time": "message"}.get(what, endpoint)
        places = [
            place
            for place in self.solver.order
            if place[0] == component
            and (place[1] == endpoint if endpoint else place[1] not in _OWN)
        ]
        weighted = [
            (self.solution.flows.rate[place] or 1e-300, self.solution.replies[place])
            for place in places
        ]
        return one_of(weighted)

    def _through(self, name: str, component: str, endpoint: str | None) -> Figure:
        doubts = self._rate_doubts.get(component, frozenset()) | self.extra
        rates = {
            place: self.solution.flows.rate[place]
            for place in self.solver.order
            if place[0] == component and endpoint in (None, place[1])
        }
        if name == "arrival_rate_rps":
            asked = [rate for place, rate in rates.items() if endpoint or place[1] not in _OWN]
            return labelled(math.fsum(asked), doubts, "flow balance")
        total = 0.0
        for place, rate in rates.items():
            reply = self.solution.replies[place]
            total += rate * reply.spent
            doubts |= reply.doubts if rate else frozenset()
        return labelled(total, doubts, "Little")

    def _nodes(self, component: str) -> Iterator[tuple[NodeAnswer, int]]:
        for answer in self.solution.nodes.get(component, []):
            yield answer, len(answer.members)

    def _of_pool(
        self,
        name: str,
        component: str,
        pool: str,
        endpoint: str | None,
        quantile: re.Match[str] | None,
    ) -> Figure:
        slots = self.solver.facilities[component].pools[pool].slots
        programs = self.solver.facilities[component].programs
        mine = [e for e, p in programs.items() if p.pool == pool and endpoint in (None, e)]
        found = [
            (math.fsum(a.rates[e] for e in mine), count, a.pools[pool])
            for a, count in self._nodes(component)
            if pool in a.pools
        ]
        rate = math.fsum(count * r for r, count, _ in found)
        nodes = self.solver.facilities[component].nodes_with(pool)
        rates = self._rate_doubts.get(component, frozenset()) | self.extra
        waits = rates.union(*(p.wait_doubts for r, _, p in found if r))
        holds = rates.union(*(p.hold_doubts for r, _, p in found if r))
        rejected = math.fsum(r * c * p.rejected for r, c, p in found) / rate if rate else 0.0
        left = math.fsum(r * c * p.abandoned for r, c, p in found) / rate if rate else 0.0
        lossy = waits if rejected + left > 1e-15 else rates
        theorem = ", ".join(sorted({p.theorem for r, _, p in found if r}))
        urgency = programs[endpoint].urgency if endpoint else -1
        weighted = [(r * c * p.admitted, Reply(p.waits.get(urgency, p.wait), doubts=p.wait_doubts))
                    for r, c, p in found if r]  # fmt: skip
        if quantile and quantile.group(1) == "wait_time":
            reply = one_of(weighted) if weighted else DONE
            return self._quantile(reply._replace(doubts=waits), quantile)

        def mean(value: Callable[[int], float]) -> float:
            total = math.fsum(found[i][0] * found[i][1] * value(i) for i in range(len(found)))
            return total / rate if rate else 0.0

        busy = math.fsum(c * p.busy for _, c, p in found)
        inside = busy + math.fsum(c * p.depth for _, c, p in found)
        through = rate * (1 - rejected - left)
        known: dict[str, Callable[[], Figure]] = {
            "wait_time_mean_s": lambda: labelled(
                one_of(weighted).time.mean if weighted else 0.0, waits, theorem
            ),
            "wait_probability": lambda: labelled(
                mean(lambda i: found[i][2].wait_probability), waits, theorem
            ),
            "queue_depth_mean": lambda: labelled(
                math.fsum(c * p.depth for _, c, p in found), waits, theorem
            ),
            "busy_mean": lambda: labelled(busy, holds | lossy, "Little"),
            "utilization": lambda: labelled(busy / (slots * nodes), holds | lossy, "Little"),
            "rejected_ratio": lambda: labelled(rejected, lossy, theorem),
            "throughput_rps": lambda: labelled(through, lossy, "flow balance"),
            "abandoned_ratio": lambda: labelled(left, lossy, theorem),
            "arrival_rate_rps": lambda: labelled(rate, rates, "flow balance"),
            "in_flight_mean": lambda: labelled(inside, holds | lossy | waits, "Little"),
            "response_time_mean_s": lambda: labelled(
                inside / through if through else 0.0, holds | lossy | waits, "Little"
            ),
        }
        if pool == "consumers":  # what is turned away does not come to them
            known["arrival_rate_rps"] = known["throughput_rps"]
        for each in _NOT_BY_ENDPOINT if endpoint is not None else ():
            del known[each]
        if name not in known:
            raise _unknown(name, known, f'metric of "{component}.{pool}"')
        return known[name]()

    def _has_room(self, component: str) -> bool:
        consumers = self.solver.facilities[component].pools.get("consumers")
        return consumers is not None and consumers.limit is not None

    def _of_room(self, name: str, component: str) -> Figure:
        """Return a figure of the room of a queue, in which messages wait for a consumer."""
        if name == "arrival_rate_rps":
            return self._through(name, component, "publish")
        own = {"rejected_ratio": "rejected_ratio", "throughput_rps": "throughput_rps",
               "in_flight_mean": "queue_depth_mean"}  # fmt: skip
        if name not in own:
            known = ["arrival_rate_rps", *own]
            raise _unknown(name, known, f'metric of "{component}.room"')
        return self._of_pool(own[name], component, "consumers", None, None)

    def _of_resource(self, name: str, component: str, resource: str) -> Figure:
        facility = self.solver.facilities[component]
        slots = facility.resources[resource].slots
        work = served = 0.0
        stations = []
        for answer, count in self._nodes(component):
            rate, seconds = answer.demands[resource]
            work += count * seconds
            served += count * rate
            if resource in answer.resources:
                stations.append((count, answer.resources[resource]))
        rates = self._rate_doubts.get(component, frozenset()) | self.extra
        rates = rates.union(
            *(reply.doubts for answer, _ in self._nodes(component)
              for reply in answer.replies.values() if reply.completed < 1 - 1e-12)
        )  # fmt: skip
        doubts = rates.union(*(s.doubts for _, s in stations))
        inside = math.fsum(c * s.rate * s.response for c, s in stations) or work
        # Waiting in line or sharing: both are the time beyond the demand itself.
        depth = max(inside - work, 0.0)
        wait = depth / served if served else 0.0
        busy, theorem, uses = work, "utilization law", rates
        if facility.resources[resource].slowed:  # cores are busy for longer than the demand
            depth = math.fsum(c * s.occupancy.excess(slots) for c, s in stations)
            busy = math.fsum(c * s.occupancy.mean for c, s in stations) - depth
            theorem, uses = "birth-death chain", doubts
        known = {
            "utilization": labelled(busy / (slots * facility.nodes), uses, theorem),
            "busy_mean": labelled(busy, uses, theorem),
            "queue_depth_mean": labelled(depth, doubts, "birth-death chain"),
            "wait_time_mean_s": labelled(wait, doubts, "birth-death chain"),
            "throughput_rps": labelled(served, rates, "flow balance"),
            "arrival_rate_rps": labelled(served, rates, "flow balance"),
            "in_flight_mean": labelled(inside, doubts, "birth-death chain"),
            "response_time_mean_s": labelled(
                inside / served if served else 0.0, doubts, "birth-death chain"
            ),
        }
        if name not in known:
            raise _unknown(name, known, f'metric of "{component}.{resource}"')
        return known[name]

    def _find_rate_doubts(self) -> dict[str, frozenset[str]]:
        """Return what each component's rates rest on: callers' losses, retries, hit ratios."""
        found: dict[str, frozenset[str]] = {}
        for name, endpoint in self.solver.order:
            program = self.solver.facilities[name].programs[endpoint]
            own = found.get(name, frozenset())
            for part in parts_within((*program.before, *program.inside, *program.after)):
                if not isinstance(part, (Ask, Send)):
                    continue
                doubts = own
                if isinstance(part, Ask):
                    doubts |= self.solution.flows.hit_doubts(part.missed)
                    doubts |= {"fixed point of retries"} if part.retry is not None else frozenset()
                reply = self.solution.replies.get((name, endpoint))
                if reply is not None and reply.completed < 1 - 1e-12:
                    doubts |= reply.doubts
                found[part.to[0]] = found.get(part.to[0], frozenset()) | doubts
        return found


def _unknown(name: str, known: object, what: str) -> InvalidInput:
    names = list(known)  # type: ignore[call-overload]
    return InvalidInput(
        f'there is no {what} "{name}". {nearest(name, names)}Known: {", ".join(names)}'
    )
