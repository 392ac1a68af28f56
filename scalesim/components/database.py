"""Database: connections, processors, a disk; read replicas that apply every write; shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from scalesim import ops
from scalesim.components.base import COMPONENTS, Emitter, MachineComponent
from scalesim.components.processors import CPU_DISCIPLINES, check_slowdown, processors
from scalesim.distributions import Constant, Distribution, times
from scalesim.distributions.base import AsDistribution, AsDistributionOrNone
from scalesim.errors import Problem
from scalesim.fields import Flag, Given, Integer, Name, Number, OneOf, described, param
from scalesim.policies.load_balancing import BALANCING, BalancingPolicy, RoundRobin
from scalesim.policies.sharding import SHARDING, HashSharding, ShardingPolicy, sharding_code

__all__ = ["Database"]

_DISCIPLINES = tuple(each for each in CPU_DISCIPLINES if not each.startswith("priority"))


@COMPONENTS.add("database")
@described
class Database(MachineComponent):
    """A database: ``shards`` groups of one primary and ``read_replicas`` replicas each.

    ``read`` and ``write`` take a connection of one node (or wait for one), compute, use the disk,
    and give the connection back. Writes go to the primary. After the commit every replica applies
    the write, in commit order unless told otherwise, on the replica's own processors and disk,
    outside its connections, so that replication lag emerges from the replica's load.

    Parameters
    ----------
    connections : int [>= 1]
        Queries served at once by one node.
    queue_limit : int, optional [>= 0]
        Queries that may wait for a connection at one node; None: no bound.
    read, write : Distribution or float [s of one core]
        Processor demand of one query.
    cores : int [>= 1]
        Processor cores of one node.
    cpu_discipline : str
        Who computes when more would than there are cores; as `Service.cpu_discipline`, but for the
        priorities, which queries have none.
    contention, coherency : float [>= 0]
        How much computations slow each other down (universal scalability law): with n at once
        each progresses at ``1 / (1 + contention (n - 1) + coherency n (n - 1))`` of what sharing
        the cores leaves it (Gunther, "Guerrilla capacity planning", 2007).
    disk_iops : float, optional [operations a second, > 0]
        Speed of one node's disk, one operation after another; None: not modelled.
    read_ios, write_ios : float [operations, >= 0]
        Disk operations of one query; a replica's apply costs ``write_ios``.
    read_replicas : int [>= 0]
        Replicas of each primary.
    reads_from : {"replicas", "primary", "all"}
        Which nodes serve reads, if there are replicas.
    balancing : BalancingPolicy or str
        How reads spread over those nodes.
    apply : Distribution or float, optional [s of one core]
        Processor demand of applying one write at a replica; that of `write` if absent.
    apply_delay : Distribution or float [s]
        Time from the commit until a replica has got the write and may apply it. Drawn for each
        write and replica; of two writes of one key the newer wins, in whichever order they come.
    apply_workers : int [>= 1]
        Writes that a replica applies at once; 1: one after another.
    count_stale_reads : bool
        Count how many reads come to a node that has not applied the last committed write of their
        key; needs traffic with ``keys``.
    shards : int [>= 1]
    shard_key : {"key", "client"}
        What decides the shard.
    sharding : ShardingPolicy or str
    """

    connections: int = param(Integer(1, 10_000_000), "queries served at once, a node")
    read: AsDistribution = param(times(), "processor demand of a read", default=Constant(0.0))
    write: AsDistribution = param(times(), "processor demand of a write", default=Constant(0.0))
    queue_limit: int | None = param(Integer(0), "queries that may wait, a node", default=None)
    cores: int = param(Integer(1, 100_000), "processor cores, a node", default=1)
    cpu_discipline: str = param(
        Name(choices=_DISCIPLINES),
        "who computes when cores are scarce",
        default="ps",
    )
    contention: float = param(Number(at_least=0), "slowdown by waiting for another", default=0.0)
    coherency: float = param(Number(at_least=0), "slowdown by agreeing with another", default=0.0)
    disk_iops: float | None = param(
        Number("1/s", above=0), "disk operations a second, a node", default=None
    )
    read_ios: float = param(Number(at_least=0), "disk operations of a read", default=1.0)
    write_ios: float = param(Number(at_least=0), "disk operations of a write", default=1.0)
    read_replicas: int = param(Integer(0, 1000), "replicas of each primary", default=0)
    reads_from: str = param(
        Name(choices=("replicas", "primary", "all")), "who serves reads", default="replicas"
    )
    balancing: Given[BalancingPolicy, BalancingPolicy | str] = param(
        OneOf(BALANCING), "how reads spread over nodes", default=RoundRobin()
    )
    apply: AsDistributionOrNone = param(times(), "demand of applying a write", default=None)
    apply_delay: AsDistribution = param(
        times(), "time until a write gets to a replica", default=Constant(0.0)
    )
    apply_workers: int = param(
        Integer(1, 1_000_000), "writes applied at once, a replica", default=1
    )
    count_stale_reads: bool = param(Flag(), "count reads that miss a write", default=False)
    shards: int = param(Integer(1, 100_000), "number of shards", default=1)
    shard_key: str = param(Name(choices=("key", "client")), "what decides the shard", default="key")
    sharding: Given[ShardingPolicy, ShardingPolicy | str] = param(
        OneOf(SHARDING), "how keys map to shards", default=HashSharding()
    )

    @property
    def nodes_per_shard(self) -> int:
        """One primary and its replicas."""
        return 1 + self.read_replicas

    @property
    def nodes(self) -> int:
        return self.shards * self.nodes_per_shard

    @property
    def spread(self) -> bool:
        """Whether several nodes of a shard serve reads."""
        return self.read_replicas > 0 and self.reads_from != "primary"

    def scattered(self, endpoint: str) -> tuple[str, Sequence[int]]:
        spread = self.spread and endpoint == "read"
        if self.shards > 1:
            stride = 1 if spread else self.nodes_per_shard
            return f"{self.name}.{endpoint}@shard", range(0, self.shards * stride, stride)
        if spread:
            return f"{self.name}.read@node", range(self.reads_from != "all", self.nodes)
        return f"{self.name}.{endpoint}", range(1)

    def endpoint_names(self) -> tuple[str, ...]:
        return ("read", "write")

    def check_together(self) -> Iterator[Problem]:
        yield from super().check_together()
        yield from check_slowdown(self.contention, self.coherency, self.cpu_discipline)
        zero = Constant(0.0)
        free = self.read == zero and self.write == zero and self.disk_iops is None
        if free and self.apply is None and self.apply_delay == zero:
            yield Problem(
                "", "read, write and disk_iops are all absent: queries would cost nothing"
            )
        defaults = {"apply": None, "apply_delay": zero, "apply_workers": 1}
        for name, default in {**defaults, "count_stale_reads": False}.items():
            if getattr(self, name) != default and self.read_replicas == 0:
                yield Problem("", f"{name} needs read_replicas", (name,))

    def lower(self, emit: Emitter) -> None:
        nodes, group = self.nodes, self.nodes_per_shard
        connections = emit.station(
            self.name,
            "connections",
            count=nodes,
            slots=self.connections,
            queue_limit=self.queue_limit,
        )
        # Applying computes beside the connections, hence the further slots.
        slots = self.connections + (self.apply_workers if self.read_replicas else 0)
        versions = emit.versions(self.name, nodes) if self.count_stale_reads else -1
        slowdown = (self.contention, self.coherency)
        cpu, cpu_op = processors(
            emit, self.name, nodes, slots, self.cores, self.cpu_discipline, slowdown
        )
        disk = -1
        if self.disk_iops is not None:
            disk = emit.station(self.name, "disk", count=nodes, slots=1)

        def work(what: str, demand: Distribution, ios: float, on_fail: str) -> None:
            if demand != Constant(0.0):
                site = (self.name, what, "cpu")
                emit.op(cpu_op, a=cpu, b=emit.sampler(demand), on_fail=on_fail, site=site)
            if disk >= 0 and ios > 0:
                assert self.disk_iops is not None
                time = emit.sampler(Constant(ios / self.disk_iops))
                site = (self.name, what, "disk")
                emit.op(ops.SERVE, a=disk, b=time, on_fail=on_fail, site=site)

        def query(what: str, demand: Distribution, ios: float) -> None:
            emit.op(ops.ACQUIRE, a=connections, on_fail="end")
            if versions >= 0 and what == "read":
                emit.op(ops.CHECK, a=versions, b=group)
            work(what, demand, ios, "release")
            emit.label("release")
            emit.op(ops.RELEASE, a=connections)

        emit.program(f"{self.name}.read")
        self._pick(emit, "read", 1 if self.spread else group)
        if self.spread:
            self._spread_reads(emit)
            emit.program(f"{self.name}.read@node")
        query("read", self.read, self.read_ios)
        emit.label("end")
        emit.op(ops.RETURN)

        emit.program(f"{self.name}.write")
        self._pick(emit, "write", group)
        query("write", self.write, self.write_ios)
        if versions >= 0:
            emit.op(ops.COMMIT, a=versions)
        for replica in range(1, group):
            tag = (self.name, "apply")
            emit.op(ops.SPAWN, a=f"{self.name}.apply", b=replica, tag=tag)
        emit.label("end")
        emit.op(ops.RETURN)

        if self.read_replicas:
            self._lower_apply(emit, versions, work)

    def _lower_apply(self, emit: Emitter, versions: int, work: Callable[..., None]) -> None:
        """Emit what a replica does about a write, from the commit at the primary on."""
        primaries = range(0, self.nodes, self.nodes_per_shard)
        applier = emit.station(
            self.name, "apply", count=self.nodes, slots=self.apply_workers, absent=primaries
        )
        emit.program(f"{self.name}.apply")
        if self.apply_delay != Constant(0.0):
            site = (self.name, "apply", "delay")
            emit.op(ops.DELAY, b=emit.sampler(self.apply_delay), site=site)
        emit.op(ops.ACQUIRE, a=applier, on_fail="end")
        work("apply", self.apply or self.write, self.write_ios, "end")
        if versions >= 0:
            emit.op(ops.APPLY, a=versions)
        emit.op(ops.RECORD, a=emit.tally(self.name, "replication_lag"))
        emit.op(ops.RELEASE, a=applier)
        emit.label("end")
        emit.op(ops.RETURN)

    def _pick(self, emit: Emitter, what: str, stride: int) -> None:
        if self.shards > 1:
            by_client = int(self.shard_key == "client")
            code = float(sharding_code(self.sharding))
            shards = self.shards
            if self.sharding.virtual_nodes:
                shards = emit.ring((self.sharding.virtual_nodes,) * self.shards)
            emit.op(ops.PICK, a=shards, b=stride, c=by_client, x=code)
            emit.program(f"{self.name}.{what}@shard")  # goes on in it; others may start there

    def _spread_reads(self, emit: Emitter) -> None:
        group = self.nodes_per_shard
        first = 0 if self.reads_from == "all" else 1
        balancers = [
            emit.balancer(
                self.name,
                self.balancing,
                [(f"{self.name}.read@node", shard * group + r, 1.0) for r in range(first, group)],
            )
            for shard in range(self.shards)
        ]
        emit.route(balancers[0], 0, by_instance=True)
