"""Compile the interpreter: wrap the plain functions, twin the primitive draws, key the cache.

Every option and why (all measured on this kind of kernel): helpers ``forceinline`` (4 times faster
than calls), ``_nrt=False`` on the entry (an accidental allocation becomes a compile error; a
private option, so it stands here alone and `build_kernel(nrt=True)` shows that it can go),
``error_model="numpy"``, ``nogil`` (trials run in threads). Numba's cache does not notice an edit in
a callee in another file, so a digest of every source is part of the entry's closure and thereby of
its cache key.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import types
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types as nb_types
from numba.extending import intrinsic, overload, register_jitable

from scalesim import ops, seldom_ops
from scalesim.engines.compiled import (
    breakers,
    caches,
    closing,
    cores,
    heap,
    ladders,
    loop,
    operations,
    patience,
    preemption,
    queues,
    requests,
    seldom,
    skew_heap,
    starts,
    stations,
    strands,
    versions,
    withdrawal,
)
from scalesim.kernels import arrivals, draws, sampling
from scalesim.plan import tables
from scalesim.policies import (
    breaking,
    eviction_rules,
    hash_ring,
    limiting,
    load_balancing,
    sharding,
)

__all__ = ["build_kernel", "kernel_is_cached", "mark_cached", "source_digest"]

_U = np.uint64
_S11, _S27, _S30, _S31 = _U(11), _U(27), _U(30), _U(31)
_M1, _M2, _GOLDEN = _U(draws.M1), _U(draws.M2), _U(draws.GOLDEN)
_LOW8, _ZERO, _ONE = _U(255), _U(0), _U(1)
_BUCKET_BASE = (1023 + draws.LOWEST_EXPONENT) * draws.BUCKETS_PER_OCTAVE
_LAST_BUCKET = draws.BUCKETS - 1


@register_jitable(forceinline=True)
def _mix(z):
    z = (z ^ (z >> _S30)) * _M1
    z = (z ^ (z >> _S27)) * _M2
    return z ^ (z >> _S31)


def _bits(key, site, k):
    return _mix(key + site + _U(k) * _GOLDEN)


def _rebits(word):
    return _mix(word + _GOLDEN)


def _layer(word):
    return np.int64(word & _LOW8)


def _fraction(word):
    return np.int64(word >> _S11) * 1.1102230246251565e-16


def _child_key(key, tag, number):
    if tag == _ZERO and number == 0:
        return key
    return _mix((key ^ tag) + _U(number + 1) * _GOLDEN)


def _root_key(seed, number):
    return _mix(_U(number) + seed)


def _hash_below(value, count):
    return np.int64(_mix(_U(value + 1) * _GOLDEN) % _U(count))


def _type_wide_less(_, at, order, other_at, other_order):
    """As one comparison of 128 bits, which takes no branch and three instructions."""

    def build(context, builder, signature, arguments):
        wide = ir.IntType(128)
        at, order, other_at, other_order = (builder.zext(each, wide) for each in arguments)
        up = ir.Constant(wide, 64)
        one, other = (builder.shl(high, up) for high in (at, other_at))
        one, other = builder.or_(one, order), builder.or_(other, other_order)
        return builder.icmp_unsigned("<", one, other)

    return nb_types.boolean(at, order, other_at, other_order), build


_wide_less: Callable[..., Any] = intrinsic(_type_wide_less)


def _precedes(at, order, other_at, other_order):
    return _wide_less(at, order, other_at, other_order)


def _bucket(value):
    # Of 0.0 all bits are zero: it falls below the first bucket, like anything tiny or negative.
    index = (np.float64(value).view(np.int64) >> 46) - _BUCKET_BASE
    return min(max(index, 0), _LAST_BUCKET)


_TWINS: dict[Callable[..., Any], Callable[..., Any]] = {
    draws.mix: lambda z: _mix(z),
    draws.bits: _bits,
    draws.rebits: _rebits,
    draws.layer: _layer,
    draws.fraction: _fraction,
    draws.child_key: _child_key,
    draws.root_key: _root_key,
    draws.hash_below: _hash_below,
    draws.bucket: _bucket,
    heap.precedes: _precedes,
}
_SELDOM = {
    arrivals.batch_gap,
    arrivals.burst_gap,
    arrivals.draw_popularity,
    arrivals.gap_in_profile,
    breaking.change,
    breaking.report,
    caches.count_by_key,
    caches.warm_caches,
    closing.close_bucket,
    closing.take_cells,
    eviction_rules.count_use,
    eviction_rules.enter_heap,
    eviction_rules.first_unmarked,
    eviction_rules.leave_heap,
    eviction_rules.oldest_of_some,
    eviction_rules.second_chance,
    hash_ring.node_of,
    loop.pick,
    load_balancing.consistent_hash,
    load_balancing.in_turn,
    load_balancing.least_connections,
    load_balancing.power_of_two,
    load_balancing.random,
    requests.other_arrival,
    sampling.backoff_delay,
    sampling.exponential_edge,
    sampling.sample_composite,
    sampling.sample_other,
    seldom.seldom_event,
    seldom.seldom_operation,
    seldom.wait_over,
    sharding.consumer_of,
    skew_heap.merge,
    skew_heap.remove,
    stations.join_line,
    stations.take_first,
    withdrawal.settle_join,
    withdrawal.time_out,
    withdrawal.withdraw,
}
"""Long and seldom needed, and cheap to call: inlining them would only crowd the hot code."""
_WHOLE = (
    arrivals, draws, sampling, breaking, eviction_rules, hash_ring, limiting, sharding, breakers,
    caches, closing, cores, heap, loop, operations, patience, preemption, queues, requests, seldom,
    skew_heap, starts, stations, strands, versions, withdrawal,
)  # fmt: skip
"""Modules of which the entry may call every function."""
_UNCALLED: dict[str, Any] = {"no_cfunc_wrapper": True}
"""Nothing in C calls these: without a way to do so they compile in two thirds of the time."""
_SOURCES = (ops, seldom_ops, tables, ladders, *_WHOLE)


def _helpers() -> list[Callable[..., Any]]:
    """Return every plain function that the entry may call."""
    found: dict[Callable[..., Any], None] = {}
    for module in _WHOLE:
        for value in vars(module).values():
            if isinstance(value, types.FunctionType) and value.__module__ == module.__name__:
                found[value] = None
    for function in (*ladders.POLICY_FUNCTIONS, *ladders.LADDERS):
        found[function] = None
    skipped = {*_TWINS, draws.site_hash, sampling.ziggurat_tables, loop.make_advance}
    return [function for function in found if function not in skipped]


@cache
def _wrapped() -> None:
    """Register the helpers and the primitives' twins with Numba, once."""
    for original, twin in _TWINS.items():
        names = ", ".join(inspect.signature(original).parameters)
        space: dict[str, Any] = {"twin": twin}
        exec(f"def implement({names}):\n    return twin", space)
        options: Any = _UNCALLED | {"forceinline": True}
        overload(original, jit_options=options)(space["implement"])
    for function in _helpers():
        register_jitable(forceinline=function not in _SELDOM, **_UNCALLED)(function)


