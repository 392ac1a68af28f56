"""Replication: a primary whose writes are applied at replicas that also serve reads, in one line.

A replica's server does reads and applies in order of arrival, so it is a service with one worker.
What ships a write to it is a queue with a consumer for everyone, whose message ends when the write
is applied: the message's time is the replication lag.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from accuracy.stations import MANY, Place, make
from accuracy.words import Words, distribution

import scalesim as ss

if TYPE_CHECKING:
    from accuracy.system import Script, System

__all__ = ["replicated"]


def replicated(words: Words, system: System) -> Script:
    """Translate the words of a database with replicas."""
    words.expect(
        replication="asynchronous", ship_delay_s=0, reads_go_to="replicas, random",
        apply_order="commit order",
    )  # fmt: skip
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
