"""The compiled engine: one generic interpreter of plans, compiled by Numba.

Read the reference engine first: this is the same machine with its state in arrays.
"""

from __future__ import annotations

from scalesim.engines.compiled.engine import CompiledEngine

__all__ = ["CompiledEngine"]