@cache
def source_digest() -> int:
    """Return a hash of the text of everything that goes into the kernel."""
    digest = hashlib.blake2b(digest_size=7)
    for module in _SOURCES:
        digest.update(Path(module.__file__ or "").read_bytes())
    digest.update(Path(__file__).read_bytes())
    for function in ladders.POLICY_FUNCTIONS:
        digest.update(inspect.getsource(function).encode())
    return int.from_bytes(digest.digest(), "little")


@cache
def build_kernel(nrt: bool = False) -> Any:
    """Return the compiled ``advance(state, limit)``; it compiles or loads at its first call."""
    _wrapped()
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    if not nrt:
        options["_nrt"] = False
    advance = loop.make_advance(source_digest())
    try:
        return njit(cache=True, **options)(advance)
    except RuntimeError:  # no folder that can be written: compile in each process
        return njit(**options)(advance)


def _marker() -> Path | None:
    folder = build_kernel().stats.cache_path
    return Path(folder) / f"scalesim-{source_digest():014x}.compiled" if folder else None


def kernel_is_cached() -> bool:
    """Whether this machine has compiled the present sources before."""
    marker = _marker()
    return marker is not None and marker.exists()


def mark_cached() -> None:
    """Remember that the present sources have been compiled on this machine."""
    marker = _marker()
    if marker is not None:
        with contextlib.suppress(OSError):
            marker.touch()
