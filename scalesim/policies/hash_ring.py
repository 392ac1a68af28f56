"""The hash ring of consistent hashing: a value belongs to the node of the next point on a circle.

Each node has many points ("virtual nodes"), which makes shares even: the share of one of n nodes
with v points each has the coefficient of variation sqrt((n - 1) / (n v + 1)), about 1 / sqrt(v). A
further node takes values from all the others and moves none between them. Karger, Lehman,
Leighton, Panigrahy, Levine & Lewin, "Consistent hashing and random trees", STOC 1997.

In a table of values a ring is the number of its points, their places in order, their nodes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scalesim.kernels.draws import hash_below

__all__ = ["VIRTUAL_NODES", "hash_ring", "node_of", "place_of"]

VIRTUAL_NODES = 160
"""Points of a node, as libketama (2007) has them and nginx's ``hash ... consistent``."""

_CIRCLE = 2**52
_FIRST_NODE = 2**40
"""Point j of node n is at the place of the value (n + 1) 2**40 + j: no key has such a number."""


def place_of(value):
    """Return the place of a value on the circle, in [0, 1)."""
    return hash_below(value, _CIRCLE) / _CIRCLE


def node_of(values, ring, value):
    """Return the node of the first point at or after the value's place, on the ring at `ring`."""
    count = int(values[ring])
    place = place_of(value)
    low = 0
    high = count
    while low < high:
        middle = (low + high) // 2
        if values[ring + 1 + middle] < place:
            low = middle + 1
        else:
            high = middle
    if low == count:
        low = 0
    return int(values[ring + 1 + count + low])


def hash_ring(points: Sequence[int]) -> list[float]:
    """Return the ring on which node n has ``points[n]`` points."""
    nodes = np.repeat(np.arange(len(points), dtype=np.uint64), points)
    numbers = np.concatenate([np.arange(each, dtype=np.uint64) for each in points])
    places = place_of((nodes + np.uint64(1)) * np.uint64(_FIRST_NODE) + numbers)
    order = np.argsort(places, kind="stable")
    return [float(len(order)), *places[order].tolist(), *nodes[order].astype(float).tolist()]
