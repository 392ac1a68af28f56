"""Groups of users: one closed network with a class of requests for each group.

Exact by convolution where the product of the populations is small (Baskett, Chandy, Muntz &
Palacios, JACM 22, 1975; Bruell & Balbo, "Computational algorithms for closed queueing networks",
1980), else by Chandy's and Neuse's Linearizer, an approximation of mean value analysis.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from scalesim.components import Cache
from scalesim.distributions import Distribution
from scalesim.engines.analytic.closed import MOST_USERS, Network, require_covered
from scalesim.engines.analytic.figures import Figures
from scalesim.engines.analytic.labels import Figure, labelled
from scalesim.engines.analytic.model import Ask, parts_within
from scalesim.engines.analytic.networks import linearizer
from scalesim.engines.analytic.occupancy import Occupancy
from scalesim.engines.analytic.replies import one_of
from scalesim.engines.analytic.results import AnalyticResults
from scalesim.engines.analytic.solver import Solver
from scalesim.engines.analytic.stations import NO_DOUBT
from scalesim.errors import Problem, UnsupportedByEngine
from scalesim.topology import Topology
from scalesim.traffic import ClosedTraffic, UserGroups

__all__ = ["Classes", "convolved", "solve_groups"]

_MOST_STATES = 4000
_APPROXIMATE = "Linearizer"
_SERVERS = "servers as a queue and a delay"
_SPEEDS = "speeds as of so many servers"
_EXACT_OF_ALL = ("latency_mean_s", "throughput_rps", "arrival_rate_rps", "in_flight_mean",
                 "error_ratio", "rejected_ratio", "timed_out_ratio", "failed_ratio",
                 "utilization", "busy_mean", "queue_depth_mean", "wait_time_mean_s")  # fmt: skip

_HELD = ("utilization", "busy_mean", "in_flight_mean")


class Classes(NamedTuple):
    """Answers of a closed network with several classes.

    Parameters
    ----------
    throughput : float array [classes] [requests/s]
    inside : list of float array
        Of each station, the distribution of the number there, all classes together.
    by_class : list of list of float array [stations][classes]
        The same of each class.
    """

    throughput: np.ndarray
    inside: list[np.ndarray]
    by_class: list[list[np.ndarray]]


def convolved(
    users: Sequence[int],
    delays: Sequence[float],
    demands: Sequence[Sequence[float]],
    relative: Sequence[np.ndarray],
) -> Classes | None:
    """Return the exact answers of a product-form network; None if its terms exceed a number.

    Parameters
    ----------
    users : sequence of int [classes]
    delays : sequence of float [s] [classes]
        What a round takes without queueing.
    demands : sequence of sequence of float [s] [stations][classes]
        Of a round, alone at the station.
    relative : sequence of float array [stations]
        Speed of a station with 1, 2, ... present, relative to that with one.

    Examples
    --------
    >>> import numpy as np
    >>> found = convolved([20], [1.0], [[0.05]], [np.ones(20)])
    >>> round(float(found.throughput[0]), 6)
    16.822161
    """
    from scipy.signal import convolve
    from scipy.special import gammaln

    shape = tuple(count + 1 for count in users)
    numbers = np.indices(shape)
    whole = numbers.sum(axis=0)
    log_each = gammaln(numbers + 1).sum(axis=0)
    # About the throughput of each class by itself, so that the terms are neither huge nor tiny.
    scale = np.ones(len(users))
    for r, (count, delay) in enumerate(zip(users, delays, strict=True)):
        slowest = max((d[r] / float(s.max()) for d, s in zip(demands, relative, strict=True)),
                      default=0.0)  # fmt: skip
        around = max(delay + math.fsum(d[r] for d in demands), 1e-300)
        scale[r] = min(max(count, 1) / around, 1 / slowest if slowest else math.inf)

    def factor(amounts: Sequence[float], speed: np.ndarray | None) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log(np.asarray(amounts) * scale)
            terms = np.where(numbers == 0, 0.0, numbers * logs.reshape(-1, *[1] * len(shape)))
        total = terms.sum(axis=0) - log_each
        if speed is not None:
            slower = np.concatenate([[0.0], np.cumsum(np.log(speed[: sum(users)]))])
            total = total + gammaln(whole + 1) - slower[whole]
        found: np.ndarray = np.exp(total)
        return found

    def product(parts: list[np.ndarray]) -> np.ndarray:
        found = np.zeros(shape)
        found[(0,) * len(shape)] = 1.0
        for part in parts:
            full = convolve(found, part, method="direct")
            found = full[tuple(slice(count) for count in shape)]
        return found

    factors = [factor(d, s) for d, s in zip(demands, relative, strict=True)]
    thinking = [factor(delays, None)]
    constant = product([*factors, *thinking])
    top = tuple(users)
    if not (np.isfinite(constant).all() and constant[top] > 0):
        return None
    throughput = np.zeros(len(users))
    for r, count in enumerate(users):
        if count:
            fewer = (*top[:r], count - 1, *top[r + 1 :])
            throughput[r] = constant[fewer] / constant[top] * scale[r]
    inside, by_class = [], []
    for i, own in enumerate(factors):
        others = product([f for k, f in enumerate(factors) if k != i] + thinking)
        chances = (own * np.flip(others) / constant[top]).ravel()
        inside.append(np.bincount(whole.ravel(), chances, sum(users) + 1))
        by_class.append([np.bincount(each.ravel(), chances) for each in numbers])
    return Classes(throughput, inside, by_class)


class AnalyticGroups(AnalyticResults):
    """Analytic results under several groups of users."""

    groups: dict[str, tuple[float, float]]
    """Requests a second of each group, and how long one takes on average, however it ends [s]."""
    by_group: list[Figures]
    """Of each group; empty where requests wait for slots, which answers for all groups alike."""
    endpoints: dict[str, str]
    """Endpoint that only one group asks for, and which asks for nothing else: the group."""

    def metric(
        self,
        name: str,
        component: str | None = None,
        resource: str | None = None,
        endpoint: str | None = None,
    ) -> Figure:
        if component is None and name == "latency_mean_s" and self.by_group:
            return self._latency(endpoint)
        figure = super().metric(name, component, resource, endpoint)
        alone = "" if component else self.endpoints.get(endpoint or "", "")
        if alone and name == "latency_mean_s" and self.figures.reply(endpoint).completed == 1:
            return figure._replace(value=self.groups[alone][1])  # Little's law knows no outcomes
        if figure.kind == "bound" or (endpoint is None and self._of_all(name, component, resource)):
            return figure
        if component is None and name == "throughput_rps":
            return figure
        methods = [] if figure.kind == "exact" else figure.method.split(", ")
        return Figure(
            figure.value, "approximate", ", ".join(sorted({*methods, "groups as if alike"}))
        )

    def _of_all(self, name: str, component: str | None, resource: str | None) -> bool:
        """Return whether a figure of all requests is right although it knows one class only."""
        if component is None and name == "latency_mean_s":
            return self.figures.reply().completed == 1
        if component is not None and name in _HELD:
            facility = self.solver.facilities[component]
            # What is called may answer the requests of another group sooner.
            return resource in facility.resources or not any(
                isinstance(part, Ask)
                for program in facility.programs.values()
                for part in parts_within((*program.before, *program.inside, *program.after))
            )
        return name in _EXACT_OF_ALL

    def _latency(self, endpoint: str | None) -> Figure:
        """Return the mean latency of those completed, from each group's own responses."""
        found = []
        for each in self.by_group:
            share = 1.0 if endpoint is None else each.solver.shares.get(endpoint, 0.0)
            if share > 0:
                found.append((each.solution.rate * share, each.reply(endpoint)))
        doubts = self.figures.extra.union(*(reply.doubts for _, reply in found))
        return labelled(one_of(found).time.mean, doubts, "sum of means")

    def summary(self) -> str:
        lines = [super().summary()]
        for name, (rate, time) in self.groups.items():
            lines.append(f"group {name}: {rate:,.6g} requests/s, each {time:,.6g} s on average")
        return "\n".join(lines)


