"""What eviction policies do: the functions that `scalesim.policies.eviction` puts together.

Entries of one cache are rows ``first .. first + capacity - 1`` of the `entry` table. Of an entry
the engine keeps ``key`` and ``expires``; ``newer``, ``older`` (-1 at first), ``count`` and
``used`` are the policy's. So are, of row c of `cache`, ``head``, ``tail`` and ``hand`` (-1 at
first), ``size`` and ``uses``; ``setting`` is its parameter. ``history[first_history + key]``
remembers something of keys that are not in the cache.
"""

from __future__ import annotations

from scalesim.kernels.draws import u01

__all__ = [
    "any_entry",
    "change_nothing",
    "count_use",
    "enter_heap",
    "enter_list",
    "enter_marked",
    "first_unmarked",
    "leave_heap",
    "leave_list",
    "leave_under_hand",
    "least_used",
    "mark",
    "move_to_head",
    "oldest",
    "oldest_of_some",
    "second_chance",
    "stamp",
]


def change_nothing(cache, entry, history, c, e):
    """Do nothing."""
    return 0


# A list from head (newest) to tail: LRU, FIFO, CLOCK, SIEVE ---------------------------------


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


def enter_list(cache, entry, history, c, e):
    """Enter as the newest."""
    push_head(cache, entry, c, e)
    return 0


def leave_list(cache, entry, history, c, e):
    """Leave the list."""
    unlink(cache, entry, c, e)
    return 0


def move_to_head(cache, entry, history, c, e):
    """Make the entry the newest."""
    if cache[c].head != e:
        unlink(cache, entry, c, e)
        push_head(cache, entry, c, e)
    return 0


def oldest(cache, entry, c, key):
    """Return the entry at the tail."""
    return cache[c].tail


def enter_marked(cache, entry, history, c, e):
    """Enter as the newest; `setting` says whether marked as used."""
    entry[e].count = cache[c].setting
    push_head(cache, entry, c, e)
    return 0


def mark(cache, entry, history, c, e):
    """Note that the entry was used."""
    entry[e].count = 1
    return 0


def second_chance(cache, entry, c, key):
    """Return the oldest unmarked entry; marked ones before it lose the mark and go to the head.

    That is the clock with its hand at the tail: the ring turns instead of the hand.
    """
    e = cache[c].tail
    while entry[e].count > 0:
        entry[e].count = 0
        unlink(cache, entry, c, e)
        push_head(cache, entry, c, e)
        e = cache[c].tail
    return e


def first_unmarked(cache, entry, c, key):
    """Move the hand from tail to head, and round again, to the first unmarked entry."""
    e = cache[c].hand
    if e < 0:
        e = cache[c].tail
    while entry[e].count > 0:
        entry[e].count = 0
        e = entry[e].newer
        if e < 0:
            e = cache[c].tail
    cache[c].hand = e
    return e


def leave_under_hand(cache, entry, history, c, e):
    """Leave the list; a hand that points at the entry moves on to the next newer one."""
    if cache[c].hand == e:
        cache[c].hand = entry[e].newer
    unlink(cache, entry, c, e)
    return 0


# A binary heap, the least used at its root: LFU ----------------------------------------------
# Place k of the heap is in row first + k: its `newer` is the entry there, and an entry's `older`
# is its place.


def less_used(entry, i, j):
    """Whether entry i was used less often than j, or as often but not as recently."""
    one = entry[i]
    other = entry[j]
    return one.count < other.count or (one.count == other.count and one.used < other.used)


def put_at(entry, first, place, e):
    """Put entry e at a place of the heap."""
    entry[first + place].newer = e
    entry[e].older = place


def rise(cache, entry, c, e):
    """Move entry e towards the root until nothing above it was used more."""
    first = cache[c].first
    place = entry[e].older
    while place > 0:
        above = entry[first + ((place - 1) >> 1)].newer
        if not less_used(entry, e, above):
            break
        put_at(entry, first, place, above)
        place = (place - 1) >> 1
    put_at(entry, first, place, e)


def sink(cache, entry, c, e):
    """Move entry e away from the root until nothing below it was used less."""
    first = cache[c].first
    size = cache[c].size
    place = entry[e].older
    while 2 * place + 1 < size:
        below = 2 * place + 1
        if below + 1 < size and less_used(
            entry, entry[first + below + 1].newer, entry[first + below].newer
        ):
            below += 1
        other = entry[first + below].newer
        if not less_used(entry, other, e):
            break
        put_at(entry, first, place, other)
        place = below
    put_at(entry, first, place, e)


def stamp(cache, entry, history, c, e):
    """Note when the entry was last used, in uses of the cache."""
    cache[c].uses += 1
    entry[e].used = cache[c].uses
    return 0


def enter_heap(cache, entry, history, c, e):
    """Start counting, where the key's count stood if counts are kept, and enter the heap."""
    entry[e].count = 1
    if cache[c].setting:
        entry[e].count += history[cache[c].first_history + entry[e].key]
    stamp(cache, entry, history, c, e)
    put_at(entry, cache[c].first, cache[c].size, e)
    cache[c].size += 1
    rise(cache, entry, c, e)
    return 0


def count_use(cache, entry, history, c, e):
    """Count a use."""
    entry[e].count += 1
    stamp(cache, entry, history, c, e)
    sink(cache, entry, c, e)
    return 0


def least_used(cache, entry, c, key):
    """Return the entry at the root of the heap."""
    return entry[cache[c].first].newer


def leave_heap(cache, entry, history, c, e):
    """Leave the heap; the last entry in it takes the place. Keep the count if counts are kept."""
    if cache[c].setting:
        history[cache[c].first_history + entry[e].key] = entry[e].count
    cache[c].size -= 1
    last = entry[cache[c].first + cache[c].size].newer
    if last != e:
        put_at(entry, cache[c].first, entry[e].older, last)
        rise(cache, entry, c, last)
        sink(cache, entry, c, last)
    return 0


# Drawn --------------------------------------------------------------------------------------


def any_entry(cache, entry, c, key):
    """Return any entry, each equally likely."""
    return cache[c].first + int(u01(key, cache[c].site, 0) * cache[c].capacity)


def oldest_of_some(cache, entry, c, key):
    """Return the least recently used of `setting` distinct entries drawn at random.

    Place k of a permutation is in row first + k, its `newer` (-1: itself). Drawing is shuffling its
    beginning (Fisher & Yates), from whatever order the last draw left.
    """
    first = cache[c].first
    count = cache[c].capacity
    best = -1
    for k in range(min(cache[c].setting, count)):
        other = k + int(u01(key, cache[c].site, k) * (count - k))
        e = entry[first + other].newer
        if e < 0:
            e = first + other
        here = entry[first + k].newer
        entry[first + other].newer = here if here >= 0 else first + k
        entry[first + k].newer = e
        if best < 0 or entry[e].used < entry[best].used:
            best = e
    return best
