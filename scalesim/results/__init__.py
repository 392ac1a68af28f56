"""Results: recordings read as answers. Frozen; nothing here knows an engine."""

from __future__ import annotations

from scalesim.results.bottleneck import Bottleneck
from scalesim.results.latency import Latency
from scalesim.results.results import Results

__all__ = ["Bottleneck", "Latency", "Results"]
