"""Skew heaps of strands (Sleator & Tarjan, "Self-adjusting heaps", SIAM J. Computing 15, 1986).

Ordered by ``mark``, ties by ``rank``; linked through ``left``, ``right`` and ``up``, so that any
strand can be taken out. A heap is known by its root, -1 if it is empty; the root's ``up`` means
nothing.
"""

from __future__ import annotations

from scalesim.engines.compiled.heap import ix

__all__ = ["insert", "merge", "remove"]


def before(strand, i, j):
    """Whether strand i comes before strand j."""
    one = strand[ix(i)]
    other = strand[ix(j)]
    return one.mark < other.mark or (one.mark == other.mark and one.rank < other.rank)


def merge(strand, a, b):
    """Merge two heaps; return the root."""
    if a < 0:
        return b
    if b < 0:
        return a
    if before(strand, b, a):
        a, b = b, a
    root = a
    while True:
        top = strand[ix(a)]
        rest = top.right
        top.right = top.left
        if rest >= 0 and before(strand, rest, b):
            rest, b = b, rest
        top.left = b
        strand[ix(b)].up = a
        if rest < 0:
            return root
        a, b = b, rest


def insert(strand, root, i):
    """Put strand i, whose mark and rank are set, into a heap; return the root."""
    me = strand[ix(i)]
    me.left = -1
    me.right = -1
    return merge(strand, root, i)


def remove(strand, root, i):
    """Take strand i out of a heap; return the root."""
    me = strand[ix(i)]
    rest = merge(strand, me.left, me.right)
    if i == root:
        return rest
    above = strand[ix(me.up)]
    if above.left == i:
        above.left = rest
    else:
        above.right = rest
    if rest >= 0:
        strand[ix(rest)].up = me.up
    return root
