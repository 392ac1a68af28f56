"""Sharding: which shard holds a key.

A policy's function is ``shard_of(value, shards, count) -> int``: of `count` values, from 0 on. The
partitions of a message queue are chosen here, too: by `consumer_of`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from scalesim.fields import Description, Family
from scalesim.kernels.draws import hash_below, u01

__all__ = [
    "SHARDING",
    "HashSharding",
    "ModuloSharding",
    "PARTITION_BY",
    "RangeSharding",
    "ShardingPolicy",
    "consumer_of",
    "sharding_code",
    "sharding_functions",
]

SHARDING = Family("sharding policy")
PARTITION_BY = ("key", "client", "random")
"""What decides a message's partition; the position is the plan's code."""


class ShardingPolicy(Description):
    """Base of sharding policies."""

    shard_of: ClassVar[Callable[..., Any]]


def sharding_functions() -> tuple[Callable[..., Any], ...]:
    """Return the functions of all policies, by code."""
    return tuple(member.shard_of for member in SHARDING.members.values())  # type: ignore[attr-defined]


def sharding_code(policy: ShardingPolicy) -> int:
    """Return the code of `policy`."""
    return list(SHARDING.members).index(policy.type_name)


def hashed(value, shards, count):
    """Return a well-mixed hash of the key, modulo the number of shards."""
    return hash_below(value, shards)


def modulo(value, shards, count):
    """Return the key's number modulo the number of shards: neighbours go to different shards."""
    return value % shards


def by_range(value, shards, count):
    """Return which of the equal ranges of numbers the key is in."""
    return value * shards // count


@SHARDING.add("hash")
@dataclass(frozen=True)
class HashSharding(ShardingPolicy):
    """By hash of the key: keys spread evenly, popular keys make hot shards."""

    shard_of = staticmethod(hashed)


@SHARDING.add("modulo")
@dataclass(frozen=True)
class ModuloSharding(ShardingPolicy):
    """By the key's number modulo the number of shards."""

    shard_of = staticmethod(modulo)


@SHARDING.add("range")
@dataclass(frozen=True)
class RangeSharding(ShardingPolicy):
    """By equal contiguous ranges of the key's number: neighbours are on one shard.

    Keys are numbered from the most popular down, so that the first shard is the hottest.
    """

    shard_of = staticmethod(by_range)


def consumer_of(partition, item, client, key, site):
    """Return the consumer of the partition that a message falls into.

    Partition p belongs to consumer p modulo their number: as even as possible, and the first have
    one more.
    """
    if partition.by == 2:
        place = int(u01(key, site, 0) * partition.partitions)
    else:
        place = hash_below(client if partition.by == 1 else item, partition.partitions)
    return place % partition.consumers
