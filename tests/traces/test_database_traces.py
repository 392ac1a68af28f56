"""Database: connections, processors, disk; replicas that lag; shards."""

from __future__ import annotations

import pytest
from traces.test_balancing_traces import splitmix
from traces.tracing import both_engines, ends, instances, metric, near, outcomes, run

import scalesim as ss
from scalesim.policies.hash_ring import hash_ring, node_of
from scalesim.policies.sharding import ConsistentHashSharding, HashSharding, ModuloSharding


def asked(**fields):
    """Return a database entered directly: endpoints read and write."""
    return ss.Database("db", **fields)


def query(engine, database, at, what="read", **rest):
    """Run queries of one kind, or of the kinds listed."""
    what = (what,) * len(at) if isinstance(what, str) else tuple(what)
    return run(engine, database, at=at, endpoint=what, **rest)


@both_engines
def test_queries_wait_for_a_connection(engine) -> None:
    results = query(engine, asked(connections=1, read=1.0), [0, 0, 0.5])
    assert ends(results) == [1.0, 2.0, 3.0]
    assert instances(results, "db", "connections", "waited") == [2.5]


@both_engines
def test_queries_share_the_processors(engine) -> None:
    results = query(engine, asked(connections=9, read=1.0, write=2.0), [0, 0], ["read", "write"])
    assert ends(results) == near([2.0, 3.0])
    results = query(engine, asked(connections=9, cores=2, read=1.0), [0, 0, 0])
    assert ends(results) == near([1.5, 1.5, 1.5])
    fifo = asked(connections=9, cpu_discipline="fifo", read=1.0)
    assert ends(query(engine, fifo, [0, 0, 0])) == [1.0, 2.0, 3.0]


@both_engines
def test_a_full_queue_rejects(engine) -> None:
    results = query(engine, asked(connections=1, read=1.0, queue_limit=1), [0, 0.25, 0.5, 1.0])
    assert outcomes(results) == [
        (1.0, "completed"),
        (2.0, "completed"),
        (0.5, "rejected"),
        (3.0, "completed"),
    ]


@both_engines
def test_the_disk_serves_one_operation_after_another(engine) -> None:
    disk = asked(connections=9, cores=9, read=0.25, disk_iops=10.0, read_ios=5.0, write_ios=20.0)
    results = query(engine, disk, [0, 0, 0], ["read", "read", "write"])
    # Reads compute 0.25 s, then the disk needs 0.5 s for each; the write is at the disk at once.
    assert ends(results) == near([2.5, 3.0, 2.0])
    assert instances(results, "db", "disk", "busy") == near([3.0])


@both_engines
def test_the_connection_is_held_while_waiting_for_the_disk(engine) -> None:
    disk = asked(connections=1, disk_iops=1.0)
    results = query(engine, disk, [0, 0])
    assert ends(results) == [1.0, 2.0]
    assert instances(results, "db", "disk", "waited") == [0.0]
    assert instances(results, "db", "connections", "waited") == [1.0]


@both_engines
def test_replication_lag_is_the_time_until_a_write_is_applied(engine) -> None:
    database = asked(connections=1, read=1.0, write=1.0, apply=2.0, read_replicas=1)
    results = query(engine, database, [0, 1, 2], "write")
    # Committed at 1, 2, 3; applied from 1 to 3, 3 to 5, 5 to 7: lags 2, 3, 4.
    assert ends(results) == [1.0, 2.0, 3.0]
    assert metric(results, "db", "replication_lag_count") == 3
    assert metric(results, "db", "replication_lag_mean_s") == 3.0
    assert metric(results, "db", "replication_lag_max_s") == 4.0
    assert instances(results, "db", "apply", "busy") == [0.0, 6.0]


@both_engines
def test_every_replica_applies_every_write(engine) -> None:
    database = asked(connections=9, cores=9, read=1.0, write=0.5, read_replicas=3)
    results = query(engine, database, [0, 10], "write")
    assert metric(results, "db", "replication_lag_count") == 6
    assert metric(results, "db", "replication_lag_mean_s") == 0.5  # as long as the write itself
    assert instances(results, "db", "apply", "served") == [0, 2, 2, 2]


@both_engines
def test_reads_slow_the_applying_down(engine) -> None:
    database = asked(connections=9, read=2.0, write=1.0, apply=2.0, read_replicas=1)
    results = query(engine, database, [0, 1], ["write", "read"])
    # From 1 on the read and the applying share the replica's core: both need until 5.
    assert ends(results) == near([1.0, 5.0])
    assert metric(results, "db", "replication_lag_max_s") == near(4.0)


@both_engines
def test_applying_waits_for_the_replicas_disk(engine) -> None:
    database = asked(connections=9, disk_iops=1.0, read_ios=3.0, write_ios=1.0, read_replicas=1)
    results = query(engine, database, [0, 0], ["write", "read"])
    # The read has the replica's disk until 3; the write, committed at 1, is applied from 3 to 4.
    assert ends(results) == [1.0, 3.0]
    assert metric(results, "db", "replication_lag_max_s") == 3.0


@both_engines
@pytest.mark.parametrize(
    ("reads_from", "served"),
    [("replicas", [0, 3, 3]), ("primary", [6, 0, 0]), ("all", [2, 2, 2])],
)
def test_who_serves_reads(engine, reads_from, served) -> None:
    database = asked(connections=9, read=1.0, read_replicas=2, reads_from=reads_from)
    results = query(engine, database, [0, 1, 2, 3, 4, 5])
    assert instances(results, "db", "connections", "served") == served


