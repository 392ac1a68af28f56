"""Results: recordings read as answers. Frozen; nothing here knows an engine."""

from __future__ import annotations

from scalesim.results.bottleneck import Bottleneck
from scalesim.results.intervals import Estimate
from scalesim.results.latency import Latency
from scalesim.results.results import Results
from scalesim.results.warnings import Caution

__all__ = ["Bottleneck", "Caution", "Estimate", "Latency", "Results"]
