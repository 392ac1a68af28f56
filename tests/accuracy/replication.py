"""Replication: a primary whose writes are applied at replicas that also serve reads, in one line.

A replica's server does reads and applies in order of arrival, so it is a service with one worker.
What ships a write to it is a queue with a consumer for everyone, whose message ends when the write
is applied: the message's time is the replication lag.

Where reads take no time they are counted as stale or not by a database, behind the primary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accuracy.stations import MANY, Place, make
from accuracy.words import Unsupported, Words, distribution

import scalesim as ss
from scalesim.distributions import Constant

if TYPE_CHECKING:
    from accuracy.system import Script, System

__all__ = ["replicated"]


def replicated(words: Words, system: System, keyed: bool) -> Script:
    """Translate the words of a database with replicas; `keyed`: requests are about keys."""
    words.expect(replication="asynchronous", reads_go_to="replicas, random")
    if "service_s" in words or words.mapping.get("replica", {}).get("read_s") == 0:
        return _of_versions(words, system, keyed)
    words.expect(ship_delay_s=0, apply_order="commit order")
    primary, replica = words.inner("primary"), words.inner("replica")
    replica.expect(discipline="fifo")
    write = [ss.sleep(distribution(primary.inner("write")))]
    slots = primary.take("servers")
    system.add(make(ss.Service, "primary", workers=slots, endpoints={"write": write}))
    steps = {"apply": [ss.sleep(distribution(replica.inner("apply")))]}
    if "read" in replica:
        steps["read"] = [ss.sleep(distribution(replica.inner("read")))]
    slots_of_replica = replica.take("servers")
    count = words.take("replicas")
    replicas = [f"replica_{i}" for i in range(count)]
    queues = [f"apply_{i}" for i in range(count)]
    for name, queue in zip(replicas, queues, strict=True):
        system.add(make(ss.Service, name, workers=slots_of_replica, endpoints=steps))
        handler = [ss.call(f"{name}.apply")]
        system.add(make(ss.MessageQueue, queue, consumers=MANY, handler=handler))
    system.places |= {
        "primary": Place(("primary",), slots=slots),
        "replica": Place(tuple(replicas), slots=slots_of_replica),
        "apply": Place(tuple(queues), "consumers", "consumers", "consumers"),
    }
    script = system.span("primary", {"write": (ss.call("primary.write"),)})
    script["write"] += tuple(ss.publish(queue) for queue in queues)
    if "read" in steps:
        system.add(make(ss.LoadBalancer, "balancer", targets=tuple(replicas), policy="random"))
        script |= system.span("replica", {"read": (ss.call("balancer.read"),)})
    return script


def _of_versions(words: Words, system: System, keyed: bool) -> Script:
    """Translate a database whose reads take no time, and find the newest version or miss it."""
    words.expect(service_s=0)
    fields: dict[str, Any] = {"apply_workers": 1_000_000}
    delay: Any = Constant(float(words.take("ship_delay_s", 0)))
    if "apply_delay" in words:
        words.expect(ship_delay_s=0)
        delay = distribution(words.inner("apply_delay"))
    in_order = isinstance(delay, Constant)
    if "replica" in words:
        replica = words.inner("replica")
        replica.expect(read_s=0, discipline="fifo")
        servers, law = replica.take("servers"), distribution(replica.inner("apply"))
        fields = {
            "apply": law,
            "apply_workers": servers,
            "cores": servers,
            "cpu_discipline": "fifo",
        }
        in_order = in_order and servers == 1
    if in_order:
        words.expect(newest_version_wins=True, apply_order="commit order")
    elif words.take("newest_version_wins", False) is not True:
        raise Unsupported(f"{words.path} without newest_version_wins, where writes overtake")
    system.add(make(
        ss.Database, "database", connections=MANY, read_replicas=words.take("replicas"),
        balancing="random", apply_delay=delay, count_stale_reads=keyed, **fields,
    ))  # fmt: skip
    system.places["database"] = Place(("database",), *["connections"] * 3)
    script: Script = {what: (ss.call(f"database.{what}"),) for what in ("write", "read")}
    if "primary" in words:
        primary = words.inner("primary")
        primary.expect(write_s=0)
        if "write" in primary:
            slots, law = primary.take("servers"), distribution(primary.inner("write"))
            steps = [ss.sleep(law), *script["write"]]
            system.add(make(ss.Service, "primary", workers=slots, endpoints={"write": steps}))
            system.places["primary"] = Place(("primary",), slots=slots)
            script["write"] = (ss.call("primary.write"),)
    return script
