"""The reference engine: the operations on SimPy, written to be read.

Start with `interpreter` (one short generator for each operation), then `stations`.
"""

from __future__ import annotations

from scalesim.engines.reference.engine import ReferenceEngine

__all__ = ["ReferenceEngine"]
