"""Sharding: which shard holds a key. A policy's function is ``shard_of(value, shards) -> int``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from scalesim.fields import Description, Family
from scalesim.kernels.draws import hash_below

__all__ = [
    "SHARDING",
    "HashSharding",
    "ModuloSharding",
    "ShardingPolicy",
    "sharding_code",
    "sharding_functions",
]

SHARDING = Family("sharding policy")


class ShardingPolicy(Description):
    """Base of sharding policies."""

    shard_of: ClassVar[Callable[..., Any]]


def sharding_functions() -> tuple[Callable[..., Any], ...]:
    """Return the functions of all policies, by code."""
    return tuple(member.shard_of for member in SHARDING.members.values())  # type: ignore[attr-defined]


def sharding_code(policy: ShardingPolicy) -> int:
    """Return the code of `policy`."""
    return list(SHARDING.members).index(policy.type_name)


def hashed(value, shards):
    """Return a well-mixed hash of the key, modulo the number of shards."""
    return hash_below(value, shards)


def modulo(value, shards):
    """Return the key's number modulo the number of shards: neighbours go to different shards."""
    return value % shards


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
