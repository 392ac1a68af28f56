"""Blocking after service: a request that finds the next station full keeps its slot and waits.

The first station is a service that publishes to the second when it has served, and so on: stations
from the second on are message queues whose consumers are the servers, with as much room as the
station has places to wait. Who publishes to a full one keeps the slot, or the consumer, until there
is room.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from accuracy.stations import Place, make, queue_place, read_service
from accuracy.words import Unsupported, Words

import scalesim as ss

if TYPE_CHECKING:
    from accuracy.system import Script, System

__all__ = ["blocking_line"]

RULE = "hold the slot until there is room (blocking after service)"


def blocking_line(names: list[str], words: dict[str, Words], system: System) -> Script:
    """Translate stations in a row that hold who does not fit into the next one."""
    c = system.only_class("when_next_full")
    steps: tuple[Any, ...] = ()
    for name, before in reversed(list(zip(names, [None, *names], strict=False))):
        station = words[name]
        station.take("name")
        station.expect(discipline="fifo", visit_ratio=1, instances=1, when_next_full=RULE)
        slots, limit = station.take("servers"), station.take("queue_limit", None)
        if not isinstance(slots, int):
            raise station.unsupported("servers")
        service = read_service(station, name, system.classes)[c]
        script = (ss.sleep(service), *steps)
        if before is None:
            place = Place((name,), slots=slots)
            system.add(make(ss.Service, name, workers=slots, backlog=limit, endpoints={c: script}))
        else:
            if limit is not None and "when_next_full" not in words[before]:
                raise Unsupported(f"{words[before].path} without when_next_full")
            place = queue_place(name, slots, service)
            if limit == 0:  # who waits for a consumer is still at the station before
                place = dataclasses.replace(place, waiting="")
            full = {} if limit is None else {"when_full": "block"}
            system.add(make(ss.MessageQueue, name, handler=script, consumers=slots,
                            capacity=limit, **full))  # fmt: skip
        if steps:
            after = names[names.index(name) + 1]
            room = system.components[after].capacity
            if room is not None:
                place = dataclasses.replace(
                    place, held_for=(after, "room" if room else "consumers")
                )
        system.places[name] = place
        steps = (ss.publish(name),)
    system.queue = names[-1]
    return {c: (ss.call(f"{names[0]}.{c}"),)}