def solve_groups(topology: Topology, traffic: UserGroups) -> AnalyticResults:
    """Return the analytic results under groups of users.

    Raises
    ------
    UnsupportedByEngine
        With every feature that is not covered, or the first pool that can run out of slots and is
        not the same for all.
    """
    total = sum(group.users for group in traffic.groups.values())
    if total > MOST_USERS:
        message = f"got {total} users, at most {MOST_USERS} are covered"
        raise UnsupportedByEngine([Problem("traffic: groups", message)])
    networks = []
    for group in traffic.groups.values():
        own = _closed(traffic, total, group.mix or traffic.mix, group.think_time)
        solver = Solver(topology, own)
        require_covered(solver, own)
        networks.append(Network(solver, own, 1.0))
    _require_rates_alike(topology, networks)
    keys = list(dict.fromkeys(key for network in networks for key in network.keys))
    demands, relative = _stations(keys, networks, total)
    doubts = frozenset[str]().union(*(network.doubts for network in networks))
    users = [group.users for group in traffic.groups.values()]
    delays = [network.delay for network in networks]
    found = None
    if math.prod(count + 1 for count in users) <= _MOST_STATES:
        found = convolved(users, delays, demands, relative)
    if found is None:
        servers = [max(round(float(speed.max())), 1) for speed in relative]
        doubts |= {_APPROXIMATE}.union(*map(_server_doubts, servers, relative))
        rates, responses = linearizer(users, delays, np.transpose(demands).tolist(), servers)
        present = rates[:, None] * responses
        found = Classes(
            rates,
            [_about(float(x)) for x in present.sum(axis=0)],
            [[_about(float(x)) for x in station] for station in present.T],
        )
    whole = float(found.throughput.sum())
    mix: dict[str, float] = {}
    for network, rate in zip(networks, found.throughput, strict=True):
        for endpoint, share in network.solver.shares.items():
            mix[endpoint] = mix.get(endpoint, 0.0) + rate / whole * share
    first = next(iter(traffic.groups.values()))
    all_users = _closed(traffic, total, mix, first.think_time)
    combined = Network(Solver(topology, all_users), all_users, whole)
    combined.doubts |= doubts
    combined.throughput = whole
    order = {key: i for i, key in enumerate(keys)}
    marginals = {key: Occupancy(found.inside[order[key]]) for key in combined.keys}
    results = AnalyticGroups(
        topology, traffic, combined.solver, combined.solution(marginals), combined.doubts
    )
    results._set(
        groups={
            name: (float(rate), group.users / float(rate) - group.think_time.mean)
            for (name, group), rate in zip(traffic.groups.items(), found.throughput, strict=True)
        },
        by_group=_by_group(networks, found, order, doubts),
        endpoints=_own_endpoints(traffic, networks),
    )
    return results


