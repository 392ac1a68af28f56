"""A topology as text that GitHub, GitLab and many wikis draw: a Mermaid flow chart.

Layer: plots. Needs no matplotlib.
"""

from __future__ import annotations

from scalesim.plots.graph import edges, size_words, type_words
from scalesim.topology import Topology

__all__ = ["mermaid"]

_SHAPES = {
    "cache": ("([", "])"),
    "database": ("[(", ")]"),
    "load_balancer": ("{{", "}}"),
    "message_queue": ("[[", "]]"),
}


def mermaid(topology: Topology) -> str:
    """Return a topology as a Mermaid flow chart; dotted arrows are messages nobody waits for.

    Examples
    --------
    >>> import scalesim as ss
    >>> server = ss.Service("web", endpoints={"get": [ss.compute(ss.ms(5))]}, instances=4)
    >>> print(mermaid(ss.Topology(server, entry="web")), end="")
    flowchart LR
        clients((clients)) --> n0
        n0["web<br/>service<br/>4 instances"]
    """
    # Nodes are numbered: a component may be called "end", which Mermaid reads as a keyword.
    number = {name: f"n{index}" for index, name in enumerate(topology.components)}
    lines = ["flowchart LR", f"    clients((clients)) --> {number[topology.entry]}"]
    for name, part in topology.components.items():
        left, right = _SHAPES.get(part.type_name, ("[", "]"))
        words = "<br/>".join(w for w in (name, type_words(part), size_words(part)) if w)
        lines.append(f'    {number[name]}{left}"{words}"{right}')
    for edge in edges(topology):
        arrow = "-.->" if edge.message else "-->"
        lines.append(f"    {number[edge.source]} {arrow} {number[edge.target]}")
    return "\n".join(lines) + "\n"
