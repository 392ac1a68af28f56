"""The bottleneck: which resource limits throughput, and the numbers that show it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scalesim.words import duration, number

__all__ = ["HELD", "NOTHING", "NO_LIMIT", "Bottleneck"]

HELD = ("workers", "connections", "consumers")
"""Resources that a request holds while it uses others or waits for them."""

NO_LIMIT = ("room", "repair", "start", "unacknowledged")
"""Resources that are full because of others (a queue's room) or limit no request by themselves."""


@dataclass(frozen=True)
class Bottleneck:
    """The resource with the highest utilization, taken at its busiest instance.

    Parameters
    ----------
    component, resource : str
    instance : int
    utilization : float [ratio]
    wait_mean : float [s]
        Mean wait of those who asked for it.
    queue_depth : float [requests]
    wait_share : float [ratio]
        Summed wait for this resource, all instances / summed latency of all requests.
    rejected : int
        Requests turned away there.
    """

    component: str
    resource: str
    instance: int
    utilization: float
    wait_mean: float
    queue_depth: float
    wait_share: float
    rejected: int

    def __str__(self) -> str:
        if not self.component:
            return "none"
        words = RESOURCE_WORDS.get(self.resource, self.resource)
        text = (
            f"{words} of {self.component} ({self.utilization:.0%} busy, "
            f"{number(self.queue_depth, 2)} waiting, mean wait {duration(self.wait_mean)}"
        )
        if self.rejected:
            text += f", {self.rejected} rejected"
        return text + ")"


NOTHING = Bottleneck("", "", 0, math.nan, math.nan, math.nan, math.nan, 0)
"""No resource limits anything."""


RESOURCE_WORDS = {
    "cpu": "the processors",
    "workers": "the workers",
    "memory": "the memory",
    "network_in": "the inward network",
    "network_out": "the outward network",
    "disk": "the disk",
    "connections": "the connections",
    "consumers": "the consumers",
    "room": "the room for messages",
    "apply": "the applying of writes",
    "slots": "the slots",
}
