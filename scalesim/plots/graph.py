"""A topology as a layered graph: who calls whom, in which column and at what height each stands.

Layer: plots. Pure geometry and words, without matplotlib. The layout is Sugiyama's in its simplest
form: a component's column is the longest way from the entry, arrows over several columns get a
place to pass in each, and each column is ordered by the mean position of its neighbors.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from statistics import fmean

from scalesim.components import (
    Cache,
    Component,
    Database,
    LoadBalancer,
    MessageQueue,
    RateLimiter,
    Service,
)
from scalesim.topology import Topology

__all__ = ["Edge", "Layout", "edges", "layered", "resource_words", "size_words", "type_words"]

_SWEEPS = 12  # of ordering; the models tried settle within 6
_SETTLING = 40  # sweeps of heights: chains end up straight to the eye


@dataclass(frozen=True)
class Edge:
    """One component calls another (`message`: publishes to it and goes on)."""

    source: str
    target: str
    message: bool


def edges(topology: Topology) -> list[Edge]:
    """Return who calls whom, each pair once, in order of declaration."""
    found: dict[tuple[str, str], bool] = {}
    for name, part in topology.components.items():
        for reference in part.references():
            pair = (name, reference.target.partition(".")[0])
            found[pair] = found.get(pair, True) and reference.must_be == "message_queue"
    return [Edge(source, target, message) for (source, target), message in found.items()]


def type_words(part: Component) -> str:
    """Return what a component is: ``load balancer``."""
    return part.type_name.replace("_", " ")


def resource_words(resource: str) -> str:
    """Return a resource as a label says it: ``CPU``, ``network out``."""
    return "CPU" if resource == "cpu" else resource.replace("_", " ")


def size_words(part: Component) -> str:
    """Return how much of it there is: ``4 instances``, ``3 shards × (1 + 2 replicas)``."""
    if isinstance(part, Service):
        return _count(part.instances, "instance")
    if isinstance(part, Database):
        replicas = _count(part.read_replicas, "replica")
        if part.shards > 1:
            group = f" × (1 + {replicas})" if part.read_replicas else ""
            return f"{part.shards} shards{group}"
        return f"primary + {replicas}" if part.read_replicas else "1 node"
    if isinstance(part, MessageQueue):
        return _count(part.consumers, "consumer")
    if isinstance(part, Cache):
        if part.hit_ratio is not None:
            return f"{100 * part.hit_ratio:.4g} % hits"
        return "no bound" if part.capacity is None else _count(part.capacity, "item")
    if isinstance(part, LoadBalancer):
        return part.policy.type_name.replace("_", " ")
    if isinstance(part, RateLimiter):
        return f"{part.rate:,.4g}/s" + (" a client" if part.per == "client" else "")
    return ""


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


@dataclass
class Layout:
    """Where everything stands.

    Parameters
    ----------
    column : dict of str to int
        Of each component, from the left; the entry's is 0.
    height : dict of str to float
        Of its middle, in rows; 0 is the middle of the picture.
    ways : list of (Edge, list of (int, float))
        Each arrow that runs to the right, with the (column, height) it passes in between.
    others : list of Edge
        Arrows within a column or back to the left.
    """

    column: dict[str, int]
    height: dict[str, float] = field(default_factory=dict)
    ways: list[tuple[Edge, list[tuple[int, float]]]] = field(default_factory=list)
    others: list[Edge] = field(default_factory=list)


def layered(topology: Topology) -> Layout:
    """Return a layout in columns from the entry at the left."""
    arrows = edges(topology)
    layout = Layout(_columns(topology, arrows))
    column = dict(layout.column)
    links: list[tuple[str, str]] = []
    routes: list[tuple[Edge, list[str]]] = []
    for index, edge in enumerate(arrows):
        first, last = column[edge.source], column[edge.target]
        if last <= first:
            layout.others.append(edge)
            continue
        # No component's name has a blank, so these names are free.
        passing = [f"pass {index} {at}" for at in range(first + 1, last)]
        column.update(zip(passing, range(first + 1, last), strict=True))
        chain = [edge.source, *passing, edge.target]
        links += pairwise(chain)
        routes.append((edge, passing))
    rows = _ordered(column, links)
    height = _heights(rows, links)
    layout.height = {name: height[name] for name in topology.components}
    layout.ways = [(edge, [(column[at], height[at]) for at in passing]) for edge, passing in routes]
    return layout


def _columns(topology: Topology, arrows: list[Edge]) -> dict[str, int]:
    """Return the longest way from the entry; arrows that would close a circle do not count.

    Calls never go in a circle, but components can: A.x calls B.y, which calls A.z.
    """
    targets: dict[str, list[str]] = {name: [] for name in topology.components}
    for edge in arrows:
        targets[edge.source].append(edge.target)
    done: list[str] = []
    open_: set[str] = set()
    forward: dict[str, list[str]] = {name: [] for name in targets}

    def visit(name: str) -> None:
        open_.add(name)
        for target in targets[name]:
            if target in open_:
                continue
            forward[name].append(target)
            if target not in done:
                visit(target)
        open_.remove(name)
        done.append(name)

    visit(topology.entry)
    column = dict.fromkeys(targets, 0)
    for name in reversed(done):
        for target in forward[name]:
            column[target] = max(column[target], column[name] + 1)
    return column


def _ordered(column: dict[str, int], links: list[tuple[str, str]]) -> list[list[str]]:
    """Return the columns, each ordered from the top so that few arrows cross."""
    rows: list[list[str]] = [[] for _ in range(max(column.values()) + 1)]
    for name, at in column.items():
        rows[at].append(name)
    before: dict[str, list[str]] = {name: [] for name in column}
    after: dict[str, list[str]] = {name: [] for name in column}
    for source, target in links:
        before[target].append(source)
        after[source].append(target)

    best, fewest = [list(row) for row in rows], _crossings(rows, links)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        neighbors = before if down else after
        for row in rows if down else reversed(rows):
            place = {name: i / max(len(r) - 1, 1) if len(r) > 1 else 0.5
                     for r in rows for i, name in enumerate(r)}  # fmt: skip
            row.sort(
                key=lambda name, n=neighbors, p=place: (  # type: ignore[misc]
                    fmean(p[each] for each in n[name]) if n[name] else p[name]
                )
            )
        crossings = _crossings(rows, links)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    return best


def _crossings(rows: list[list[str]], links: list[tuple[str, str]]) -> int:
    place = {name: (c, i) for c, row in enumerate(rows) for i, name in enumerate(row)}
    spans = [(place[a][0], place[a][1], place[b][1]) for a, b in links]
    return sum(
        1
        for i, (c, a, b) in enumerate(spans)
        for d, e, f in spans[:i]
        if c == d and (a - e) * (b - f) < 0
    )


def _heights(rows: list[list[str]], links: list[tuple[str, str]]) -> dict[str, float]:
    """Return the height of everything in rows: near its neighbors, never nearer than it fits."""
    near: dict[str, list[str]] = {name: [] for row in rows for name in row}
    for source, target in links:
        near[source].append(target)
        near[target].append(source)
    height = {}
    for row in rows:
        tops = _stacked(row)
        for name, at in zip(row, tops, strict=True):
            height[name] = at - (tops[0] + tops[-1]) / 2
    for sweep in range(_SETTLING):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wish = [fmean([height[n] for n in near[name]] or [height[name]]) for name in row]
            for name, at in zip(row, _spread(row, wish), strict=True):
                height[name] = at
    middle = (max(height.values()) + min(height.values())) / 2
    return {name: at - middle for name, at in height.items()}


def _room(upper: str, lower: str) -> float:
    passing = upper.startswith("pass ") + lower.startswith("pass ")
    return (1.0, 0.72, 0.3)[passing]


def _stacked(row: list[str]) -> list[float]:
    at = [0.0]
    for upper, lower in pairwise(row):
        at.append(at[-1] - _room(upper, lower))
    return at


def _spread(row: list[str], wish: list[float]) -> list[float]:
    """Return heights nearest to `wish` (least squares) that keep order and distances.

    With the distances subtracted the heights only have to fall: isotonic regression, solved by
    pooling neighbors that violate it (Ayer et al., 1955).
    """
    offsets = _stacked(row)
    blocks: list[tuple[float, int]] = []
    for target, offset in zip(wish, offsets, strict=True):
        mean, size = target - offset, 1
        while blocks and blocks[-1][0] < mean:
            other, count = blocks.pop()
            mean, size = (mean * size + other * count) / (size + count), size + count
        blocks.append((mean, size))
    flat = [mean for mean, size in blocks for _ in range(size)]
    return [at + offset for at, offset in zip(flat, offsets, strict=True)]
