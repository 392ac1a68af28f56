"""All published cases: importing the modules registers their models."""

from __future__ import annotations

from accuracy.published import (
    balancing,
    caching,
    capacity,
    closed,
    delivery,
    freshness,
    pools,
    queueing,
    resilience,
)
from accuracy.published.registry import MODELS, UNSUPPORTED, cases

__all__ = [
    "MODELS", "UNSUPPORTED", "balancing", "caching", "capacity", "cases", "closed", "delivery",
    "freshness", "pools", "queueing", "resilience",
]  # fmt: skip
