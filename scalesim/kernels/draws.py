"""Keyed, counter-based random draws: ``u01(key, site, k)``.

There is no generator state anywhere. A draw is a function of the key of the strand (a request, an
attempt, a branch; made of the trial's seed and the request's number), the *site* (a hash of what is
drawn and for which component) and a draw number. So results don't depend on the order of events or
on threads, changing one component leaves every other component's draws alone, and two models
compared under one seed meet the same luck (common random numbers).

The mixing function is the finalizer of SplitMix64 (Steele, Lea & Flood, "Fast splittable
pseudorandom number generators", OOPSLA 2014, with Stafford's constants, variant 13), applied once
to make the key and once more for each draw.

All integers are unsigned 64-bit. In Python they are plain ints, masked; the compiled engine
replaces the functions marked *primitive* by machine-word twins and everything above them is the
same source (``tests/kernels/test_draws.py`` compares them).
"""

from __future__ import annotations

import hashlib
import math

__all__ = [
    "bits",
    "bucket",
    "child_key",
    "fraction",
    "hash_below",
    "layer",
    "mix",
    "rebits",
    "root_key",
    "site_hash",
    "u01",
]

MASK = 0xFFFF_FFFF_FFFF_FFFF
GOLDEN = 0x9E37_79B9_7F4A_7C15
M1 = 0xBF58_476D_1CE4_E5B9
M2 = 0x94D0_49BB_1331_11EB

BUCKETS_PER_OCTAVE = 64
LOWEST_EXPONENT = -40
OCTAVES = 80
BUCKETS = BUCKETS_PER_OCTAVE * OCTAVES


def mix(z: int) -> int:
    """Return the SplitMix64 finalizer of `z` (primitive)."""
    z = ((z ^ (z >> 30)) * M1) & MASK
    z = ((z ^ (z >> 27)) * M2) & MASK
    return z ^ (z >> 31)


def bits(key: int, site: int, k: int) -> int:
    """Return 64 random bits for draw `k` of `site` in the strand `key` (primitive)."""
    return mix((key + site + k * GOLDEN) & MASK)


def rebits(word: int) -> int:
    """Return fresh bits that depend only on `word`, for rejection samplers (primitive)."""
    return mix((word + GOLDEN) & MASK)


def layer(word: int) -> int:
    """Return the low 8 bits of `word` as an index 0..255 (primitive)."""
    return word & 255


def fraction(word: int) -> float:
    """Return the high 53 bits of `word` as a float in [0, 1) (primitive)."""
    return (word >> 11) * 1.1102230246251565e-16


def child_key(key: int, tag: int, number: int) -> int:
    """Return the key of child `number` made at the place `tag` (primitive).

    Tag 0 with number 0 keeps the parent's key: a component reached in the one usual way draws the
    same, however many components lie between.
    """
    if tag == 0 and number == 0:
        return key
    return mix((key ^ tag) + (number + 1) * GOLDEN & MASK)


def hash_below(value: int, count: int) -> int:
    """Return a well-mixed hash of `value` >= 0 in 0..count-1 (primitive)."""
    return mix((value + 1) * GOLDEN & MASK) % count


def bucket(value: float) -> int:
    """Return the log-scale histogram bucket of `value` (primitive): 64 buckets in each octave.

    Zero and anything below 2**-40 fall into bucket 0, anything above 2**40 into the last.
    """
    if value <= 0.0:
        return 0
    mantissa, exponent = math.frexp(value)
    index = (exponent - 1 - LOWEST_EXPONENT) * BUCKETS_PER_OCTAVE + int(
        (mantissa * 2.0 - 1.0) * 64.0
    )
    return min(max(index, 0), BUCKETS - 1)


def root_key(seed: int, number: int) -> int:
    """Return the key of request or user `number` in the trial of `seed` (primitive)."""
    return mix((number + seed) & MASK)


def u01(key: int, site: int, k: int) -> float:
    """Return a uniform float in [0, 1) for draw `k` of `site` in the strand `key`."""
    return fraction(bits(key, site, k))


def site_hash(*parts: str | int) -> int:
    """Return the stable 64-bit hash of a site's name; not for use inside a simulation."""
    text = "\x1f".join(str(part) for part in parts).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")
