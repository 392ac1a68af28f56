"""Components as facilities: what each says, without its numbers of visits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from scalesim.components import (
    Cache,
    Component,
    Database,
    LoadBalancer,
    MessageQueue,
    RateLimiter,
    Service,
    Workflow,
)
from scalesim.components.calls import Call
from scalesim.components.service import Endpoint
from scalesim.components.steps import (
    Compute,
    Fail,
    Parallel,
    Publish,
    Sleep,
    computations_at_once,
)
from scalesim.distributions import Constant, Distribution
from scalesim.engines.analytic.model import (
    ROOT,
    Ask,
    Choice,
    Either,
    Facility,
    Failing,
    Fork,
    Part,
    Pause,
    PoolSize,
    Program,
    Resource,
    Send,
    Use,
    Visits,
)
from scalesim.engines.analytic.priorities import ORDERS
from scalesim.kernels.draws import hash_below
from scalesim.policies.load_balancing import BalancingPolicy, IpHash
from scalesim.topology import Topology, resolve
from scalesim.traffic import AnyTraffic, Popularity

__all__ = ["MOST_KEYS", "key_shares", "lowered"]

MOST_KEYS = 1_000_000
"""Above so many keys (or clients) their popularity is not looked at one by one."""


def lowered(topology: Topology, traffic: AnyTraffic) -> dict[str, Facility]:
    """Return the facilities of a topology, and that of the client, which asks the entry."""
    lowering = _Lowering(topology, traffic)
    facilities = {name: lowering.facility(part) for name, part in topology.components.items()}
    programs = {}
    for name in topology.entry_endpoints:
        to = f"{topology.entry}.{name}"
        programs[name] = Program(before=(lowering.ask(to, traffic.timeout, traffic.retry),))
    facilities[ROOT] = Facility(ROOT, ROOT, programs=programs)
    return facilities


def key_shares(popularity: Popularity | None) -> np.ndarray | None:
    """Return each key's share of the requests; None if there are too many to look at."""
    if popularity is None or popularity.count > MOST_KEYS:
        return None
    weights = popularity.weights()
    if weights is None:
        return np.full(popularity.count, 1.0 / popularity.count)
    shares: np.ndarray = weights / weights.sum()
    return shares


def _share_by(place: Callable[..., Any], shares: np.ndarray, count: int) -> np.ndarray:
    """Return what each of `count` places gets of keys that `place` puts there, all at once."""
    owners = place(np.arange(len(shares), dtype=np.uint64), count).astype(np.int64)
    total: np.ndarray = np.bincount(owners, shares, count)
    return total