@both_engines
def test_a_rejected_write_is_not_replicated(engine) -> None:
    database = asked(connections=1, queue_limit=0, write=1.0, read_replicas=1)
    results = query(engine, database, [0, 0.5], "write")
    assert [outcome for _, outcome in outcomes(results)] == ["completed", "rejected"]
    assert metric(results, "db", "replication_lag_count") == 1


@both_engines
def test_shards_work_side_by_side(engine) -> None:
    database = asked(connections=1, read=1.0, shards=4, sharding=ModuloSharding())
    results = query(engine, database, [0] * 6, key=(0, 1, 2, 3, 4, 8))
    assert ends(results) == [1.0, 1.0, 1.0, 1.0, 2.0, 3.0]
    assert instances(results, "db", "connections", "served") == [3, 1, 1, 1]
    assert metric(results, "db", "shard_skew") == 2.0


@both_engines
def test_hashed_shards(engine) -> None:
    keys = tuple(range(40))
    database = asked(connections=1, read=0.5, shards=5, sharding=HashSharding())
    results = query(engine, database, range(40), key=keys)
    homes = [splitmix(key, 5) for key in keys]
    served = [homes.count(shard) for shard in range(5)]
    assert instances(results, "db", "connections", "served") == served


@both_engines
def test_shards_on_a_ring(engine) -> None:
    sharding = ConsistentHashSharding(virtual_nodes=4)
    database = asked(connections=9, read=0.5, shards=5, sharding=sharding)
    results = run(engine, database, at=range(30), key=tuple(range(30)), endpoint=("read",) * 30)
    ring = hash_ring([4] * 5)
    homes = [node_of(ring, 0, key) for key in range(30)]
    served = [homes.count(shard) for shard in range(5)]
    assert instances(results, "db", "connections", "served") == served
    assert min(served) > 0


@both_engines
def test_shards_by_client(engine) -> None:
    database = asked(
        connections=1, read=1.0, shards=2, shard_key="client", sharding=ModuloSharding()
    )
    results = query(engine, database, [0] * 3, client=(0, 2, 1))
    assert ends(results) == [1.0, 2.0, 1.0]


@both_engines
def test_shards_have_replicas_of_their_own(engine) -> None:
    database = asked(
        connections=1, read=1.0, write=1.0, shards=2, read_replicas=1, sharding=ModuloSharding()
    )
    what = ["write", "write", "read", "read"]
    results = query(engine, database, [0, 0, 5, 5], what, key=(0, 2, 1, 0))
    # Nodes: primary 0, replica 0, primary 1, replica 1.
    assert ends(results) == [1.0, 2.0, 6.0, 6.0]
    assert instances(results, "db", "connections", "served") == [2, 1, 0, 1]
    assert instances(results, "db", "apply", "served") == [0, 2, 0, 0]


@both_engines
def test_a_read_is_stale_until_the_write_of_its_key_is_applied(engine) -> None:
    database = asked(
        connections=9, cores=9, write=1.0, apply=2.0, read_replicas=1, count_stale_reads=True
    )
    # Key 0 is committed at 1 and applied from 1 to 3, key 1 committed at 2 and applied until 5.
    at = [0, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 6]
    what = ["write", "read", "write", *["read"] * 7]
    key = [0, 0, 1, 0, 1, 0, 0, 1, 1, 0]
    #        no    yes  yes  yes no yes no no
    results = query(engine, database, at, what, key=tuple(key), record_keys=2)
    assert metric(results, "db", "reads") == 8
    assert metric(results, "db", "stale_reads") == 4
    assert metric(results, "db", "stale_read_ratio") == 0.5
    table = results.keys_table()[["component", "key", "lookups", "stale_read_ratio"]]
    assert table.values.tolist() == [["db", 0, 5, 2 / 5], ["db", 1, 3, 2 / 3]]


@both_engines
def test_reads_from_the_primary_are_never_stale(engine) -> None:
    database = asked(
        connections=9, write=1.0, apply=9.0, read_replicas=1, reads_from="all",
        count_stale_reads=True,
    )  # fmt: skip
    what = ["write", "read", "read", "read", "read"]
    # In turn: primary, replica, primary, replica.
    results = query(engine, database, [0, 2, 3, 4, 5], what, key=(0,) * 5)
    assert metric(results, "db", "stale_read_ratio") == 0.5


@both_engines
def test_a_write_takes_a_while_to_get_to_a_replica(engine) -> None:
    settings = {"connections": 9, "write": 1.0, "apply": 2.0, "read_replicas": 1}
    results = query(engine, asked(**settings, apply_delay=0.5), [0, 1], "write")
    # Committed at 1 and 2; there at 1.5 and 2.5; applied until 3.5 and 5.5.
    assert metric(results, "db", "replication_lag_mean_s") == 3.0
    results = query(engine, asked(**settings, cores=2, apply_workers=2), [0, 1], "write")
    assert metric(results, "db", "replication_lag_max_s") == 2.0


@both_engines
def test_ranges_of_keys(engine) -> None:
    database = asked(connections=9, read=1.0, shards=3, sharding="range")
    keys = (0, 1, 2, 3, 4, 5, 5)  # six keys: two a shard
    results = query(engine, database, [0.0] * 7, key=keys)
    assert instances(results, "db", "connections", "served") == [2, 2, 3]
    assert metric(results, "db", "shard_skew") == near(9 / 7)
