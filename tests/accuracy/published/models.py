"""All cases: importing the modules registers them."""

from __future__ import annotations

from accuracy.published import balancing, caching, closed, queueing, resilience
from accuracy.published.registry import CASES, EXPECTED, UNSUPPORTED, run

__all__ = [
    "CASES", "EXPECTED", "UNSUPPORTED", "balancing", "caching", "closed", "queueing", "resilience",
    "run",
]  # fmt: skip
