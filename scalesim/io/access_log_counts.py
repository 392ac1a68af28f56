"""Counting what a log holds in bounded memory: names, endpoints, sizes. Layer: io.

Each counter is exact up to a limit and says what it does beyond; none knows of log lines.
"""

from __future__ import annotations

import ipaddress
import math
import re
import zlib
from collections import Counter
from functools import lru_cache

from scalesim.distributions import Constant, Distribution, Empirical
from scalesim.traffic import Measured

__all__ = ["MAX_NAMES", "NameCounter", "PathTree", "SizeCounter", "network_of", "path_parts"]

MAX_NAMES = 200_000
"""Distinct names that are counted one by one."""

LISTED = 10_000
"""Names whose counts are listed one by one in a traffic file; the others are its tail."""


class NameCounter:
    """Counts names: one by one up to `limit` distinct ones.

    When there are more, the less popular half moves to a tail: its requests are counted exactly,
    its names estimated (linear counting, Whang et al. 1990: about 1 % up to 40 million). A name
    that comes back is counted one by one again, so one that is popular later is found.
    """

    _BITS = 2**23

    def __init__(self, limit: int = MAX_NAMES) -> None:
        self.limit = limit
        self.counts: Counter[str] = Counter()
        self.tail_count = 0
        self._seen = bytearray()

    def add(self, name: str) -> None:
        """Count `name` once."""
        self.counts[name] += 1
        if len(self.counts) > self.limit:
            self._prune()

    def _prune(self) -> None:
        self._seen = self._seen or bytearray(self._BITS // 8)
        kept = Counter(dict(self.counts.most_common(self.limit // 2)))
        for name in self.counts.keys() - kept.keys():
            self._mark(name)
        self.tail_count += self.counts.total() - kept.total()
        self.counts = kept

    def _mark(self, name: str) -> None:
        place = zlib.crc32(name.encode("utf-8", "replace")) % self._BITS
        self._seen[place >> 3] |= 1 << (place & 7)

    def tail_names(self) -> int:
        """Return about how many distinct names are in the tail only."""
        if not self.tail_count:
            return 0
        for name in self.counts:
            self._mark(name)
        unseen = self._BITS - int.from_bytes(self._seen, "little").bit_count()
        names = self._BITS * math.log(self._BITS / max(1, unseen))
        return max(1, min(self.tail_count, round(names) - len(self.counts)))

    def popularity(self) -> Measured:
        """Return the counts, most popular first; beyond `LISTED`, and all the rarest, as a tail."""
        ranked = sorted(self.counts.values(), reverse=True)
        cut = min(len(ranked), LISTED)
        while cut > 1 and ranked[cut - 1] == ranked[-1]:  # equal ones lose nothing in the tail
            cut -= 1
        rest = ranked[cut:]
        return Measured(
            tuple(ranked[:cut]),
            tail_keys=len(rest) + self.tail_names(),
            tail_count=sum(rest) + self.tail_count,
        )


@lru_cache(maxsize=65_536)
def network_of(host: str) -> str:
    """Return the network of a client: /24 of IPv4, /48 of IPv6; a host name is its own network.

    >>> network_of("203.0.113.9"), network_of("2001:db8:1:2::3"), network_of("proxy.example")
    ('203.0.113.0/24', '2001:db8:1::/48', 'proxy.example')
    """
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host.lower()
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    bits = 24 if address.version == 4 else 48
    return str(ipaddress.ip_network((address, bits), strict=False))


_DEPTH = 5
_STATIC = re.compile(
    r"\.(?:css|m?js|map|png|jpe?g|gif|ico|svg|webp|avif|bmp|woff2?|ttf|otf|eot|mp[34]|webm|ogg"
    r"|wasm|txt|pdf|zip|gz|tgz|bz2|xz|jar|deb|rpm|exe|dmg|iso)$",
    re.I,
)
_VARIABLE = re.compile(
    r"\d+"  # number, year
    r"|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"  # UUID
    r"|(?=[a-f]*\d)[0-9a-f]{8,}"  # hash
    r"|(?=[a-z_]*\d)(?=[\d_]*[a-z])\w{20,}",  # token
    re.I | re.A,
)


@lru_cache(maxsize=65_536)
def path_parts(method: str, path: str) -> tuple[str, ...]:
    """Return the place of a request in the tree of paths; the method belongs to the first part.

    Static files are one leaf, whatever their path; a part that is a number, a UUID or a hash is
    ``{id}``; parts beyond the fifth are cut.

    >>> path_parts("GET", "/users/1234/orders"), path_parts("GET", "/img/logo.png")
    (('GET /users', '{id}', 'orders'), ('static',))
    """
    parts = [part for part in path.split("/") if part][:_DEPTH]
    if method in ("GET", "HEAD") and parts and _STATIC.search(path):
        return ("static",)
    parts = ["{id}" if _VARIABLE.fullmatch(part) else part for part in parts] or [""]
    return (f"{method} /{parts[0]}", *parts[1:])


class PathTree:
    """Counts requests by the parts of their path, and folds rare branches into their parents."""

    def __init__(self, limit: int = MAX_NAMES) -> None:
        self.limit = limit
        self.counts: Counter[tuple[str, ...]] = Counter()

    def add(self, parts: tuple[str, ...]) -> None:
        """Count one request; beyond the limit, rare branches are folded at once."""
        self.counts[parts] += 1
        least = 2
        while len(self.counts) > self.limit:
            self.fold(least)
            least *= 2

    def fold(self, least: int) -> None:
        """Add each branch with fewer than `least` requests to its parent; the root is ``()``."""
        for depth in range(_DEPTH, 0, -1):
            for parts in [p for p, n in self.counts.items() if len(p) == depth and n < least]:
                self.counts[parts[:-1]] += self.counts.pop(parts)

    def named(self) -> dict[str, tuple[str, int]]:
        """Return endpoint -> (beginning of its requests, their number), most requests first."""
        named: dict[str, tuple[str, int]] = {}
        for parts, count in self.counts.most_common():
            name = stem = _name(parts)
            copy = 1
            while name in named:
                copy += 1
                name = f"{stem}-{copy}"
            pattern = {"other": "", "static": "static files"}.get(name, "/".join(parts))
            named[name] = (pattern, count)
        return named


def _name(parts: tuple[str, ...]) -> str:
    if not parts:
        return "other"
    method, _, first = parts[0].partition(" /")
    words = [re.sub(r"[^A-Za-z0-9]+", "-", part).strip("-") for part in (first, *parts[1:])]
    if not first:
        words = ["root"] if method != "static" else []
    return "_".join([method.lower(), *(word or "x" for word in words)])[:60]


class SizeCounter:
    """Counts sizes: exactly below 4 kB, above in steps of at most 1/2048 of the size."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()
        self.total = 0

    def add(self, size: int) -> None:
        """Count one size [bytes]."""
        self.total += size
        shift = max(0, size.bit_length() - 12)
        self.counts[size >> shift << shift] += 1

    def distribution(self) -> Distribution:
        """Return 101 quantiles, moved where needed so that the mean is the mean counted.

        Straight lines between percentiles would make a few huge files weigh far too much.
        """
        number = self.counts.total()
        if len(self.counts) == 1:  # as far as is counted, all are of one size
            return Constant(float(round(self.total / number)))
        ordered = sorted(self.counts.items())
        quantiles: list[float] = []
        place, before = 0, 0  # values before ordered[place]
        for step in range(101):
            whole, part = divmod(step * (number - 1), 100)
            while before + ordered[place][1] <= whole:
                before += ordered[place][1]
                place += 1
            low = high = ordered[place][0]
            if part and before + ordered[place][1] == whole + 1:
                high = ordered[place + 1][0]
            quantiles.append(low + (high - low) * part / 100)
        return Empirical(tuple(float(round(q)) for q in _with_mean(quantiles, self.total / number)))


def _with_mean(quantiles: list[float], mean: float) -> list[float]:
    """Return `quantiles` with the largest capped, or raised, so that their mean is `mean`."""
    last = len(quantiles) - 1
    excess = sum(quantiles) - (quantiles[0] + quantiles[-1]) / 2 - mean * last
    if excess <= 0:
        for place in range(last - 1, -1, -1):  # the last counts half, and is the maximum
            weight = 1.0 if place else 0.5
            raised = min(quantiles[place] - excess / weight, quantiles[place + 1])
            excess += (raised - quantiles[place]) * weight
            quantiles[place] = raised
        return quantiles
    above = -excess
    for place in range(last, 0, -1):
        above += quantiles[place] * (0.5 if place == last else 1.0)
        cap = above / (last - place + 0.5)
        if cap >= quantiles[place - 1]:
            return quantiles[:place] + [cap] * (last - place + 1)
    return [mean] * (last + 1)
