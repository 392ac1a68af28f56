"""Hit ratios of caches: time to live exactly, eviction by Che's approximation or King's sums.

Requests for each key are a Poisson stream of their own (the independent reference model). Che, Tung
& Wang, IEEE JSAC 20 (2002); Fricker, Robert & Roberts, ITC 24 (2012); Gelenbe, IEEE Trans.
Computers 22 (1973): FIFO and random replacement have equal hit ratios; Jung, Berger &
Balakrishnan, INFOCOM 2003: time to live; King, IFIP Congress 1971: exact sums, which have as many
terms as there are orders of the items in the cache.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from scalesim.engines.analytic.occupancy import root
from scalesim.traffic import AnyTraffic, ClosedTraffic, Traffic, UserGroups

__all__ = ["few_hits", "fifo_hits", "lru_hits", "spacing_doubts", "ttl_hits"]

_MANY_USERS = 5


def spacing_doubts(traffic: AnyTraffic) -> list[str]:
    """Return what a time to live rests on if the look-ups of a key are not a Poisson stream.

    Those of many users together nearly are (Palm, Khinchine). A share of about 1 / users of the
    look-ups that follow one within the time to live is the same user's own, whose next request may
    always come too late, or always in time.
    """
    if isinstance(traffic, Traffic):
        return []
    if isinstance(traffic, ClosedTraffic):
        users = traffic.users
    else:
        assert isinstance(traffic, UserGroups)
        users = sum(group.users for group in traffic.groups.values())
    return ["arrivals as if Poisson" if users >= _MANY_USERS else "few users as if Poisson"]


def ttl_hits(
    rates: np.ndarray, ttl: float, renewed: bool = False, fetch: float = 0.0
) -> np.ndarray:
    """Return each key's hit ratio in a cache in which entries only expire.

    All requests miss from one that finds no entry until its fetch has ended, and all of these fetch
    and renew the entry in turn; what follows is a renewal cycle. Exact if fetches all take the same
    time, and entries live for longer.

    Parameters
    ----------
    rates : float array [keys] [1/s]
    ttl : float [s]
    renewed : bool
        Whether a hit renews the entry (a time to idle).
    fetch : float [s]
        How long it takes to get a missing entry.

    Examples
    --------
    >>> import numpy as np
    >>> [round(float(h), 6) for h in ttl_hits(np.array([0.1, 1.0]), 10.0)]
    [0.5, 0.909091]
    """
    missed = 1 + rates * fetch
    # From the first of these fetches' ends to the last one's, and until the entry goes.
    hits = rates * fetch + np.expm1(-rates * fetch)
    with np.errstate(over="ignore"):
        hits = hits + (np.expm1(rates * ttl) if renewed else rates * ttl)
    return 1 / (1 + missed / hits)


def lru_hits(shares: np.ndarray, capacity: int, fetch: float = 0.0) -> np.ndarray:
    """Return each key's hit ratio under LRU, by Che's approximation.

    Parameters
    ----------
    shares : float array [keys]
        Of requests; sum 1.
    capacity : int [items]
    fetch : float
        How long it takes to get a missing item, in requests.

    Examples
    --------
    >>> import numpy as np
    >>> even = np.full(1000, 0.001)
    >>> round(float(lru_hits(even, 100)[0]), 6)
    0.1
    """
    return _at_capacity(shares, capacity, True, fetch)


def fifo_hits(shares: np.ndarray, capacity: int, fetch: float = 0.0) -> np.ndarray:
    """Return each key's hit ratio under FIFO or random replacement, by the same approximation."""
    return _at_capacity(shares, capacity, False, fetch)


def few_hits(shares: np.ndarray, capacity: int, lru: bool) -> np.ndarray:
    """Return each key's hit ratio in a cache of one or two items, exactly (King, 1971).

    Che's approximation is for many items: it is up to 12 % low for one.

    Parameters
    ----------
    shares : float array [keys]
        Of requests; sum 1.
    capacity : {1, 2}
        Less than there are keys.
    lru : bool
        Else FIFO or random replacement.

    Examples
    --------
    >>> import numpy as np
    >>> [round(float(h), 6) for h in few_hits(np.array([0.5, 0.3, 0.2]), 2, True)]
    [0.839286, 0.675, 0.485714]
    """
    if capacity == 1:
        return shares
    if not lru:  # pairs are there in proportion to the product of their shares
        hits: np.ndarray = 2 * shares * (1 - shares) / (1 - float(np.dot(shares, shares)))
        return hits
    # Asked for last, or last before a run of requests for one other key.
    runs = shares / (1 - shares)
    hits = shares * (1 + runs.sum() - runs)
    return hits


def _at_capacity(shares: np.ndarray, capacity: int, renewed: bool, fetch: float) -> np.ndarray:
    asked = shares > 0
    if capacity >= int(asked.sum()):
        return asked.astype(float)
    time = _characteristic_time(shares.astype(float).tobytes(), capacity, renewed, fetch)
    return ttl_hits(shares, time, renewed, fetch)


@lru_cache(maxsize=8)
def _characteristic_time(shares: bytes, capacity: int, renewed: bool, fetch: float) -> float:
    """Return the time to live at which as many items are present as fit, in requests.

    The same one is asked for at every rate that a search tries.
    """
    each = np.frombuffer(shares)

    def surplus(log_time: float) -> float:
        return float(ttl_hits(each, float(np.exp(log_time)), renewed, fetch).sum()) - capacity

    high = 1.0
    while surplus(high) < 0:
        high *= 2
    return float(np.exp(root(surplus, -30.0, high)))
