"""Cache eviction: which entry goes when a full cache takes a new key.

Entries of one cache are rows ``first .. first + capacity - 1`` of the `entry` table, in a list from
``head`` (newest) to ``tail`` by ``newer``/``older`` (-1 ends it). A policy has two functions:
``touched(cache, entry, c, e)`` after a hit on entry e, and ``victim(cache, entry, c, key) ->
e``. New entries always enter at the head.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from scalesim.fields import Description, Family
from scalesim.kernels.draws import u01

__all__ = [
    "EVICTION",
    "EvictionPolicy",
    "Fifo",
    "Lru",
    "RandomEviction",
    "eviction_code",
    "eviction_functions",
    "push_head",
    "unlink",
]

EVICTION = Family("eviction policy")


class EvictionPolicy(Description):
    """Base of eviction policies."""

    touched: ClassVar[Callable[..., Any]]
    victim: ClassVar[Callable[..., Any]]


def eviction_functions(hook: str) -> tuple[Callable[..., Any], ...]:
    """Return all policies' functions for `hook` (``touched`` or ``victim``), by code."""
    return tuple(getattr(member, hook) for member in EVICTION.members.values())


def eviction_code(policy: EvictionPolicy) -> int:
    """Return the code of `policy`."""
    return list(EVICTION.members).index(policy.type_name)


def unlink(cache, entry, c, e):
    """Take entry e out of the list of cache c."""
    newer = entry[e].newer
    older = entry[e].older
    if newer >= 0:
        entry[newer].older = older
    else:
        cache[c].head = older
    if older >= 0:
        entry[older].newer = newer
    else:
        cache[c].tail = newer


def push_head(cache, entry, c, e):
    """Put entry e at the head of the list of cache c."""
    head = cache[c].head
    entry[e].newer = -1
    entry[e].older = head
    if head >= 0:
        entry[head].newer = e
    else:
        cache[c].tail = e
    cache[c].head = e


def keep_place(cache, entry, c, e):
    """Change nothing at a hit."""
    return 0


def move_to_head(cache, entry, c, e):
    """Make the entry the newest at a hit."""
    if cache[c].head != e:
        unlink(cache, entry, c, e)
        push_head(cache, entry, c, e)
    return 0


def oldest(cache, entry, c, key):
    """Return the entry at the tail."""
    return cache[c].tail


def any_entry(cache, entry, c, key):
    """Return any entry, each equally likely."""
    return cache[c].first + int(u01(key, cache[c].site, 0) * cache[c].capacity)


@EVICTION.add("lru")
@dataclass(frozen=True)
class Lru(EvictionPolicy):
    """The least recently used entry goes."""

    touched = staticmethod(move_to_head)
    victim = staticmethod(oldest)


@EVICTION.add("fifo")
@dataclass(frozen=True)
class Fifo(EvictionPolicy):
    """The entry inserted first goes."""

    touched = staticmethod(keep_place)
    victim = staticmethod(oldest)


@EVICTION.add("random")
@dataclass(frozen=True)
class RandomEviction(EvictionPolicy):
    """Any entry goes, each equally likely."""

    touched = staticmethod(keep_place)
    victim = staticmethod(any_entry)
