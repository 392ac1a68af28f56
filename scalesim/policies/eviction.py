"""Cache eviction: which entry goes when a full cache takes a new key.

A policy has four functions. ``entered``, ``touched`` and ``left``, each ``(cache, entry, history,
c, e)``, are called after entry e was stored, after a hit on it, and before it goes;
``victim(cache, entry, c, key) -> e`` is asked of a full cache, and what it names then leaves.
`scalesim.policies.eviction_rules` has the functions and says what the tables hold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from scalesim.fields import Description, Family, Flag, Integer, described, param
from scalesim.policies import eviction_rules as rules

__all__ = [
    "EVICTION",
    "Clock",
    "EvictionPolicy",
    "Fifo",
    "Lfu",
    "Lru",
    "RandomEviction",
    "SampledLru",
    "Sieve",
    "eviction_code",
    "eviction_functions",
]

EVICTION = Family("eviction policy")


class EvictionPolicy(Description):
    """Base of eviction policies."""

    entered: ClassVar[Callable[..., Any]]
    touched: ClassVar[Callable[..., Any]]
    victim: ClassVar[Callable[..., Any]]
    left: ClassVar[Callable[..., Any]]

    @property
    def setting(self) -> int:
        """The policy's parameter, as its functions read it."""
        return 0

    @property
    def remembers(self) -> bool:
        """Whether something is kept about keys that are not in the cache."""
        return False


def eviction_functions(hook: str) -> tuple[Callable[..., Any], ...]:
    """Return all policies' functions for `hook` (``entered``, ``touched``, ...), by code."""
    return tuple(getattr(member, hook) for member in EVICTION.members.values())


def eviction_code(policy: EvictionPolicy) -> int:
    """Return the code of `policy`."""
    return list(EVICTION.members).index(policy.type_name)


@EVICTION.add("lru")
@described
class Lru(EvictionPolicy):
    """The least recently used entry goes."""

    entered = staticmethod(rules.enter_list)
    touched = staticmethod(rules.move_to_head)
    victim = staticmethod(rules.oldest)
    left = staticmethod(rules.leave_list)


@EVICTION.add("fifo")
@described
class Fifo(EvictionPolicy):
    """The entry inserted first goes."""

    entered = staticmethod(rules.enter_list)
    touched = staticmethod(rules.change_nothing)
    victim = staticmethod(rules.oldest)
    left = staticmethod(rules.leave_list)


@EVICTION.add("random")
@described
class RandomEviction(EvictionPolicy):
    """Any entry goes, each equally likely."""

    entered = staticmethod(rules.change_nothing)
    touched = staticmethod(rules.change_nothing)
    victim = staticmethod(rules.any_entry)
    left = staticmethod(rules.change_nothing)


@EVICTION.add("clock")
@described
class Clock(EvictionPolicy):
    """Second chance: a hand goes round, spares entries used since it last came, takes the next.

    A hit sets the entry's reference bit; the hand clears set bits until it finds a clear one,
    replaces that entry and moves one past it (Corbato, "A paging experiment with the Multics
    system", 1968).

    Parameters
    ----------
    reference_bit : int [0 .. 1]
        What a new entry's bit is: with 1 the hand spares it the first time.
    """

    entered = staticmethod(rules.enter_marked)
    touched = staticmethod(rules.mark)
    victim = staticmethod(rules.second_chance)
    left = staticmethod(rules.leave_list)
    reference_bit: int = param(Integer(0, 1), "the bit of a new entry", default=0)

    @property
    def setting(self) -> int:
        return self.reference_bit


@EVICTION.add("sieve")
@described
class Sieve(EvictionPolicy):
    """A hand goes from old to new, spares entries hit since it last came, takes the next.

    Unlike in `clock` spared entries keep their place, so that new ones are sifted soon (Zhang et
    al., "SIEVE is simpler than LRU", NSDI 2024).
    """

    entered = staticmethod(rules.enter_marked)
    touched = staticmethod(rules.mark)
    victim = staticmethod(rules.first_unmarked)
    left = staticmethod(rules.leave_under_hand)


@EVICTION.add("lfu")
@described
class Lfu(EvictionPolicy):
    """The entry used least often goes; of several, the least recently used.

    Parameters
    ----------
    keep_counts : bool
        Keep counting where a key stood when it comes back ("perfect" LFU); otherwise its count is
        lost with the entry and starts at 1.
    """

    entered = staticmethod(rules.enter_heap)
    touched = staticmethod(rules.count_use)
    victim = staticmethod(rules.least_used)
    left = staticmethod(rules.leave_heap)
    keep_counts: bool = param(Flag(), "counts outlive eviction", default=False)

    @property
    def setting(self) -> int:
        return int(self.keep_counts)

    @property
    def remembers(self) -> bool:
        return self.keep_counts


@EVICTION.add("sampled_lru")
@described
class SampledLru(EvictionPolicy):
    """The least recently used of a few entries drawn at random goes.

    As Redis does it (``maxmemory-samples``), but of distinct entries and without a pool of
    candidates kept from one eviction to the next.

    Parameters
    ----------
    samples : int [1 .. 64]
        Entries drawn.
    """

    entered = staticmethod(rules.stamp)
    touched = staticmethod(rules.stamp)
    victim = staticmethod(rules.oldest_of_some)
    left = staticmethod(rules.change_nothing)
    samples: int = param(Integer(1, 64), "entries drawn", default=5)

    @property
    def setting(self) -> int:
        return self.samples