def _by_group(
    networks: list[Network],
    found: Classes,
    order: Mapping[tuple[str, int, str], int],
    doubts: frozenset[str],
) -> list[Figures]:
    """Return the figures of each group, from its own requests at each station."""
    own = []
    for number, network in enumerate(networks):
        solver = network.solver
        if any(key[2] in solver.facilities[key[0]].pools for key in network.keys):
            return []
        alone = Network(solver, network.traffic, float(found.throughput[number]))
        alone.doubts |= doubts
        present = {key: Occupancy(found.by_class[order[key]][number]) for key in alone.keys}
        own.append(Figures(solver, alone.solution(present), doubts))
    return own


def _require_rates_alike(topology: Topology, networks: list[Network]) -> None:
    """Refuse what changes with the throughput, which is found for all groups at once."""
    advice = 'under groups of users the analytic engine does not cover it; use engine="compiled"'
    problems = [
        Problem(f'"{component}": {pool}: a bound on the waiting line', advice)
        for component, _, pool in dict.fromkeys(key for each in networks for key in each.limits)
    ]
    for name in sorted(networks[0].with_origins()):
        cache = topology.components[name]
        assert isinstance(cache, Cache)
        if cache.hit_ratio is None and math.isfinite(min(cache.ttl, cache.time_to_idle)):
            problems.append(Problem(f'cache "{name}": expiry with an origin', advice))
    if problems:
        raise UnsupportedByEngine(problems)


def _closed(
    traffic: UserGroups, users: int, mix: Mapping[str, float] | None, think_time: Distribution
) -> ClosedTraffic:
    """Return closed traffic with what is common to all groups."""
    common: dict[str, Any] = {
        each.name: getattr(traffic, each.name)
        for each in dataclasses.fields(traffic)
        if each.name != "groups"
    }
    common |= {"users": users, "think_time": think_time, "mix": mix}
    return ClosedTraffic(**common)


def _stations(
    keys: list[tuple[str, int, str]], networks: list[Network], total: int
) -> tuple[list[list[float]], list[np.ndarray]]:
    """Return each station's demand by class, and its relative speeds, which must be common."""
    demands, relative = [], []
    for key in keys:
        speeds = []
        row = []
        for network in networks:
            if key not in network.keys:
                row.append(0.0)
                continue
            visits, speed = network.stations[network.keys.index(key)]
            row.append(visits / float(speed[0]))
            speeds.append(speed[:total] / speed[0])
        component, _, resource = key
        facility = networks[0].solver.facilities[component]
        # First come first served keeps the product form only if all services are alike.
        sharing = resource in facility.resources and facility.resources[resource].shared
        services = {
            round(float(network.stations[network.keys.index(key)][1][0]), 9)
            for network in networks if key in network.keys
        }  # fmt: skip
        alike = all(np.allclose(speed, speeds[0], rtol=1e-9) for speed in speeds)
        if not alike or not (sharing or len(services) == 1):
            message = "covered for groups of users if it serves all alike or shares its processors"
            raise UnsupportedByEngine(
                [Problem(f'"{component}": {resource}', f'{message}; use engine="compiled"')]
            )
        demands.append(row)
        relative.append(speeds[0])
    return demands, relative


def _server_doubts(servers: int, relative: np.ndarray) -> frozenset[str]:
    """Return what the Linearizer rests on at a station with these speeds."""
    if not np.allclose(relative, np.minimum(np.arange(1, len(relative) + 1), servers)):
        return frozenset({_SPEEDS})
    return frozenset({_SERVERS}) if servers > 1 else NO_DOUBT


def _about(mean: float) -> np.ndarray:
    """Return the probabilities of the two whole numbers around a mean."""
    low = math.floor(mean)
    chances = np.zeros(low + 2)
    chances[low], chances[low + 1] = low + 1 - mean, mean - low
    return chances


def _own_endpoints(traffic: UserGroups, networks: list[Network]) -> dict[str, str]:
    asked: dict[str, list[str]] = {}
    wanted: dict[str, list[str]] = {}
    for name, network in zip(traffic.groups, networks, strict=True):
        wanted[name] = [e for e, share in network.solver.shares.items() if share > 0]
        for endpoint in wanted[name]:
            asked.setdefault(endpoint, []).append(name)
    return {
        endpoint: who[0] for endpoint, who in asked.items()
        if len(who) == 1 and wanted[who[0]] == [endpoint]
    }  # fmt: skip