class _Lowering:
    def __init__(self, topology: Topology, traffic: AnyTraffic) -> None:
        self.topology, self.traffic = topology, traffic
        self.parts: Mapping[str, Component] = topology.components

    def ask(
        self, target: str, timeout: float | None = None, retry: Any = None, missed: str = ""
    ) -> Ask:
        return Ask(resolve(self.parts, target), 1.0, None, timeout, retry, missed)

    def facility(self, part: Component) -> Facility:
        if isinstance(part, Service):
            return self.service(part)
        if isinstance(part, Database):
            return self.database(part)
        if isinstance(part, Cache):
            return self.cache(part)
        if isinstance(part, LoadBalancer):
            return self.balancer(part)
        if isinstance(part, Workflow):
            return self.workflow(part)
        if isinstance(part, RateLimiter):
            return self.limiter(part)
        assert isinstance(part, MessageQueue)
        return self.queue(part)

    def spread(
        self, owner: str, policy: BalancingPolicy, weights: Sequence[float]
    ) -> tuple[float, ...]:
        """Return each target's share of a balancer's requests in the long run."""
        if isinstance(policy, IpHash):
            clients = key_shares(self.traffic.clients)
            count = len(weights)
            if clients is None:
                return tuple([1.0 / count] * count)
            return tuple(_share_by(hash_below, clients, count))
        total = sum(weights)
        return tuple(weight / total for weight in weights)

    def steps(self, steps: Sequence[Any]) -> tuple[Part, ...]:
        return tuple(self.step(each) for each in steps)

    def step(self, step: Any) -> Part:
        if isinstance(step, Compute):
            return Use("cpu", step.demand)
        if isinstance(step, Sleep):
            return Pause(step.time)
        if isinstance(step, Call):
            return self.ask(step.to, step.timeout, step.retry)
        if isinstance(step, Fail):
            return Failing(step.probability)
        if isinstance(step, Publish):
            return Send((step.to, "publish"))
        assert isinstance(step, Parallel)
        branches = tuple(self.steps(branch) for branch in step.branches)
        return Fork(branches, step.wait_for or 0)

    def service(self, part: Service) -> Facility:
        widest = max(computations_at_once(each.steps) for each in part.endpoints.values())
        # Branches left over compute on after their request has given its worker back.
        left_over = any(
            isinstance(each, Parallel) and each.wait_for is not None and each.computations
            for endpoint in part.endpoints.values()
            for each in endpoint.steps
        )
        most = MOST_KEYS if left_over else part.workers * widest
        resources = {"cpu": _cpu(part, most)} if widest else {}
        for name in ("network_in", "network_out"):
            if getattr(part, name) is not None:
                resources[name] = Resource(1)
        programs = {}
        for name, endpoint in part.endpoints.items():
            inward = self.transfer("network_in", part.network_in, endpoint, "request_bytes")
            outward = self.transfer("network_out", part.network_out, endpoint, "response_bytes")
            steps = self.steps(endpoint.steps)
            programs[name] = Program("workers", inward, steps, outward, endpoint.priority)
        spread = {}
        if part.instances > 1:
            shares = np.asarray(self.spread(part.name, part.balancing, [1.0] * part.instances))
            choice = Choice(part.name, part.balancing, shares, part.instances)
            spread = dict.fromkeys(programs, choice)
        pool = {"workers": PoolSize(part.workers, part.backlog)}
        return Facility(
            part.name, part.type_name, part.instances, pool, resources, programs, spread,
            part.backlog_order, part.queue_timeout,
        )  # fmt: skip

    def transfer(
        self, resource: str, bandwidth: float | None, endpoint: Endpoint, field: str
    ) -> tuple[Part, ...]:
        if bandwidth is None:
            return ()
        size: Distribution | None = getattr(endpoint, field) or getattr(self.traffic, field)
        assert size is not None  # `misfits` has seen to it
        return (Use(resource, _Scaled(size, 1 / bandwidth)),)

    def database(self, part: Database) -> Facility:
        group, nodes = part.nodes_per_shard, part.nodes
        slots = part.connections + (1 if part.read_replicas else 0)
        resources = {"cpu": _cpu(part, slots)}
        if part.disk_iops is not None:
            resources["disk"] = Resource(1)
        pools = {"connections": PoolSize(part.connections, part.queue_limit)}

        def work(demand: Distribution, ios: float) -> tuple[Part, ...]:
            uses: list[Part] = [Use("cpu", demand)] if demand.mean > 0 else []
            if part.disk_iops is not None and ios > 0:
                uses.append(Use("disk", Constant(ios / part.disk_iops)))
            return tuple(uses)

        programs = {
            "read": Program("connections", inside=work(part.read, part.read_ios)),
            "write": Program("connections", inside=work(part.write, part.write_ios)),
        }
        if part.read_replicas:
            pools["apply"] = PoolSize(1)
            sends: tuple[Part, ...] = (Send((part.name, "apply")),)
            programs["write"] = Program("connections", inside=programs["write"].inside, after=sends)
            programs["apply"] = Program(
                "apply", inside=work(part.apply or part.write, part.write_ios)
            )
        first = 0
        if part.read_replicas and part.reads_from != "primary":
            first = 0 if part.reads_from == "all" else 1
            readers = range(first, group)
        else:
            readers = range(1)
        shard = self.shard_shares(part)
        spread = {}
        if nodes > 1:
            within = {"read": readers, "write": range(1), "apply": range(1, group)}
            for name in programs:
                chosen = within[name]
                shares = np.zeros((part.shards, group))
                # Every replica applies every write: shares of applies sum to the replicas.
                shares[:, list(chosen)] = 1.0 if name == "apply" else 1 / len(chosen)
                shares *= shard[:, None]
                # No replica is chosen for an apply, so that none gets every second one, say.
                targets = 1 if name == "apply" else len(chosen)
                owner = f"{part.name}.{name}"
                spread[name] = Choice(owner, part.balancing, shares.ravel(), targets)
        homes = {"apply": part.shards * part.read_replicas}
        return Facility(
            part.name, part.type_name, nodes, pools, resources, programs, spread, homes=homes
        )

    def shard_shares(self, part: Database) -> np.ndarray:
        """Return each shard's share of the queries."""
        even = np.full(part.shards, 1 / part.shards)
        if part.shards == 1:
            return even
        by_key = part.shard_key == "key"
        shares = key_shares(self.traffic.keys if by_key else self.traffic.clients)
        if shares is None:
            return even
        shard_of = type(part.sharding).shard_of
        return _share_by(
            lambda keys, shards: shard_of(keys, shards, len(shares), ()), shares, part.shards
        )

    def cache(self, part: Cache) -> Facility:
        resources: dict[str, Resource] = {}
        operate: tuple[Part, ...] = (Pause(part.delay),) if part.delay.mean > 0 else ()
        if part.concurrency is not None and operate:
            resources["slots"] = Resource(part.concurrency)
            operate = (Use("slots", part.delay),)
        get = operate
        if part.origin is not None:
            get = (*operate, self.ask(part.origin, missed=part.name))
        programs = {
            "get": Program(before=get),
            "set": Program(before=operate),
            "delete": Program(before=operate),
        }
        looked_up = part.hit_ratio is None
        return Facility(part.name, part.type_name, 1, {}, resources, programs, looked_up=looked_up)

    def balancer(self, part: LoadBalancer) -> Facility:
        members: list[tuple[str, int]] = []
        weights: list[float] = []
        for target in part.targets:
            given = (part.weights or {}).get(target, (1.0,))
            for node in range(self.parts[target].instance_count):
                members.append((target, node))
                weights.append(given[node] if len(given) > 1 else given[0])
        shares = np.asarray(self.spread(part.name, part.policy, weights))
        even = bool(np.ptp(weights) < 1e-9 * max(weights))
        programs = {}
        forward: tuple[Part, ...] = (Pause(part.delay),) if part.delay.mean > 0 else ()
        for endpoint in self.topology.endpoints(part.name):
            asks = []
            for target in part.targets:
                own = np.asarray([m[0] == target for m in members])
                part_of = float(shares[own].sum())
                if part_of == 0:
                    continue
                choice = Choice(
                    part.name, part.policy, shares[own] / part_of, len(members), part_of, even
                )
                asks.append(Ask((target, endpoint), part_of, choice))
            programs[endpoint] = Program(before=(*forward, Either(tuple(asks))))
        return Facility(part.name, part.type_name, programs=programs)

    def limiter(self, part: RateLimiter) -> Facility:
        programs = {}
        for endpoint in self.topology.endpoints(part.name):
            after = () if part.target is None else (self.ask(f"{part.target}.{endpoint}"),)
            programs[endpoint] = Program("rate", after=after)
        pools = {"rate": PoolSize(1)}
        return Facility(part.name, part.type_name, 1, pools, {}, programs, meter=part)

    def workflow(self, part: Workflow) -> Facility:
        """Return the mean visits of each place: the traffic equations of Jackson's network."""
        places = part.places
        index = {place: i for i, place in enumerate(places)}
        onward = np.zeros((len(places), len(places)))
        for place, following in part.routes.items():
            for each, probability in following.items():
                onward[index[place], index[each]] = probability
        first = np.zeros(len(places))
        first[index[part.start]] = 1.0
        visits = np.linalg.solve((np.eye(len(places)) - onward).T, first)
        asks = tuple(
            Ask(resolve(self.parts, place), float(visits[i])) for place, i in index.items()
        )
        programs = {"run": Program(before=(Visits(asks),))}
        return Facility(part.name, part.type_name, programs=programs)

    def queue(self, part: MessageQueue) -> Facility:
        programs = {
            "publish": Program(before=(Send((part.name, "message")),)),
            "message": Program("consumers", inside=self.steps(part.handler)),
        }
        pool = {"consumers": PoolSize(part.consumers, part.capacity)}
        return Facility(part.name, part.type_name, 1, pool, {}, programs)


def _cpu(part: Service | Database, most: int) -> Resource:
    """Return the processors of a node on which `most` can compute at once."""
    slowed = bool(part.contention or part.coherency)
    alone = most <= part.cores and not slowed
    # Last come first served with interruption is as insensitive as sharing (Kelly, 1979).
    shared = part.cpu_discipline in ("ps", "lcfs_preemptive")
    order = part.cpu_discipline if part.cpu_discipline in ORDERS else "fifo"
    failures = getattr(part, "failures", None)
    alone = alone and failures is None
    return Resource(part.cores, shared, alone, part.contention, part.coherency, order, failures)


class _Scaled(Distribution):
    """A distribution times a constant: bytes as seconds."""

    def __init__(self, law: Distribution, factor: float) -> None:
        self.law, self.factor = law, factor

    @property
    def mean(self) -> float:
        return self.law.mean * self.factor

    @property
    def scv(self) -> float:
        return self.law.scv
